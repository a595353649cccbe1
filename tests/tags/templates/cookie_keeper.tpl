___INFO___

{
  "type": "TAG",
  "id": "cvt_temp_public_id",
  "version": 1,
  "securityGroups": [],
  "displayName": "Keeps a cookie",
  "description": "Made for the tests of Twite.",
  "containerContexts": [
    "SERVER"
  ]
}


___TEMPLATE_PARAMETERS___

[
  {
    "type": "TEXT",
    "name": "name",
    "displayName": "name",
    "simpleValueType": true,
    "defaultValue": "visitor"
  },
  {
    "type": "TEXT",
    "name": "days",
    "displayName": "days",
    "simpleValueType": true,
    "defaultValue": "30",
    "valueValidators": [
      {
        "type": "NON_NEGATIVE_NUMBER"
      }
    ]
  }
]


___SANDBOXED_JS_FOR_SERVER___

const getCookieValues = require('getCookieValues');
const setCookie = require('setCookie');
const templateDataStorage = require('templateDataStorage');
const queryPermission = require('queryPermission');
const getTimestampMillis = require('getTimestampMillis');
const makeInteger = require('makeInteger');

const options = {domain: 'auto', path: '/', secure: true, httpOnly: true, sameSite: 'lax', 'max-age': makeInteger(data.days) * 86400};
if (!queryPermission('set_cookies', data.name, options)) return data.gtmOnFailure();
const value = getCookieValues(data.name)[0] || 'v.' + getTimestampMillis();
setCookie(data.name, value, options);
const count = (templateDataStorage.getItemCopy('count') || 0) + 1;
templateDataStorage.setItemCopy('count', count);
if (count > 1000) templateDataStorage.clear();
else templateDataStorage.removeItem('old');
data.gtmOnSuccess();


___SERVER_PERMISSIONS___

[
  {
    "instance": {
      "key": {
        "publicId": "get_cookies",
        "versionId": "1"
      },
      "param": [
        {
          "key": "cookieAccess",
          "value": {
            "type": 1,
            "string": "specific"
          }
        },
        {
          "key": "cookieNames",
          "value": {
            "type": 2,
            "listItem": [
              {
                "type": 1,
                "string": "visitor"
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
        "publicId": "set_cookies",
        "versionId": "1"
      },
      "param": [
        {
          "key": "allowedCookies",
          "value": {
            "type": 2,
            "listItem": [
              {
                "type": 3,
                "mapKey": [
                  {
                    "type": 1,
                    "string": "name"
                  },
                  {
                    "type": 1,
                    "string": "domain"
                  },
                  {
                    "type": 1,
                    "string": "path"
                  },
                  {
                    "type": 1,
                    "string": "secure"
                  },
                  {
                    "type": 1,
                    "string": "session"
                  }
                ],
                "mapValue": [
                  {
                    "type": 1,
                    "string": "visitor"
                  },
                  {
                    "type": 1,
                    "string": "*"
                  },
                  {
                    "type": 1,
                    "string": "*"
                  },
                  {
                    "type": 1,
                    "string": "secure"
                  },
                  {
                    "type": 1,
                    "string": "any"
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
        "publicId": "access_template_storage",
        "versionId": "1"
      },
      "param": []
    },
    "isRequired": true
  }
]


___TESTS___

scenarios:
- name: A new visitor gets a cookie
  code: |-
    runCode({name: 'visitor', days: '30'});
    assertApi('setCookie').wasCalledWith('visitor', 'v.5', {
      domain: 'auto', path: '/', secure: true, httpOnly: true, sameSite: 'lax', 'max-age': 2592000
    });
    assertApi('templateDataStorage.setItemCopy').wasCalledWith('count', 3);
    assertApi('gtmOnSuccess').wasCalled();
- name: Another keeps the own one
  code: |-
    mock('getCookieValues', ['known']);
    runCode({name: 'visitor', days: '30'});
    assertThat(set).contains('known');
- name: A cookie that is not granted is not set
  code: |-
    runCode({name: 'other', days: '30'});
    assertApi('setCookie').wasNotCalled();
    assertApi('gtmOnFailure').wasCalled();
setup: |-
  const set = [];
  mock('getTimestampMillis', 5);
  mock('getCookieValues', []);
  mock('setCookie', (name, value) => { set.push(value); });
  mockObject('templateDataStorage', {getItemCopy: () => 2, setItemCopy: () => {}, removeItem: () => {}});


___NOTES___

Made for the tests of Twite.


