___INFO___

{
  "type": "TAG",
  "id": "cvt_temp_public_id",
  "version": 1,
  "securityGroups": [],
  "displayName": "Ads, in promises",
  "description": "Made for the tests of Twite.",
  "containerContexts": [
    "SERVER"
  ]
}


___TEMPLATE_PARAMETERS___

[
  {
    "type": "TEXT",
    "name": "token",
    "displayName": "token",
    "simpleValueType": true,
    "valueValidators": [
      {
        "type": "NON_EMPTY"
      }
    ]
  },
  {
    "type": "GROUP",
    "name": "more",
    "groupStyle": "ZIPPY_CLOSED",
    "subParams": [
      {
        "type": "CHECKBOX",
        "name": "strict",
        "checkboxText": "Strict",
        "simpleValueType": true,
        "defaultValue": false
      },
      {
        "type": "LABEL",
        "name": "hint",
        "displayName": "Hashed before it is sent."
      }
    ]
  }
]


___SANDBOXED_JS_FOR_SERVER___

const sendHttpRequest = require('sendHttpRequest');
const getAllEventData = require('getAllEventData');
const sha256Sync = require('sha256Sync');
const makeString = require('makeString');
const JSON = require('JSON');
const Promise = require('Promise');

const event = getAllEventData();
const person = event.user_data || {};
const hash = (text) => text ? sha256Sync(makeString(text).trim().toLowerCase(), {outputEncoding: 'hex'}) : undefined;
const options = {method: 'POST', headers: {'Content-Type': 'application/json', 'X-Token': data.token}, timeout: 3000};
const body = JSON.stringify({name: event.event_name, email: hash(person.email_address), value: event.value});

Promise.all(['one', 'two'].map((path) => sendHttpRequest('https://ads.example/' + path, options, body)))
  .then((answers) => {
    const bad = answers.filter((answer) => answer.statusCode >= 400);
    if (bad.length && data.strict) data.gtmOnFailure();
    else data.gtmOnSuccess();
  })
  .catch(() => data.gtmOnFailure());


___SERVER_PERMISSIONS___

[
  {
    "instance": {
      "key": {
        "publicId": "send_http",
        "versionId": "1"
      },
      "param": [
        {
          "key": "allowedUrls",
          "value": {
            "type": 1,
            "string": "specific"
          }
        },
        {
          "key": "urls",
          "value": {
            "type": 2,
            "listItem": [
              {
                "type": 1,
                "string": "https://ads.example/"
              }
            ]
          }
        }
      ]
    },
    "clientAnnotations": {
      "isEditedByUser": true
    },
    "isRequired": true
  },
  {
    "instance": {
      "key": {
        "publicId": "read_event_data",
        "versionId": "1"
      },
      "param": [
        {
          "key": "eventDataAccess",
          "value": {
            "type": 1,
            "string": "any"
          }
        }
      ]
    },
    "clientAnnotations": {
      "isEditedByUser": true
    },
    "isRequired": true
  }
]


___TESTS___

scenarios:
- name: Both requests are sent with the hash and the token
  code: |-
    mock('sendHttpRequest', answered(200));
    runCode(fields);
    callLater(() => {
      assertApi('sendHttpRequest').wasCalledWith('https://ads.example/one', options, body);
      assertApi('sendHttpRequest').wasCalledWith('https://ads.example/two', options, body);
      assertApi('gtmOnSuccess').wasCalled();
      assertApi('gtmOnFailure').wasNotCalled();
    });
- name: A refusal counts where it is strict
  code: |-
    mock('sendHttpRequest', answered(400));
    fields.strict = true;
    runCode(fields);
    callLater(() => {
      assertApi('gtmOnFailure').wasCalled();
      assertApi('gtmOnSuccess').wasNotCalled();
    });
- name: No answer is a failure
  code: |-
    mock('sendHttpRequest', () => Promise.create((resolve, reject) => reject({reason: 'failed'})));
    runCode(fields);
    callLater(() => assertApi('gtmOnFailure').wasCalled());
- name: A promise that is never settled fails in the end
  code: |-
    mock('sendHttpRequest', () => Promise.create(() => {}));
    runCode({gtmOnFailure: () => { failed = true; }});
    callLater(() => assertThat(failed).isFalse());
setup: |-
  const Promise = require('Promise');
  const callLater = require('callLater');
  let failed = false;
  const fields = {token: 't', strict: false};
  const options = {method: 'POST', headers: {'Content-Type': 'application/json', 'X-Token': 't'}, timeout: 3000};
  const body = '{"name":"purchase","email":"08168cd80dfd534ab0f10af10f1303fe00af2d43ab5c1432360d137f8197e17a","value":10}';
  const answered = (status) => () => Promise.create((resolve) => resolve({statusCode: status}));
  mock('getAllEventData', {event_name: 'purchase', value: 10, user_data: {email_address: ' A@EXAMPLE.com'}});


___NOTES___

Made for the tests of Twite.


