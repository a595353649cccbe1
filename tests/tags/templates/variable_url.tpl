___INFO___

{
  "type": "MACRO",
  "id": "cvt_temp_public_id",
  "version": 1,
  "securityGroups": [],
  "displayName": "Part of an address",
  "description": "Made for the tests of Twite.",
  "containerContexts": [
    "SERVER"
  ]
}


___TEMPLATE_PARAMETERS___

[
  {
    "type": "TEXT",
    "name": "url",
    "displayName": "url",
    "simpleValueType": true
  },
  {
    "type": "RADIO",
    "name": "part",
    "displayName": "Part",
    "simpleValueType": true,
    "radioItems": [
      {
        "value": "host",
        "displayValue": "Host"
      },
      {
        "value": "domain",
        "displayValue": "Registrable domain"
      },
      {
        "value": "parameter",
        "displayValue": "Parameter",
        "subParams": [
          {
            "type": "TEXT",
            "name": "name",
            "displayName": "name",
            "simpleValueType": true
          }
        ]
      }
    ]
  }
]


___SANDBOXED_JS_FOR_SERVER___

const parseUrl = require('parseUrl');
const computeEffectiveTldPlusOne = require('computeEffectiveTldPlusOne');
const decodeUri = require('decodeUri');
const decodeUriComponent = require('decodeUriComponent');
const encodeUri = require('encodeUri');
const encodeUriComponent = require('encodeUriComponent');

const url = parseUrl(data.url);
if (!url) return undefined;
if (data.part === 'domain') return computeEffectiveTldPlusOne(data.url);
if (data.part === 'parameter') return decodeUriComponent(encodeUriComponent(url.searchParams[data.name]));
return decodeUri(encodeUri(url.host));


___TESTS___

scenarios:
- name: The host
  code: |-
    assertThat(runCode({url: 'https://Shop.Example:8443/', part: 'host'})).isEqualTo('shop.example:8443');
- name: The registrable domain
  code: |-
    assertThat(runCode({url: 'https://a.b.shop.co.uk/', part: 'domain'})).isEqualTo('shop.co.uk');
- name: A parameter, of which there may be several
  code: |-
    const fields = {url: 'https://shop.example/?a=%C3%A4&b=1&b=2', part: 'parameter', name: 'a'};
    assertThat(runCode(fields)).isEqualTo('ä');
    fields.name = 'b';
    assertThat(runCode(fields), 'several').isEqualTo('1,2');
- name: What is no address has no part
  code: |-
    assertThat(runCode({url: 'nonsense', part: 'host'})).isUndefined();


___NOTES___

Made for the tests of Twite.


