___INFO___

{
  "type": "MACRO",
  "id": "cvt_temp_public_id",
  "version": 1,
  "securityGroups": [],
  "displayName": "What the request says",
  "description": "Made for the tests of Twite.",
  "containerContexts": [
    "SERVER"
  ]
}


___TEMPLATE_PARAMETERS___

[
  {
    "type": "TEXT",
    "name": "header",
    "displayName": "header",
    "simpleValueType": true,
    "defaultValue": "user-agent"
  },
  {
    "type": "TEXT",
    "name": "parameter",
    "displayName": "parameter",
    "simpleValueType": true,
    "defaultValue": "gclid"
  }
]


___SANDBOXED_JS_FOR_SERVER___

const getRequestHeader = require('getRequestHeader');
const getRequestQueryParameter = require('getRequestQueryParameter');
const callLater = require('callLater');

let seen = 0;
callLater(() => { seen++; });
return [getRequestHeader(data.header), getRequestQueryParameter(data.parameter), seen];


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
          "key": "headersAllowed",
          "value": {
            "type": 8,
            "boolean": true
          }
        },
        {
          "key": "headerAccess",
          "value": {
            "type": 1,
            "string": "specific"
          }
        },
        {
          "key": "headerWhitelist",
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
                    "string": "user-agent"
                  }
                ]
              }
            ]
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
            "string": "specific"
          }
        },
        {
          "key": "queryParameterWhitelist",
          "value": {
            "type": 2,
            "listItem": [
              {
                "type": 3,
                "mapKey": [
                  {
                    "type": 1,
                    "string": "queryParameter"
                  }
                ],
                "mapValue": [
                  {
                    "type": 1,
                    "string": "gclid"
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
- name: A header and a parameter
  code: |-
    mock('getRequestHeader', (name) => name + '!');
    mock('getRequestQueryParameter', 'p');
    assertThat(runCode({header: 'user-agent', parameter: 'gclid'})).isEqualTo(['user-agent!', 'p', 0]);
- name: Without a mock there is some header
  code: |-
    const found = runCode({header: 'user-agent', parameter: 'gclid'});
    assertThat(found[0]).isString();
    assertThat(found[1]).isUndefined();


___NOTES___

ä ö 😀


