___INFO___

{
  "type": "TAG",
  "id": "cvt_temp_public_id",
  "version": 1,
  "securityGroups": [],
  "displayName": "Tells what happened",
  "description": "Made for the tests of Twite.",
  "containerContexts": [
    "SERVER"
  ]
}


___TEMPLATE_PARAMETERS___

[
  {
    "type": "TEXT",
    "name": "key",
    "displayName": "key",
    "simpleValueType": true,
    "defaultValue": "ingest"
  }
]


___SANDBOXED_JS_FOR_SERVER___

const addEventCallback = require('addEventCallback');
const sendMessage = require('sendMessage');
const hasMessageListener = require('hasMessageListener');
const hmacSha256 = require('hmacSha256');
const sha256 = require('sha256');
const sendPixelFromBrowser = require('sendPixelFromBrowser');
const getEventData = require('getEventData');
const getContainerVersion = require('getContainerVersion');
const logToConsole = require('logToConsole');
const JSON = require('JSON');

const version = getContainerVersion();
addEventCallback((container, event) => logToConsole(container, JSON.stringify(event)));
if (hasMessageListener('tag_done')) sendMessage('tag_done', {id: getEventData('event_id')});
const signature = hmacSha256('text', data.key, {outputEncoding: 'hex'});
if (!sendPixelFromBrowser('https://pixel.example/p?s=' + signature)) logToConsole('no pixel', version.version);
sha256('text', (digest) => {
  logToConsole(digest);
  data.gtmOnSuccess();
});


___SERVER_PERMISSIONS___

[
  {
    "instance": {
      "key": {
        "publicId": "read_event_metadata",
        "versionId": "1"
      },
      "param": []
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
        "publicId": "use_custom_private_keys",
        "versionId": "1"
      },
      "param": [
        {
          "key": "keyIds",
          "value": {
            "type": 2,
            "listItem": [
              {
                "type": 1,
                "string": "ingest"
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
        "publicId": "send_pixel_from_browser",
        "versionId": "1"
      },
      "param": [
        {
          "key": "allowedUrls",
          "value": {
            "type": 1,
            "string": "specific"
          }
        },
        {
          "key": "urls",
          "value": {
            "type": 2,
            "listItem": [
              {
                "type": 1,
                "string": "https://pixel.example/"
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
        "publicId": "read_event_data",
        "versionId": "1"
      },
      "param": [
        {
          "key": "eventDataAccess",
          "value": {
            "type": 1,
            "string": "specific"
          }
        },
        {
          "key": "keyPatterns",
          "value": {
            "type": 2,
            "listItem": [
              {
                "type": 1,
                "string": "event_id"
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
        "publicId": "logging",
        "versionId": "1"
      },
      "param": [
        {
          "key": "environments",
          "value": {
            "type": 1,
            "string": "debug"
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
- name: A message is sent where somebody listens
  code: |-
    mock('hasMessageListener', true);
    runCode({key: 'ingest'});
    assertApi('sendMessage').wasCalledWith('tag_done', {id: 'e1'});
- name: Nobody is told where nobody listens
  code: |-
    runCode({key: 'ingest'});
    assertApi('sendMessage').wasNotCalled();
    assertApi('sendPixelFromBrowser').wasCalledWith('https://pixel.example/p?s=abc');
    assertApi('logToConsole').wasCalledWith('no pixel', 'QUICK_PREVIEW');
    require('callLater')(() => {
      assertApi('logToConsole').wasCalledWith('mC2ePrmW9VnmM/TRlN7zdh2Qn1o7ZH0ahR/q1nwyydE=');
      assertApi('gtmOnSuccess').wasCalled();
    });
- name: The end of the event is logged
  code: |-
    let end;
    mock('addEventCallback', (callback) => { end = callback; });
    runCode({key: 'ingest'});
    end('GTM-1', {tags: [{id: '1', status: 'success'}]});
    assertApi('logToConsole').wasCalledWith('GTM-1', '{"tags":[{"id":"1","status":"success"}]}');
setup: |-
  mock('hmacSha256', 'abc');
  mock('getEventData', 'e1');


___NOTES___

Made for the tests of Twite.


