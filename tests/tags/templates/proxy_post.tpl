___INFO___

{"type": "TAG", "id": "cvt_temp_public_id", "version": 1, "displayName": "Posts by a proxy", "containerContexts": ["SERVER"]}


___TEMPLATE_PARAMETERS___

[
  {"type": "TEXT", "name": "pixelId", "displayName": "Pixel", "simpleValueType": true},
  {"type": "SELECT", "name": "authMethod", "defaultValue": "oAuth",
   "selectItems": [{"value": "oAuth", "displayValue": "OAuth"}, {"value": "accessToken", "displayValue": "Token"}]}
]


___SANDBOXED_JS_FOR_SERVER___

const getEventData = require('getEventData');
const header = require('getRequestHeader');
const JSON = require('JSON');

const host = header('x-gtm-identifier') + '.' + header('x-gtm-default-domain');
const url = 'https://' + host + '/stape-api/' + header('x-gtm-api-key') + '/v1/twitter/auth-proxy';
const conversion = {
  conversion_time: getEventData('conversion_time'),
  event_id: 'tw-o8z6j-o8z6k',
  identifiers: [{hashed_email: getEventData('user_data.sha256_email_address')}],
  conversion_id: 'proxy-' + getEventData('transaction_id'),
};
const body = {
  pixel_id: data.pixelId,
  conversions: [conversion],
  auth: {consumer_key: 'a', consumer_secret: 'b', oauth_token: 'c', oauth_token_secret: 'd'},
};
require('sendHttpRequest')(url, {method: 'POST'}, JSON.stringify(body)).then((answer) => {
  const said = JSON.parse(answer.body) || {};
  if (said.data && said.data.conversions_processed) data.gtmOnSuccess();
  else data.gtmOnFailure();
}, data.gtmOnFailure);


___SERVER_PERMISSIONS___

[
  {"instance": {"key": {"publicId": "read_event_data", "versionId": "1"}, "param": [
    {"key": "eventDataAccess", "value": {"type": 1, "string": "any"}}]}},
  {"instance": {"key": {"publicId": "read_request", "versionId": "1"}, "param": [
    {"key": "requestAccess", "value": {"type": 1, "string": "specific"}},
    {"key": "headersAllowed", "value": {"type": 8, "boolean": true}},
    {"key": "headerAccess", "value": {"type": 1, "string": "any"}}]}},
  {"instance": {"key": {"publicId": "send_http", "versionId": "1"}, "param": [
    {"key": "allowedUrls", "value": {"type": 1, "string": "specific"}},
    {"key": "urls", "value": {"type": 2, "listItem": [
      {"type": 1, "string": "https://*.stape.io/*"},
      {"type": 1, "string": "https://*.shop.example/*"}]}}]}}
]


___TESTS___

scenarios:
- name: Builds the address from the headers
  code: |-
    mock('getRequestHeader', (name) => name.replace('x-gtm-', ''));
    mock('sendHttpRequest', (url) => {
      sent = url;
      return require('Promise').create((resolve) => resolve({statusCode: 200, body: '{}'}));
    });
    runCode({pixelId: 'o8z6j'});
    assertThat(sent).isEqualTo(
      'https://identifier.default-domain/stape-api/api-key/v1/twitter/auth-proxy'
    );
setup: let sent;
