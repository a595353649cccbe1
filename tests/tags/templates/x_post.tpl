___TERMS_OF_SERVICE___

By using this template you agree that it exists to be tested.


___INFO___

{
  "type": "TAG",
  "id": "cvt_temp_public_id",
  "version": 1,
  "displayName": "X post",
  "description": "Posts a conversion to an address in the form of X's Conversion API.",
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
    "name": "pixel",
    "displayName": "Pixel, where the body names it",
    "simpleValueType": true
  }
]


___SANDBOXED_JS_FOR_SERVER___

const sendHttpRequest = require('sendHttpRequest');
const getAllEventData = require('getAllEventData');
const JSON = require('JSON');
const makeString = require('makeString');

const event = getAllEventData();
const person = event.user_data || {};
const body = {conversions: [{
  conversion_time: event.conversion_time,
  event_id: 'tw-o8z6j-o8z6k',
  identifiers: [{hashed_email: person.sha256_email_address}],
  conversion_id: 'x-' + makeString(event.transaction_id),
  value: makeString(event.value),
  price_currency: event.currency
}]};
if (data.pixel) body.pixel_id = data.pixel;
const headers = {'Content-Type': 'application/json', 'X-Pixel-Token': 'not-the-token'};
sendHttpRequest(data.endpoint, (status, headers, text) => {
  const answer = JSON.parse(text || '') || {};
  if (status === 200 && answer.data && answer.data.conversions_processed) data.gtmOnSuccess();
  else data.gtmOnFailure();
}, {method: 'POST', headers: headers}, JSON.stringify(body));


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
  }
]


___TESTS___

scenarios:
- name: One that was not processed is a failure
  code: |-
    mock('getAllEventData', {event_name: 'purchase', transaction_id: '1', value: 1});
    mock('sendHttpRequest', (url, callback) => callback(200, {}, '{"data": {"conversions_processed": 0}}'));

    runCode({endpoint: 'https://ads-api.x.com/12/measurement/conversions/o8z6j'});

    assertApi('gtmOnFailure').wasCalled();
