___INFO___

{
  "type": "TAG",
  "id": "cvt_temp_public_id",
  "version": 1,
  "securityGroups": [],
  "displayName": "Old habits",
  "description": "Made for the tests of Twite.",
  "containerContexts": [
    "SERVER"
  ]
}


___TEMPLATE_PARAMETERS___

[
  {
    "type": "TEXT",
    "name": "list",
    "displayName": "list",
    "simpleValueType": true
  },
  {
    "type": "CHECKBOX",
    "name": "log",
    "checkboxText": "Log",
    "simpleValueType": true,
    "defaultValue": false
  }
]


___SANDBOXED_JS_FOR_SERVER___

const logToConsole = require('logToConsole');
const getContainerVersion = require('getContainerVersion');
const getRequestHeader = require('getRequestHeader');
const makeString = require('makeString');
const Object = require('Object');

const containerVersion = getContainerVersion();
const isDebug = containerVersion.debugMode;
const traceId = getRequestHeader('trace-id');

function classify(value) {
  switch (typeof value) {
    case 'string':
      return value.match('^[a-f0-9]{64}$') !== null ? 'hash' : 'text';
    case 'number':
      return value % 2 ? 'odd' : 'even';
    default:
      return 'other';
  }
}

const source = data.hasOwnProperty('list') ? data.list : [];
const counts = {};
for (const one of source) {
  const name = classify(one);
  counts[name] = (counts[name] || 0) + 1;
}
let text = '';
for (let key in counts) {
  if (counts.hasOwnProperty(key)) text += key + ':' + counts[key] + ';';
}
let index = 0;
while (index < 3) index++;
const flags = (1 << index) | 1;
function sum() {
  let all = 0;
  for (let i = 0; i < arguments.length; i++) all += arguments[i];
  return all;
}
if (data.log || isDebug) logToConsole(makeString(traceId), text, flags, sum(1, 2, 3), Object.keys(counts).length);
data.gtmOnSuccess();
return text;


___SERVER_PERMISSIONS___

[
  {
    "instance": {
      "key": {
        "publicId": "logging",
        "versionId": "1"
      },
      "param": [
        {
          "key": "environments",
          "value": {
            "type": 1,
            "string": "all"
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
        "publicId": "read_container_data",
        "versionId": "1"
      },
      "param": []
    },
    "isRequired": true
  },
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
                    "string": "trace-id"
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
- name: Everything is counted by its kind
  code: "const list = ['a', '0000000000000000000000000000000000000000000000000000000000000000', 1, 2, 3,\
    \ null];\nmock('getRequestHeader', 't1');\nassertThat(runCode({list: list})).isEqualTo('text:1;hash:1;odd:2;even:1;other:1;');\n\
    assertApi('logToConsole').wasCalledWith('t1', 'text:1;hash:1;odd:2;even:1;other:1;', 9, 6, 5);"
- name: A field that is not there is not missed
  code: |-
    mock('getContainerVersion', {debugMode: false});
    assertThat(runCode({})).isEqualTo('');
    assertApi('logToConsole').wasNotCalled();


___NOTES___

Made for the tests of Twite.


