___INFO___

{
  "type": "MACRO",
  "id": "cvt_temp_public_id",
  "version": 1,
  "securityGroups": [],
  "displayName": "Text and numbers",
  "description": "Made for the tests of Twite.",
  "containerContexts": [
    "SERVER"
  ]
}


___TEMPLATE_PARAMETERS___

[
  {
    "type": "TEXT",
    "name": "text",
    "displayName": "text",
    "simpleValueType": true
  }
]


___SANDBOXED_JS_FOR_SERVER___

const createRegex = require('createRegex');
const testRegex = require('testRegex');
const toBase64 = require('toBase64');
const fromBase64 = require('fromBase64');
const makeInteger = require('makeInteger');
const makeNumber = require('makeNumber');
const generateRandom = require('generateRandom');
const Math = require('Math');

const digits = createRegex('^(?P<all>[0-9]+)$', 'i');
if (testRegex(digits, data.text)) {
  return Math.pow(makeInteger(data.text), 2) + Math.abs(makeNumber('-0.5')) + generateRandom(1, 1);
}
return fromBase64(toBase64(data.text)).replace(createRegex('[^a-z]+', 'g'), '-');


___SERVER_PERMISSIONS___

[]


___TESTS___

scenarios:
- name: A number is squared
  code: |-
    assertThat(runCode({text: '12'})).isEqualTo(145.5);
- name: A text keeps its letters
  code: |-
    assertThat(runCode({text: 'ab  c1d'})).isEqualTo('ab-c-d');
- name: Numbers that are drawn can be mocked
  code: |-
    mock('generateRandom', 100);
    const found = runCode({text: '1'});
    assertThat(found).isGreaterThan(101);
    assertThat(found).isGreaterThanOrEqualTo(101.5);
    assertThat(found).isLessThan(102);
    assertThat(found).isLessThanOrEqualTo(101.5);
    assertThat(found).isNumber();
    assertThat(found).isNotNaN();
    assertThat(found).isNotInfinity();
    assertApi('generateRandom').wasCalledWith(1, 1);
    assertApi('generateRandom').wasNotCalledWith(1, 2);


___NOTES___

Made for the tests of Twite.


