___INFO___

{"type": "TAG", "id": "cvt_temp_public_id", "version": 1, "displayName": "Posts to Meta", "containerContexts": ["SERVER"]}


___TEMPLATE_PARAMETERS___

[
  {"type": "TEXT", "name": "pixelId", "valueValidators": [{"type": "NON_EMPTY"}]},
  {"type": "TEXT", "name": "accessToken"},
  {"type": "CHECKBOX", "name": "keepPlus", "checkboxText": "Hash the phone number with its plus"}
]


___SANDBOXED_JS_FOR_SERVER___

const event = require('getAllEventData')();
const JSON = require('JSON');
const sha256Sync = require('sha256Sync');
const makeInteger = require('makeInteger');
const hashed = (text) => text && sha256Sync(text, {outputEncoding: 'hex'});

const user = event.user_data || {};
const phone = user.phone_number || '';
const body = {data: [{
  event_name: 'Purchase',
  event_time: makeInteger(require('getTimestampMillis')() / 1000),
  event_id: event.transaction_id,
  action_source: 'website',
  event_source_url: event.page_location,
  user_data: {
    em: hashed(user.email_address),
    ph: hashed(data.keepPlus ? phone : phone.replace('+', '')),
    client_ip_address: event.ip_override,
    client_user_agent: event.user_agent
  },
  custom_data: {value: event.value, currency: event.currency}
}]};
const url = 'https://graph.facebook.com/v20.0/' + data.pixelId + '/events?access_token=' + data.accessToken;
const options = {method: 'POST', headers: {'Content-Type': 'application/json'}};
require('sendHttpRequest')(url, options, JSON.stringify(body)).then((answer) => {
  require('logToConsole')('Meta answered', answer.statusCode);
  if (answer.statusCode === 200) data.gtmOnSuccess();
  else data.gtmOnFailure();
}, data.gtmOnFailure);


___SERVER_PERMISSIONS___

[
  {"instance": {"key": {"publicId": "read_event_data", "versionId": "1"}, "param": [
    {"key": "eventDataAccess", "value": {"type": 1, "string": "any"}}]}},
  {"instance": {"key": {"publicId": "logging", "versionId": "1"}, "param": [
    {"key": "environments", "value": {"type": 1, "string": "all"}}]}},
  {"instance": {"key": {"publicId": "send_http", "versionId": "1"}, "param": [
    {"key": "allowedUrls", "value": {"type": 1, "string": "specific"}},
    {"key": "urls", "value": {"type": 2, "listItem": [
      {"type": 1, "string": "https://graph.facebook.com/"}]}}]}}
]


___TESTS___

scenarios:
- name: Sends the value
  code: |-
    const JSON = require('JSON');
    mock('getAllEventData', {value: 1, currency: 'EUR'});
    mock('sendHttpRequest', (url, options, body) => {
      assertThat(JSON.parse(body).data[0].custom_data.value).isEqualTo(1);
      return require('Promise').create((resolve) => resolve({statusCode: 200}));
    });
    runCode({pixelId: '1'});
