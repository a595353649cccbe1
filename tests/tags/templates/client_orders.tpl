___INFO___

{
  "type": "CLIENT",
  "id": "cvt_temp_public_id",
  "version": 1,
  "securityGroups": [],
  "displayName": "Orders by webhook",
  "description": "Made for the tests of Twite: one event for each order of a shop's webhook, and a cookie.",
  "containerContexts": [
    "SERVER"
  ]
}


___TEMPLATE_PARAMETERS___

[
  {
    "type": "TEXT",
    "name": "path",
    "displayName": "Path",
    "simpleValueType": true,
    "defaultValue": "/hooks/orders",
    "valueValidators": [{"type": "NON_EMPTY"}]
  },
  {
    "type": "TEXT",
    "name": "secret",
    "displayName": "Secret of the header x-shop-key",
    "simpleValueType": true
  }
]


___SANDBOXED_JS_FOR_SERVER___

const claimRequest = require('claimRequest');
const getCookieValues = require('getCookieValues');
const getRequestBody = require('getRequestBody');
const getRequestHeader = require('getRequestHeader');
const getRequestPath = require('getRequestPath');
const JSON = require('JSON');
const makeString = require('makeString');
const returnResponse = require('returnResponse');
const runContainer = require('runContainer');
const setCookie = require('setCookie');
const setResponseBody = require('setResponseBody');
const setResponseHeader = require('setResponseHeader');
const setResponseStatus = require('setResponseStatus');

if (getRequestPath() !== data.path) return;
claimRequest();

if (data.secret && getRequestHeader('x-shop-key') !== data.secret) {
  setResponseStatus(403);
  returnResponse();
  return;
}

const orders = JSON.parse(getRequestBody() || '') || [];
const click = getCookieValues('_twite')[0];
let left = orders.length;

function done() {
  if (left > 0) return;
  setResponseStatus(202);
  setResponseHeader('Content-Type', 'application/json');
  setResponseBody(JSON.stringify({orders: orders.length}));
  setCookie('last_order', makeString(orders.length && orders[orders.length - 1].id), {
    domain: 'auto', 'max-age': 3600, httpOnly: true, secure: true, sameSite: 'lax'
  });
  returnResponse();
}

orders.forEach((order) => {
  const event = {
    event_name: 'purchase',
    transaction_id: makeString(order.id),
    value: order.total,
    currency: order.currency,
    user_data: {email_address: order.email}
  };
  if (click) event.twclid = click;
  runContainer(event, () => {
    left -= 1;
    done();
  });
});
if (left === 0) done();


___SERVER_PERMISSIONS___

[
  {
    "instance": {
      "key": {"publicId": "read_request", "versionId": "1"},
      "param": [
        {"key": "requestAccess", "value": {"type": 1, "string": "specific"}},
        {"key": "bodyAllowed", "value": {"type": 8, "boolean": true}},
        {"key": "pathAllowed", "value": {"type": 8, "boolean": true}},
        {"key": "headersAllowed", "value": {"type": 8, "boolean": true}},
        {"key": "headerAccess", "value": {"type": 1, "string": "specific"}},
        {
          "key": "headerWhitelist",
          "value": {
            "type": 2,
            "listItem": [
              {
                "type": 3,
                "mapKey": [{"type": 1, "string": "headerName"}],
                "mapValue": [{"type": 1, "string": "x-shop-key"}]
              }
            ]
          }
        }
      ]
    },
    "isRequired": true
  },
  {
    "instance": {
      "key": {"publicId": "get_cookies", "versionId": "1"},
      "param": [
        {"key": "cookieAccess", "value": {"type": 1, "string": "specific"}},
        {"key": "cookieNames", "value": {"type": 2, "listItem": [{"type": 1, "string": "_twite"}]}}
      ]
    },
    "isRequired": true
  },
  {
    "instance": {
      "key": {"publicId": "set_cookies", "versionId": "1"},
      "param": [
        {
          "key": "allowedCookies",
          "value": {
            "type": 2,
            "listItem": [
              {
                "type": 3,
                "mapKey": [
                  {"type": 1, "string": "name"},
                  {"type": 1, "string": "domain"},
                  {"type": 1, "string": "path"},
                  {"type": 1, "string": "secure"},
                  {"type": 1, "string": "session"}
                ],
                "mapValue": [
                  {"type": 1, "string": "last_order"},
                  {"type": 1, "string": "*"},
                  {"type": 1, "string": "*"},
                  {"type": 1, "string": "any"},
                  {"type": 1, "string": "any"}
                ]
              }
            ]
          }
        }
      ]
    },
    "isRequired": true
  },
  {
    "instance": {"key": {"publicId": "run_container", "versionId": "1"}, "param": []},
    "isRequired": true
  },
  {
    "instance": {"key": {"publicId": "return_response", "versionId": "1"}, "param": []},
    "isRequired": true
  },
  {
    "instance": {
      "key": {"publicId": "access_response", "versionId": "1"},
      "param": [
        {"key": "writeResponseAccess", "value": {"type": 1, "string": "any"}}
      ]
    },
    "isRequired": true
  }
]


___TESTS___

scenarios:
- name: Each order is an event, and the answer comes after the last
  code: |-
    mock('getRequestBody', '[{"id": 1, "total": 5, "currency": "EUR"}, {"id": 2}]');
    mock('getCookieValues', []);
    const events = [];
    const ends = [];
    mock('runContainer', (event, done) => { events.push(event); ends.push(done); });

    runCode({path: '/hooks/orders'});
    ends[0]();
    assertApi('returnResponse').wasNotCalled();
    ends[1]();

    assertThat(events.map((one) => one.transaction_id)).isEqualTo(['1', '2']);
    assertApi('setResponseStatus').wasCalledWith(202);
    assertApi('setCookie').wasCalled();
    assertApi('returnResponse').wasCalled();
- name: Without the secret nothing runs
  code: |-
    mock('getRequestHeader', 'wrong');

    runCode({path: '/hooks/orders', secret: 'right'});

    assertApi('setResponseStatus').wasCalledWith(403);
    assertApi('runContainer').wasNotCalled();
- name: Another path is not claimed
  code: |-
    mock('getRequestPath', '/other');

    runCode({path: '/hooks/orders'});

    assertApi('claimRequest').wasNotCalled();
setup: |-
  mock('claimRequest', undefined);
  mock('getRequestPath', '/hooks/orders');
  mock('getRequestHeader', undefined);
  mock('returnResponse', undefined);
  mock('runContainer', undefined);
  mock('setCookie', undefined);
  mock('setResponseBody', undefined);
  mock('setResponseHeader', undefined);
  mock('setResponseStatus', undefined);
