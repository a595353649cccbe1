___INFO___

{
  "type": "TAG",
  "id": "cvt_temp_public_id",
  "version": 1,
  "securityGroups": [],
  "displayName": "Google's services",
  "description": "Made for the tests of Twite.",
  "containerContexts": [
    "SERVER"
  ]
}


___TEMPLATE_PARAMETERS___

[]


___SANDBOXED_JS_FOR_SERVER___

const BigQuery = require('BigQuery');
const Firestore = require('Firestore');
const getGoogleAuth = require('getGoogleAuth');
const getGoogleScript = require('getGoogleScript');
const sendEventToGoogleAnalytics = require('sendEventToGoogleAnalytics');
const sendHttpRequest = require('sendHttpRequest');
const Promise = require('Promise');
const JSON = require('JSON');

const authorization = getGoogleAuth({scopes: ['https://www.googleapis.com/auth/datastore']});
Promise.all([
  BigQuery.insert({datasetId: 'd', tableId: 't'}, [{a: 1}], {ignoreUnknownValues: true}),
  Firestore.read('visitors/1').then((document) => Firestore.write('visitors/1', {seen: document.data.seen + 1}, {merge: true})),
  Firestore.query('visitors', [['seen', '>', 1]]),
  Firestore.runTransaction((transaction) => Firestore.write('visitors/2', {a: 1}, {transaction: transaction})),
  getGoogleScript('GTAG', {id: 'G-1'}),
  sendEventToGoogleAnalytics({event_name: 'a'}),
  sendHttpRequest('https://www.googleapis.com/x', {authorization: authorization})
]).then((all) => {
  if (JSON.stringify(all[2]) === '[]') data.gtmOnSuccess();
  else data.gtmOnFailure();
}, data.gtmOnFailure);


___SERVER_PERMISSIONS___

[
  {
    "instance": {
      "key": {
        "publicId": "access_bigquery",
        "versionId": "1"
      },
      "param": [
        {
          "key": "allowedTables",
          "value": {
            "type": 2,
            "listItem": [
              {
                "type": 3,
                "mapKey": [
                  {
                    "type": 1,
                    "string": "projectId"
                  },
                  {
                    "type": 1,
                    "string": "datasetId"
                  },
                  {
                    "type": 1,
                    "string": "tableId"
                  },
                  {
                    "type": 1,
                    "string": "operation"
                  }
                ],
                "mapValue": [
                  {
                    "type": 1,
                    "string": "GOOGLE_CLOUD_PROJECT"
                  },
                  {
                    "type": 1,
                    "string": "d"
                  },
                  {
                    "type": 1,
                    "string": "*"
                  },
                  {
                    "type": 1,
                    "string": "write"
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
        "publicId": "access_firestore",
        "versionId": "1"
      },
      "param": [
        {
          "key": "allowedOptions",
          "value": {
            "type": 2,
            "listItem": [
              {
                "type": 3,
                "mapKey": [
                  {
                    "type": 1,
                    "string": "projectId"
                  },
                  {
                    "type": 1,
                    "string": "path"
                  },
                  {
                    "type": 1,
                    "string": "operation"
                  }
                ],
                "mapValue": [
                  {
                    "type": 1,
                    "string": "GOOGLE_CLOUD_PROJECT"
                  },
                  {
                    "type": 1,
                    "string": "visitors*"
                  },
                  {
                    "type": 1,
                    "string": "read_write"
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
        "publicId": "use_google_credentials",
        "versionId": "1"
      },
      "param": [
        {
          "key": "allowedScopes",
          "value": {
            "type": 2,
            "listItem": [
              {
                "type": 1,
                "string": "https://www.googleapis.com/auth/datastore"
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
        "publicId": "send_http",
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
            "listItem": []
          }
        },
        {
          "key": "allowGoogleDomains",
          "value": {
            "type": 8,
            "boolean": true
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
- name: All of them are asked, and one answer is enough to tell
  code: |-
    const Promise = require('Promise');
    const callLater = require('callLater');
    const told = (value) => () => Promise.create((resolve) => resolve(value));
    const written = [];
    mockObject('BigQuery', {insert: told()});
    mockObject('Firestore', {
      read: told({id: '1', data: {seen: 1}}), query: told([]), runTransaction: (act) => act('t1'),
      write: (path, value, options) => { written.push([path, value, options]); return told('id')(); }
    });
    mock('getGoogleScript', told({script: ''}));
    mock('sendEventToGoogleAnalytics', told({}));
    mock('sendHttpRequest', told({statusCode: 200}));
    runCode({});
    callLater(() => {
      assertApi('gtmOnSuccess').wasCalled();
      assertApi('BigQuery.insert').wasCalledWith({datasetId: 'd', tableId: 't'}, [{a: 1}], {ignoreUnknownValues: true});
      assertThat(written).hasLength(2);
      assertThat(written).containsExactly(
        ['visitors/2', {a: 1}, {transaction: 't1'}], ['visitors/1', {seen: 2}, {merge: true}]);
    });


___NOTES___

Made for the tests of Twite.


