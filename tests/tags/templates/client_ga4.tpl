___INFO___

{
  "type": "CLIENT",
  "id": "cvt_temp_public_id",
  "version": 1,
  "securityGroups": [],
  "displayName": "GA4 client",
  "description": "Made for the tests of Twite.",
  "containerContexts": [
    "SERVER"
  ]
}


___SANDBOXED_JS_FOR_SERVER___

const isRequestMpv2 = require('isRequestMpv2');
const isRequestMpv1 = require('isRequestMpv1');
const extractEventsFromMpv2 = require('extractEventsFromMpv2');
const extractEventsFromMpv1 = require('extractEventsFromMpv1');
const claimRequest = require('claimRequest');
const runContainer = require('runContainer');
const returnResponse = require('returnResponse');
const getClientName = require('getClientName');
const logToConsole = require('logToConsole');

const old = isRequestMpv1();
if (!old && !isRequestMpv2()) return;
claimRequest();
logToConsole(getClientName());
const events = old ? extractEventsFromMpv1() : extractEventsFromMpv2();
let left = events.length;
events.forEach((event) => runContainer(event, () => {
  if (--left === 0) returnResponse();
}));


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
            "string": "all"
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
- name: Each event runs the container, and the last one answers
  code: |-
    mock('isRequestMpv2', true);
    mock('extractEventsFromMpv2', [{event_name: 'a'}, {event_name: 'b'}]);
    const seen = [];
    mock('runContainer', (event, done) => { seen.push(event.event_name); done(); });
    runCode({});
    assertThat(seen).isEqualTo(['a', 'b']);
    assertApi('returnResponse').wasCalled();
    assertApi('logToConsole').wasCalledWith('test');
- name: What is no hit is left to others
  code: |-
    runCode({});
    assertApi('claimRequest').wasNotCalled();


___NOTES___

Made for the tests of Twite.


