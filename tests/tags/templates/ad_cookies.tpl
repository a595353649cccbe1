___INFO___

{
  "type": "TAG",
  "id": "cvt_temp_public_id",
  "version": 1,
  "securityGroups": [],
  "displayName": "Ads with cookies",
  "description": "Made for the tests of Twite: cookies as tags of ad networks set them.",
  "containerContexts": [
    "SERVER"
  ]
}


___TEMPLATE_PARAMETERS___

[
  {
    "type": "TEXT",
    "name": "endpoint",
    "displayName": "endpoint",
    "simpleValueType": true
  },
  {
    "type": "TEXT",
    "name": "header",
    "displayName": "header",
    "simpleValueType": true
  },
  {
    "type": "TEXT",
    "name": "pixel",
    "displayName": "pixel",
    "simpleValueType": true
  }
]


___SANDBOXED_JS_FOR_SERVER___

const getCookieValues = require('getCookieValues');
const setCookie = require('setCookie');
const getAllEventData = require('getAllEventData');
const generateRandom = require('generateRandom');
const getTimestampMillis = require('getTimestampMillis');
const parseUrl = require('parseUrl');
const sendHttpRequest = require('sendHttpRequest');
const sendPixelFromBrowser = require('sendPixelFromBrowser');
const setResponseHeader = require('setResponseHeader');
const JSON = require('JSON');

const event = getAllEventData();
const options = {domain: 'auto', path: '/', secure: true, httpOnly: false, samesite: 'Lax', 'max-age': 7776000};
const page = parseUrl(event.page_location || '');
const clicked = page && page.searchParams.adclid;
const browser = getCookieValues('_adp')[0] || 'ad.1.' + getTimestampMillis() + '.' + generateRandom(1000000000, 2147483647);
const click = clicked ? 'ad.1.' + getTimestampMillis() + '.' + clicked : getCookieValues('_adc')[0];
setCookie('_adp', browser, options);
if (click) setCookie('_adc', click, options);
if (data.header) setResponseHeader('x-ad', data.header);
const pixel = data.pixel ? sendPixelFromBrowser(data.pixel) : undefined;
const body = JSON.stringify({event: event.event_name, adp: browser, adc: click, pixel: pixel});
sendHttpRequest(data.endpoint, {method: 'POST', headers: {'content-type': 'application/json'}}, body).then(
  (answer) => (answer.statusCode < 300 ? data.gtmOnSuccess() : data.gtmOnFailure()),
  data.gtmOnFailure
);


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
                "string": "_adp"
              },
              {
                "type": 1,
                "string": "_adc"
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
                    "string": "_adp"
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
                    "string": "any"
                  },
                  {
                    "type": 1,
                    "string": "any"
                  }
                ]
              },
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
                    "string": "_adc"
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
                    "string": "any"
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
    "isRequired": true
  },
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
    "isRequired": true
  },
  {
    "instance": {
      "key": {
        "publicId": "access_response",
        "versionId": "1"
      },
      "param": [
        {
          "key": "writeResponseAccess",
          "value": {
            "type": 1,
            "string": "specific"
          }
        },
        {
          "key": "writeHeaderAccess",
          "value": {
            "type": 1,
            "string": "specific"
          }
        },
        {
          "key": "writeHeadersAllowed",
          "value": {
            "type": 8,
            "boolean": true
          }
        },
        {
          "key": "writeHeaderWhitelist",
          "value": {
            "type": 2,
            "listItem": [
              {
                "type": 3,
                "mapKey": [
                  {
                    "type": 1,
                    "string": "headerName"
                  }
                ],
                "mapValue": [
                  {
                    "type": 1,
                    "string": "x-ad"
                  }
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
    "instance": {
      "key": {
        "publicId": "send_pixel_from_browser",
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
    "isRequired": true
  }
]


___TESTS___

scenarios:
- name: A browser keeps its cookie
  code: |-
    mock('getCookieValues', ['ad.1.2.3']);
    mock('sendHttpRequest', (url, options, body) => {
      assertThat(require('JSON').parse(body).adp).isEqualTo('ad.1.2.3');
      return {then: (done) => done({statusCode: 200})};
    });
    runCode({endpoint: 'https://ads.example/'});
    assertApi('gtmOnSuccess').wasCalled();


___NOTES___

Made for the tests of Twite.
