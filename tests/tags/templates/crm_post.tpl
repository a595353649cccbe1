___TERMS_OF_SERVICE___

By using this template you agree that it exists to be tested.


___INFO___

{
  "type": "TAG",
  "id": "cvt_temp_public_id",
  "version": 1,
  "displayName": "CRM post",
  "description": "Posts an event to an address, and says what came of it.",
  "containerContexts": ["SERVER"]
}


___TEMPLATE_PARAMETERS___

[
  {
    "type": "TEXT",
    "name": "endpoint",
    "displayName": "Address",
    "simpleValueType": true,
    "valueValidators": [{"type": "NON_EMPTY"}]
  },
  {
    "type": "TEXT",
    "name": "key",
    "displayName": "Key",
    "simpleValueType": true
  },
  {
    "type": "TEXT",
    "name": "note",
    "displayName": "Note",
    "simpleValueType": true
  }
]


___SANDBOXED_JS_FOR_SERVER___

const sendHttpRequest = require('sendHttpRequest');
const getAllEventData = require('getAllEventData');
const getCookieValues = require('getCookieValues');
const getTimestampMillis = require('getTimestampMillis');
const generateRandom = require('generateRandom');
const JSON = require('JSON');
const logToConsole = require('logToConsole');

const body = JSON.stringify({
  event: getAllEventData(),
  fbp: getCookieValues('_fbp'),
  at: getTimestampMillis(),
  chance: generateRandom(1, 1000000000),
  note: data.note
});
const headers = {'Content-Type': 'application/json', 'X-Key': data.key || ''};
sendHttpRequest(data.endpoint, {method: 'POST', headers: headers, timeout: 2000}, body).then((answer) => {
  logToConsole('answered', answer.statusCode);
  if (answer.statusCode >= 200 && answer.statusCode < 300) data.gtmOnSuccess();
  else data.gtmOnFailure();
}).catch(data.gtmOnFailure);


___SERVER_PERMISSIONS___

[
  {
    "instance": {"key": {"publicId": "send_http", "versionId": "1"}, "param": [
      {"key": "allowedUrls", "value": {"type": 1, "string": "any"}}
    ]},
    "isRequired": true
  },
  {
    "instance": {"key": {"publicId": "read_event_data", "versionId": "1"}, "param": [
      {"key": "eventDataAccess", "value": {"type": 1, "string": "any"}}
    ]},
    "isRequired": true
  },
  {
    "instance": {"key": {"publicId": "get_cookies", "versionId": "1"}, "param": [
      {"key": "cookieAccess", "value": {"type": 1, "string": "specific"}},
      {"key": "cookieNames", "value": {"type": 2, "listItem": [{"type": 1, "string": "_fbp"}]}}
    ]},
    "isRequired": true
  },
  {
    "instance": {"key": {"publicId": "logging", "versionId": "1"}, "param": [
      {"key": "environments", "value": {"type": 1, "string": "all"}}
    ]},
    "isRequired": true
  }
]


___TESTS___

scenarios:
- name: What the other side takes is a success
  code: |-
    mock('getAllEventData', {event_name: 'purchase'});
    mock('getCookieValues', []);
    const Promise = require('Promise');
    mock('sendHttpRequest', () => Promise.create((resolve) => resolve({statusCode: 200})));

    runCode({endpoint: 'https://crm.example/in'});

    callLater(() => assertApi('gtmOnSuccess').wasCalled());
setup: |-
  const callLater = require('callLater');
  mock('logToConsole', () => undefined);
