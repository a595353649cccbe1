___INFO___

{
  "type": "CLIENT",
  "id": "cvt_temp_public_id",
  "version": 1,
  "securityGroups": [],
  "displayName": "JSON client",
  "description": "Made for the tests of Twite.",
  "containerContexts": [
    "SERVER"
  ]
}


___TEMPLATE_PARAMETERS___

[
  {
    "type": "TEXT",
    "name": "path",
    "displayName": "path",
    "simpleValueType": true,
    "defaultValue": "/in"
  },
  {
    "type": "CHECKBOX",
    "name": "pixel",
    "checkboxText": "Pixel",
    "simpleValueType": true
  }
]


___SANDBOXED_JS_FOR_SERVER___

const claimRequest = require('claimRequest');
const runContainer = require('runContainer');
const returnResponse = require('returnResponse');
const setResponseStatus = require('setResponseStatus');
const setResponseHeader = require('setResponseHeader');
const setResponseBody = require('setResponseBody');
const setPixelResponse = require('setPixelResponse');
const getRequestPath = require('getRequestPath');
const getRequestBody = require('getRequestBody');
const getRequestMethod = require('getRequestMethod');
const getRequestQueryParameters = require('getRequestQueryParameters');
const getRequestQueryString = require('getRequestQueryString');
const getRemoteAddress = require('getRemoteAddress');
const addMessageListener = require('addMessageListener');
const JSON = require('JSON');

if (getRequestPath() !== data.path) return;
claimRequest();
const heard = [];
addMessageListener('tag_done', (type, message) => heard.push(message.id));
const sent = getRequestMethod() === 'POST' ? JSON.parse(getRequestBody()) || {} : getRequestQueryParameters();
sent.ip_override = getRemoteAddress();
sent.query = getRequestQueryString();
runContainer(sent, () => {
  if (data.pixel) setPixelResponse();
  else {
    setResponseStatus(202);
    setResponseHeader('Content-Type', 'application/json');
    setResponseBody(JSON.stringify({heard: heard}));
  }
  returnResponse();
});


___SERVER_PERMISSIONS___

[
  {
    "instance": {
      "key": {
        "publicId": "read_request",
        "versionId": "1"
      },
      "param": [
        {
          "key": "requestAccess",
          "value": {
            "type": 1,
            "string": "specific"
          }
        },
        {
          "key": "bodyAllowed",
          "value": {
            "type": 8,
            "boolean": true
          }
        },
        {
          "key": "pathAllowed",
          "value": {
            "type": 8,
            "boolean": true
          }
        },
        {
          "key": "remoteAddressAllowed",
          "value": {
            "type": 8,
            "boolean": true
          }
        },
        {
          "key": "queryParametersAllowed",
          "value": {
            "type": 8,
            "boolean": true
          }
        },
        {
          "key": "queryParameterAccess",
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
  },
  {
    "instance": {
      "key": {
        "publicId": "run_container",
        "versionId": "1"
      },
      "param": []
    },
    "isRequired": true
  },
  {
    "instance": {
      "key": {
        "publicId": "return_response",
        "versionId": "1"
      },
      "param": []
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
          "key": "writeStatusAllowed",
          "value": {
            "type": 8,
            "boolean": true
          }
        },
        {
          "key": "writeBodyAllowed",
          "value": {
            "type": 8,
            "boolean": true
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
          "key": "writeHeaderAccess",
          "value": {
            "type": 1,
            "string": "specific"
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
                    "string": "content-type"
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
        "publicId": "use_message",
        "versionId": "1"
      },
      "param": [
        {
          "key": "allowedActions",
          "value": {
            "type": 1,
            "string": "specific"
          }
        },
        {
          "key": "messageTypes",
          "value": {
            "type": 2,
            "listItem": [
              {
                "type": 3,
                "mapKey": [
                  {
                    "type": 1,
                    "string": "type"
                  },
                  {
                    "type": 1,
                    "string": "action"
                  }
                ],
                "mapValue": [
                  {
                    "type": 1,
                    "string": "tag_done"
                  },
                  {
                    "type": 1,
                    "string": "listen"
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
- name: Another path is left to others
  code: |-
    mock('getRequestPath', '/other');
    runCode({path: '/in'});
    assertApi('claimRequest').wasNotCalled();
    assertApi('runContainer').wasNotCalled();
- name: A body becomes an event, and the container's end the answer
  code: |-
    mock('getRequestPath', '/in');
    mock('getRequestMethod', 'POST');
    mock('getRequestBody', '{"event_name":"a"}');
    mock('getRemoteAddress', '203.0.113.7');
    mock('runContainer', (event, done) => {
      assertThat(event).isEqualTo({event_name: 'a', ip_override: '203.0.113.7', query: ''});
      done((act) => act);
    });
    runCode({path: '/in'});
    assertApi('setResponseStatus').wasCalledWith(202);
    assertApi('setResponseHeader').wasCalledWith('Content-Type', 'application/json');
    assertApi('setResponseBody').wasCalledWith('{"heard":[]}');
    assertApi('returnResponse').wasCalled();
- name: A query is an event as well, and a pixel an answer
  code: |-
    mock('getRequestPath', '/in');
    mock('getRequestQueryParameters', {event_name: 'b'});
    mock('runContainer', (event, done) => done());
    runCode({path: '/in', pixel: true});
    assertApi('runContainer').wasCalled();
    assertApi('setPixelResponse').wasCalled();
    assertApi('setResponseStatus').wasNotCalled();


___NOTES___

Made for the tests of Twite.


