___NOTES___

Made for the tests of Twite.


___INFO___

{
  "type": "TAG",
  "id": "cvt_temp_public_id",
  "version": 1,
  "securityGroups": [],
  "displayName": "Ads, in callbacks",
  "description": "Made for the tests of Twite.",
  "containerContexts": [
    "SERVER"
  ]
}


___TESTS___

scenarios:
- name: Rows become the body, and the second request follows the first
  code: |-
    mock('sendHttpRequest', (url, callback, options, body) => {
      assertThat(JSON.parse(body)).isEqualTo({at: 7, a: '1'});
      assertThat(options).isEqualTo({method: 'POST', headers: {h: 'v'}});
      callback(200, {}, 'ok');
    });
    mock('sendHttpGet', (url, callback) => callback(204));
    runCode({
      url: 'https://a.example/', method: 'POST', headers: [{name: 'h', value: 'v'}],
      rows: [{key: 'a', value: '1'}, {key: 'secret', value: 'x'}]
    });
    assertApi('sendHttpGet').wasCalled();
    assertApi('gtmOnSuccess').wasCalled();
- name: A status that is no success ends it
  code: |-
    mock('sendHttpRequest', (url, callback) => callback(0));
    runCode({url: 'https://a.example/'});
    assertApi('sendHttpGet').wasNotCalled();
    assertApi('gtmOnFailure').wasCalled();
setup: |-
  const JSON = require('JSON');
  mock('getTimestamp', 7);


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


___SANDBOXED_JS_FOR_SERVER___

var sendHttpRequest = require('sendHttpRequest');
var sendHttpGet = require('sendHttpGet');
var makeTableMap = require('makeTableMap');
var getTimestamp = require('getTimestamp');
var getType = require('getType');
var Object = require('Object');
var JSON = require('JSON');

var headers = data.headers && data.headers.length ? makeTableMap(data.headers, 'name', 'value') : {};
var body = {at: getTimestamp()};
(data.rows || []).forEach(function (row) { body[row.key] = row.value; });
Object.delete(body, 'secret');

sendHttpRequest(data.url, function (status, headers, text) {
  if (status < 200 || status > 299) { data.gtmOnFailure(); return; }
  sendHttpGet(data.url + '?done', function (status) {
    if (getType(status) === 'number' && status === 204) data.gtmOnSuccess();
    else data.gtmOnFailure();
  });
}, {method: data.method, headers: headers}, JSON.stringify(body));


___TEMPLATE_PARAMETERS___

[
  {
    "type": "TEXT",
    "name": "url",
    "displayName": "url",
    "simpleValueType": true
  },
  {
    "type": "SIMPLE_TABLE",
    "name": "headers",
    "displayName": "Headers",
    "simpleTableColumns": [
      {
        "type": "TEXT",
        "name": "name",
        "defaultValue": ""
      },
      {
        "type": "TEXT",
        "name": "value",
        "defaultValue": ""
      }
    ]
  },
  {
    "type": "PARAM_TABLE",
    "name": "rows",
    "displayName": "Rows",
    "paramTableColumns": [
      {
        "param": {
          "type": "TEXT",
          "name": "key"
        },
        "isUnique": true
      },
      {
        "param": {
          "type": "TEXT",
          "name": "value"
        },
        "isUnique": false
      }
    ]
  },
  {
    "type": "SELECT",
    "name": "method",
    "displayName": "Method",
    "selectItems": [
      {
        "value": "POST",
        "displayValue": "POST"
      },
      {
        "value": "PUT",
        "displayValue": "PUT"
      }
    ],
    "simpleValueType": true,
    "defaultValue": "POST"
  }
]


