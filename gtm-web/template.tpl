___TERMS_OF_SERVICE___

By creating or modifying this file you agree to Google Tag Manager's Community
Template Gallery Developer Terms of Service available at
https://developers.google.com/tag-manager/gallery-tos (or such other URL as
Google may provide), as modified from time to time.


___INFO___

{
  "type": "TAG",
  "id": "cvt_temp_public_id",
  "version": 1,
  "securityGroups": [],
  "displayName": "Twite: conversion of a page",
  "categories": [
    "ADVERTISING",
    "CONVERSIONS",
    "ATTRIBUTION"
  ],
  "brand": {
    "id": "brand_dummy",
    "displayName": "Twite"
  },
  "description": "Calls Twite's first-party script, which the page loads: it reports the conversion to X's pixel and to your gateway with one id.",
  "containerContexts": [
    "WEB"
  ]
}


___TEMPLATE_PARAMETERS___

[
  {
    "type": "GROUP",
    "name": "eventGroup",
    "displayName": "Conversion",
    "groupStyle": "NO_ZIPPY",
    "subParams": [
      {
        "type": "TEXT",
        "name": "event",
        "displayName": "Event",
        "simpleValueType": true,
        "valueHint": "purchase",
        "help": "A name from the pixel's <i>events</i> in twite.toml.",
        "alwaysInSummary": true,
        "valueValidators": [
          {
            "type": "NON_EMPTY"
          }
        ]
      },
      {
        "type": "TEXT",
        "name": "conversionId",
        "displayName": "Conversion id",
        "simpleValueType": true,
        "valueHint": "{{Order number}}",
        "help": "The order's number, the same that your server sends: X then counts the two copies once."
      },
      {
        "type": "TEXT",
        "name": "value",
        "displayName": "Amount",
        "simpleValueType": true,
        "valueHint": "49.90"
      },
      {
        "type": "TEXT",
        "name": "currency",
        "displayName": "Currency",
        "simpleValueType": true,
        "valueHint": "EUR"
      },
      {
        "type": "TEXT",
        "name": "contents",
        "displayName": "Items",
        "simpleValueType": true,
        "valueHint": "{{Items}}",
        "help": "A variable with a list of {id, name, price, quantity}, or of GA4's items."
      }
    ]
  },
  {
    "type": "GROUP",
    "name": "personGroup",
    "displayName": "Person",
    "groupStyle": "ZIPPY_OPEN",
    "subParams": [
      {
        "type": "TEXT",
        "name": "email",
        "displayName": "Email",
        "simpleValueType": true,
        "valueHint": "{{Email}}",
        "help": "The script hashes it in the browser."
      },
      {
        "type": "TEXT",
        "name": "phone",
        "displayName": "Phone",
        "simpleValueType": true,
        "valueHint": "{{Phone}}",
        "help": "The script hashes it in the browser."
      }
    ]
  },
  {
    "type": "GROUP",
    "name": "ruleGroup",
    "displayName": "For rules for values",
    "groupStyle": "ZIPPY_CLOSED",
    "subParams": [
      {
        "type": "TEXT",
        "name": "tax",
        "displayName": "Tax",
        "simpleValueType": true,
        "valueHint": "7.97",
        "help": "The tax that the amount contains. Only your gateway's rules read it: X never gets it."
      },
      {
        "type": "TEXT",
        "name": "shipping",
        "displayName": "Shipping",
        "simpleValueType": true,
        "valueHint": "4.90",
        "help": "The shipping that the amount contains."
      },
      {
        "type": "TEXT",
        "name": "newCustomer",
        "displayName": "New customer",
        "simpleValueType": true,
        "valueHint": "{{New customer}}",
        "help": "A variable with <i>true</i> or <i>false</i>, or GA4's <i>new</i> or <i>returning</i>. Empty if nobody knows."
      }
    ]
  },
  {
    "type": "GROUP",
    "name": "consentGroup",
    "displayName": "Consent",
    "groupStyle": "ZIPPY_OPEN",
    "subParams": [
      {
        "type": "RADIO",
        "name": "consent",
        "displayName": "Who decides",
        "radioItems": [
          {
            "value": "script",
            "displayValue": "The script, by the page's signals",
            "help": "It reads Google's Consent Mode, TCF and GPP, and waits for consent if the source requires it."
          },
          {
            "value": "required",
            "displayValue": "This tag: wait until ad_storage and ad_user_data are granted"
          }
        ],
        "simpleValueType": true,
        "defaultValue": "script"
      }
    ]
  }
]


___SANDBOXED_JS_FOR_WEB_TEMPLATE___

// Calls window.twite, or queues the call until the page's script has loaded.

const addConsentListener = require('addConsentListener');
const callInWindow = require('callInWindow');
const copyFromWindow = require('copyFromWindow');
const createArgumentsQueue = require('createArgumentsQueue');
const getType = require('getType');
const isConsentGranted = require('isConsentGranted');
const makeString = require('makeString');

const NEEDED = ['ad_storage', 'ad_user_data'];

const given = (value) => value !== undefined && value !== null && value !== '';

// GA4's items use other names.
const item = (one) => ({
  id: given(one.id) ? one.id : one.item_id,
  name: given(one.name) ? one.name : one.item_name,
  price: one.price,
  quantity: one.quantity,
  group: given(one.group) ? one.group : one.item_group_id,
  type: given(one.type) ? one.type : one.item_category
});

const parameters = () => {
  const made = {};
  if (given(data.conversionId)) made.conversion_id = makeString(data.conversionId);
  if (given(data.value)) made.value = data.value;
  if (given(data.currency)) made.currency = data.currency;
  if (given(data.email)) made.email = data.email;
  if (given(data.phone)) made.phone = data.phone;
  if (given(data.tax)) made.tax = data.tax;
  if (given(data.shipping)) made.shipping = data.shipping;
  if (given(data.newCustomer)) made.new_customer = data.newCustomer;
  if (getType(data.contents) === 'array') {
    made.contents = data.contents.filter((one) => getType(one) === 'object').map(item);
  }
  return made;
};

const send = () => {
  if (getType(copyFromWindow('twite')) === 'function') {
    callInWindow('twite', data.event, parameters());
  } else {
    createArgumentsQueue('twite', 'twite.q')(data.event, parameters());
  }
  data.gtmOnSuccess();
};

let sent = false;
const sendOnce = () => {
  if (sent || !NEEDED.every((name) => isConsentGranted(name))) return;
  sent = true;
  send();
};

if (data.consent === 'required') {
  NEEDED.forEach((name) => addConsentListener(name, sendOnce));
  sendOnce();
} else {
  send();
}


___WEB_PERMISSIONS___

[
  {
    "instance": {
      "key": {
        "publicId": "access_globals",
        "versionId": "1"
      },
      "param": [
        {
          "key": "keys",
          "value": {
            "type": 2,
            "listItem": [
              {
                "type": 3,
                "mapKey": [
                  {
                    "type": 1,
                    "string": "key"
                  },
                  {
                    "type": 1,
                    "string": "read"
                  },
                  {
                    "type": 1,
                    "string": "write"
                  },
                  {
                    "type": 1,
                    "string": "execute"
                  }
                ],
                "mapValue": [
                  {
                    "type": 1,
                    "string": "twite"
                  },
                  {
                    "type": 8,
                    "boolean": true
                  },
                  {
                    "type": 8,
                    "boolean": true
                  },
                  {
                    "type": 8,
                    "boolean": true
                  }
                ]
              },
              {
                "type": 3,
                "mapKey": [
                  {
                    "type": 1,
                    "string": "key"
                  },
                  {
                    "type": 1,
                    "string": "read"
                  },
                  {
                    "type": 1,
                    "string": "write"
                  },
                  {
                    "type": 1,
                    "string": "execute"
                  }
                ],
                "mapValue": [
                  {
                    "type": 1,
                    "string": "twite.q"
                  },
                  {
                    "type": 8,
                    "boolean": true
                  },
                  {
                    "type": 8,
                    "boolean": true
                  },
                  {
                    "type": 8,
                    "boolean": true
                  }
                ]
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
        "publicId": "access_consent",
        "versionId": "1"
      },
      "param": [
        {
          "key": "consentTypes",
          "value": {
            "type": 2,
            "listItem": [
              {
                "type": 3,
                "mapKey": [
                  {
                    "type": 1,
                    "string": "consentType"
                  },
                  {
                    "type": 1,
                    "string": "read"
                  },
                  {
                    "type": 1,
                    "string": "write"
                  }
                ],
                "mapValue": [
                  {
                    "type": 1,
                    "string": "ad_storage"
                  },
                  {
                    "type": 8,
                    "boolean": true
                  },
                  {
                    "type": 8,
                    "boolean": false
                  }
                ]
              },
              {
                "type": 3,
                "mapKey": [
                  {
                    "type": 1,
                    "string": "consentType"
                  },
                  {
                    "type": 1,
                    "string": "read"
                  },
                  {
                    "type": 1,
                    "string": "write"
                  }
                ],
                "mapValue": [
                  {
                    "type": 1,
                    "string": "ad_user_data"
                  },
                  {
                    "type": 8,
                    "boolean": true
                  },
                  {
                    "type": 8,
                    "boolean": false
                  }
                ]
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
  }
]


___TESTS___

scenarios:
- name: The script is called with the conversion
  code: |-
    runCode(fields);
    assertApi('callInWindow').wasCalledWith('twite', 'purchase', {
      conversion_id: 'order-1001', value: '49.90', currency: 'EUR', email: 'shopper@shop.example'
    });
    assertApi('createArgumentsQueue').wasNotCalled();
    assertApi('gtmOnSuccess').wasCalled();
- name: A call before the script has loaded waits in its queue
  code: |-
    mock('copyFromWindow', undefined);
    runCode(fields);
    assertApi('callInWindow').wasNotCalled();
    assertThat(queued).isEqualTo([['purchase', {
      conversion_id: 'order-1001', value: '49.90', currency: 'EUR', email: 'shopper@shop.example'
    }]]);
- name: Items of GA4 become contents, and what is no item is left out
  code: |-
    fields.contents = [{item_id: 'SKU-1', item_name: 'Mug', price: 24.95, quantity: 2, item_category: 'kitchen'}, 'x'];
    runCode(fields);
    assertThat(called[2].contents).isEqualTo([
      {id: 'SKU-1', name: 'Mug', price: 24.95, quantity: 2, group: undefined, type: 'kitchen'}
    ]);
- name: An order number that is a number becomes text
  code: |-
    fields.conversionId = 1001;
    runCode(fields);
    assertThat(called[2].conversion_id).isEqualTo('1001');
- name: Empty fields are not sent
  code: |-
    runCode({event: 'sign_up', email: '', value: undefined});
    assertApi('callInWindow').wasCalledWith('twite', 'sign_up', {});
- name: Tax, shipping and new customers are passed on, also zero and false
  code: |-
    fields.tax = '7.97';
    fields.shipping = 0;
    fields.newCustomer = false;
    runCode(fields);
    assertThat([called[2].tax, called[2].shipping, called[2].new_customer]).isEqualTo(['7.97', 0, false]);
- name: With required consent nothing is called before both are granted, and then once
  code: |-
    fields.consent = 'required';
    runCode(fields);
    assertApi('callInWindow').wasNotCalled();
    assertApi('gtmOnSuccess').wasNotCalled();
    granted.ad_storage = true;
    listeners.ad_storage('ad_storage', true);
    assertApi('callInWindow').wasNotCalled();
    granted.ad_user_data = true;
    listeners.ad_user_data('ad_user_data', true);
    listeners.ad_storage('ad_storage', true);
    assertThat(calls).isEqualTo(1);
    assertApi('gtmOnSuccess').wasCalled();
- name: With required consent that is there the tag calls at once
  code: |-
    fields.consent = 'required';
    granted.ad_storage = granted.ad_user_data = true;
    runCode(fields);
    assertThat(calls).isEqualTo(1);
setup: |-
  const fields = {
    event: 'purchase', conversionId: 'order-1001', value: '49.90', currency: 'EUR',
    email: 'shopper@shop.example', consent: 'script'
  };
  const granted = {};
  const listeners = {};
  const queued = [];
  let called;
  let calls = 0;
  mock('copyFromWindow', () => () => undefined);
  mock('callInWindow', (path, event, parameters) => { called = [path, event, parameters]; calls += 1; });
  mock('createArgumentsQueue', (path, queue) => (event, parameters) => { queued.push([event, parameters]); });
  mock('isConsentGranted', (name) => granted[name] === true);
  mock('addConsentListener', (name, listener) => { listeners[name] = listener; });


___NOTES___

Part of Twite. Keep the call in step with docs/reference/script.md.


