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
  "displayName": "Twite: conversions for X",
  "categories": [
    "ADVERTISING",
    "CONVERSIONS",
    "ATTRIBUTION"
  ],
  "brand": {
    "id": "brand_dummy",
    "displayName": "Twite"
  },
  "description": "Sends conversions to a Twite gateway of your own, which hands them to X's Conversion API: durable, deduplicated, once. Email and phone are hashed before they leave the container.",
  "containerContexts": [
    "SERVER"
  ]
}


___TEMPLATE_PARAMETERS___

[
  {
    "type": "GROUP",
    "name": "gatewayGroup",
    "displayName": "Gateway",
    "groupStyle": "NO_ZIPPY",
    "subParams": [
      {
        "type": "TEXT",
        "name": "gatewayUrl",
        "displayName": "Gateway address",
        "simpleValueType": true,
        "valueHint": "https://t.shop.example",
        "help": "Where your Twite answers: <i>server.public_url</i> in its twite.toml. It must begin with https://",
        "alwaysInSummary": true,
        "valueValidators": [
          {
            "type": "NON_EMPTY",
            "errorMessage": "The tag cannot send without it."
          },
          {
            "type": "REGEX",
            "args": [
              "^https://[^/?#@\\s]+(/[^?#\\s]*)?$"
            ],
            "errorMessage": "It must begin with https:// and have no query."
          }
        ]
      },
      {
        "type": "TEXT",
        "name": "sourceKey",
        "displayName": "Source key",
        "simpleValueType": true,
        "help": "The <i>key</i> of a [[source]] in twite.toml. It is a secret: everybody who can edit this container can read it.",
        "valueValidators": [
          {
            "type": "NON_EMPTY",
            "errorMessage": "The gateway refuses a request without it."
          }
        ]
      },
      {
        "type": "TEXT",
        "name": "pixel",
        "displayName": "Pixel",
        "simpleValueType": true,
        "valueHint": "o8z6j",
        "help": "Only where the source may submit for several pixels; otherwise leave it empty."
      }
    ]
  },
  {
    "type": "GROUP",
    "name": "eventGroup",
    "displayName": "Event",
    "groupStyle": "NO_ZIPPY",
    "subParams": [
      {
        "type": "RADIO",
        "name": "eventMode",
        "displayName": "Which event is it?",
        "simpleValueType": true,
        "defaultValue": "own",
        "radioItems": [
          {
            "value": "own",
            "displayValue": "The event's own name; the gateway knows which of yours it is",
            "help": "<i>purchase</i>, <i>generate_lead</i>, <i>add_to_cart</i> and others are known, [source.events] names the rest."
          },
          {
            "value": "fixed",
            "displayValue": "Always the same",
            "subParams": [
              {
                "type": "TEXT",
                "name": "eventName",
                "displayName": "Event",
                "simpleValueType": true,
                "valueHint": "purchase",
                "help": "A name of [pixel.events] in twite.toml.",
                "valueValidators": [
                  {
                    "type": "NON_EMPTY",
                    "errorMessage": "Which event?"
                  }
                ]
              }
            ]
          },
          {
            "value": "table",
            "displayValue": "By a table",
            "subParams": [
              {
                "type": "SIMPLE_TABLE",
                "name": "eventTable",
                "displayName": "",
                "simpleTableColumns": [
                  {
                    "type": "TEXT",
                    "name": "from",
                    "displayName": "Event of the container",
                    "defaultValue": "",
                    "isUnique": true,
                    "valueValidators": [
                      {
                        "type": "NON_EMPTY"
                      }
                    ]
                  },
                  {
                    "type": "TEXT",
                    "name": "to",
                    "displayName": "Event of the pixel",
                    "defaultValue": "",
                    "valueValidators": [
                      {
                        "type": "NON_EMPTY"
                      }
                    ]
                  }
                ]
              },
              {
                "type": "CHECKBOX",
                "name": "eventTableOnly",
                "checkboxText": "Send only what stands in the table",
                "simpleValueType": true,
                "defaultValue": true
              }
            ]
          }
        ]
      }
    ]
  },
  {
    "type": "GROUP",
    "name": "contentGroup",
    "displayName": "What is sent",
    "groupStyle": "ZIPPY_CLOSED",
    "subParams": [
      {
        "type": "LABEL",
        "name": "contentLabel",
        "displayName": "Read from the event: id, time, value, currency, items, page, click id, email, phone, address and user agent. Email and phone leave the container as SHA-256 alone."
      },
      {
        "type": "TEXT",
        "name": "phoneCountry",
        "displayName": "Calling code of numbers without one",
        "simpleValueType": true,
        "valueHint": "44",
        "help": "A number that begins with + or 00 needs none. Without a calling code other numbers are not sent, since their hash would match nobody.",
        "valueValidators": [
          {
            "type": "REGEX",
            "args": [
              "^[1-9][0-9]{0,2}$"
            ],
            "errorMessage": "Digits alone, as in 44."
          }
        ]
      },
      {
        "type": "SIMPLE_TABLE",
        "name": "overrides",
        "displayName": "Instead of what the event holds",
        "simpleTableColumns": [
          {
            "type": "SELECT",
            "name": "name",
            "displayName": "What",
            "defaultValue": "conversion_id",
            "isUnique": true,
            "selectItems": [
              {
                "value": "conversion_id",
                "displayValue": "Conversion id"
              },
              {
                "value": "value",
                "displayValue": "Value"
              },
              {
                "value": "currency",
                "displayValue": "Currency"
              },
              {
                "value": "email",
                "displayValue": "Email"
              },
              {
                "value": "phone",
                "displayValue": "Phone"
              },
              {
                "value": "twclid",
                "displayValue": "Click id (twclid)"
              },
              {
                "value": "ip_override",
                "displayValue": "IP address"
              },
              {
                "value": "user_agent",
                "displayValue": "User agent"
              },
              {
                "value": "page_location",
                "displayValue": "Page"
              },
              {
                "value": "search_term",
                "displayValue": "Search"
              },
              {
                "value": "description",
                "displayValue": "Description"
              }
            ]
          },
          {
            "type": "TEXT",
            "name": "value",
            "displayName": "Value",
            "defaultValue": ""
          }
        ]
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
        "displayName": "",
        "simpleValueType": true,
        "defaultValue": "gateway",
        "radioItems": [
          {
            "value": "gateway",
            "displayValue": "The gateway decides",
            "help": "Every signal of the event goes with it; what a source wants of them is said in twite.toml."
          },
          {
            "value": "required",
            "displayValue": "Send only where advertising was agreed to",
            "help": "ad_storage and ad_user_data, in consent_state or in Google's gcs and gcd. Any no is a no; where nothing was said, or a default granted what nobody was asked, nothing is sent."
          }
        ]
      }
    ]
  },
  {
    "type": "GROUP",
    "name": "cookieGroup",
    "displayName": "First-party cookie",
    "groupStyle": "ZIPPY_OPEN",
    "subParams": [
      {
        "type": "CHECKBOX",
        "name": "useCookie",
        "checkboxText": "Keep the click id of an ad in a first-party cookie",
        "simpleValueType": true,
        "defaultValue": true,
        "help": "Set when somebody lands with <i>twclid</i> in the address, under the name <i>_twite</i>, as twite.js does. X's <i>_twclid</i> and <i>twclid</i> are read as well."
      },
      {
        "type": "TEXT",
        "name": "cookieDays",
        "displayName": "For how many days",
        "simpleValueType": true,
        "defaultValue": "90",
        "enablingConditions": [
          {
            "paramName": "useCookie",
            "paramValue": true,
            "type": "EQUALS"
          }
        ],
        "valueValidators": [
          {
            "type": "POSITIVE_NUMBER"
          }
        ]
      },
      {
        "type": "CHECKBOX",
        "name": "cookieHttpOnly",
        "checkboxText": "Hide it from scripts (HttpOnly)",
        "simpleValueType": true,
        "defaultValue": false,
        "enablingConditions": [
          {
            "paramName": "useCookie",
            "paramValue": true,
            "type": "EQUALS"
          }
        ]
      }
    ]
  },
  {
    "type": "GROUP",
    "name": "logGroup",
    "displayName": "Log",
    "groupStyle": "ZIPPY_CLOSED",
    "subParams": [
      {
        "type": "CHECKBOX",
        "name": "debugLog",
        "checkboxText": "Say in preview and debug mode what was sent and answered",
        "simpleValueType": true,
        "defaultValue": true,
        "help": "Never who: no email, phone, click id or address."
      }
    ]
  }
]


___SANDBOXED_JS_FOR_SERVER___

// Sends one conversion to a Twite gateway. Email and phone are hashed here; what the gateway does not
// read is not sent.

const sendHttpRequest = require('sendHttpRequest');
const encodeUriComponent = require('encodeUriComponent');
const getCookieValues = require('getCookieValues');
const getEventData = require('getEventData');
const getRequestHeader = require('getRequestHeader');
const getTimestampMillis = require('getTimestampMillis');
const getType = require('getType');
const JSON = require('JSON');
const logToConsole = require('logToConsole');
const makeInteger = require('makeInteger');
const makeString = require('makeString');
const parseUrl = require('parseUrl');
const setCookie = require('setCookie');
const sha256Sync = require('sha256Sync');

const TAG_VERSION = '1.0.0';
const PREVIEW_PAGE = 'https://gtm-msr.appspot.com/';
const TIMEOUT = 5000;
const SECONDS_A_DAY = 86400;

// What the gateway reads as it stands. Persons are not among it: see `digestOf…`.
const TIMES = ['conversion_time', 'conversionTime', 'dateISO', 'conversion_timestamp', 'timestamp_micros'];
// Consent: Google's signals and the IAB's strings, which may also be parameters of a GA4 hit itself.
const SIGNALS = [
  'consent_state', 'consent', 'gdpr', 'gdpr_applies', 'gdpr_consent', 'tc_string', 'addtl_consent', 'gpp',
  'gpp_string', 'gpp_sid', 'us_privacy', 'gpc', 'non_personalized_ads', 'ad_storage', 'ad_user_data',
  'ad_personalization', 'analytics_storage', 'gcs', 'gcd', 'npa'
];
// Groups of parameters that may hold signals, and persons: only the signals are sent.
const GROUPS = ['x-ga-mp2-user_properties', 'x-sst-system_properties'];
const PLAIN = TIMES.concat([
  'conversion_id', 'transaction_id', 'ecommerce.transaction_id', 'order_id', 'orderId', 'subscription_id',
  'lead_id', 'event_id', 'eventId', 'unique_event_id',
  'value', 'ecommerce.value', 'revenue', 'e_v', 'x-ga-mp1-ev', 'x-ga-mp1-tr',
  'currency', 'currencyCode', 'ecommerce.currency', 'price_currency', 'items', 'ecommerce.items', 'contents',
  'tax', 'ecommerce.tax', 'shipping', 'ecommerce.shipping', 'new_customer', 'customer_type',
  'search_term', 'search_string', 'searchTerm', 'description',
  'ip_override', 'ipOverride', 'ip', 'ip_address', 'user_agent', 'userAgent',
  'client_id', 'clientId', 'visitor_id', 'user_id', 'userId', 'ga_session_id', 'x-ga-page_id', 'x-ga-request_count',
  'x-ga-gcs', 'x-ga-gcd', 'x-ga-npa', 'usPrivacy', 'usprivacy', 'US_PRIVACY',
  'x-ga-ur', 'event_location', 'user_location.country_id'
], SIGNALS, [
  'x-ga-mp2-gdpr', 'x-ga-mp2-gdpr_applies', 'x-ga-mp2-gdpr_consent', 'x-ga-mp2-tc_string', 'x-ga-mp2-addtl_consent',
  'x-ga-mp2-gpp', 'x-ga-mp2-gpp_string', 'x-ga-mp2-gpp_sid', 'x-ga-mp2-us_privacy', 'x-ga-mp2-gpc',
  'x-ga-mp2-non_personalized_ads', 'x-ga-mp2-ad_storage', 'x-ga-mp2-ad_user_data', 'x-ga-mp2-ad_personalization',
  'x-ga-mp2-analytics_storage',
  'x-ga-mp2-gcs', 'x-ga-mp2-gcd', 'x-ga-mp2-npa', 'x-ga-mp2-consent', 'x-ga-mp2-consent_state'
]);
// The gateway takes these before `value`, as Stape's tag does.
const BEFORE_VALUE = ['x-ga-mp1-ev', 'x-ga-mp1-tr'];
const PAGES = ['page_location', 'pageLocation', 'url', 'href'];
const PAGES_BEFORE = ['page_referrer', 'pageReferrer'];
const CLICKS = ['twclid', '_twclid', 'common_cookie.twclid', 'common_cookie._twclid'];
// Strings that the gateway can read and this tag cannot: they may say no.
const UNREAD = [
  'gdpr_consent', 'tc_string', 'gpp', 'gpp_string', 'us_privacy', 'usPrivacy', 'usprivacy', 'US_PRIVACY',
  'x-ga-mp2-gdpr_consent', 'x-ga-mp2-tc_string', 'x-ga-mp2-gpp', 'x-ga-mp2-gpp_string', 'x-ga-mp2-us_privacy'
];

const replaced = overrides();
const page = replaced.page_location || firstOf(PAGES) || getRequestHeader('referer') || '';
const landed = clickOfPage(page);

if (page.indexOf(PREVIEW_PAGE) === 0) {
  say('nothing is sent from a preview page');
  return data.gtmOnSuccess();
}
if (data.consent === 'required' && !agreed()) {
  say('nothing is sent without consent');
  return data.gtmOnSuccess();
}
const name = eventName();
if (!name) {
  say('this event is not one of the table');
  return data.gtmOnSuccess();
}
if (landed && data.useCookie && mayKeep() && isNew(landed)) keepClick(landed);
send(conversion(name));

function conversion(name) {
  const event = { event_name: name };
  PLAIN.forEach(function (key) {
    if (replaced.value && BEFORE_VALUE.indexOf(key) >= 0) return;
    const value = replaced.hasOwnProperty(key) ? replaced[key] : getEventData(key);
    if (value !== undefined && value !== null && value !== '') event[key] = value;
  });
  GROUPS.forEach(function (key) {
    const signals = signalsOf(key);
    if (signals) event[key] = signals;
  });
  if (optedOut()) event.gpc = '1';
  // Without their queries, where shops put what people typed: the click id goes by itself.
  if (bare(page)) event.page_location = bare(page);
  const before = firstOf(PAGES_BEFORE);
  if (bare(before)) event.page_referrer = bare(before);
  const timed = TIMES.some(function (key) {
    return !!event[key];
  });
  if (!timed) event.conversion_timestamp = getTimestampMillis();
  const email = digestOfEmail();
  if (email) event.email_sha256 = email;
  const phone = digestOfPhone();
  if (phone) event.phone_sha256 = phone;
  const click = replaced.twclid || landed || keptClick() || firstOf(CLICKS) || clickOfPage(before);
  if (click) event.twclid = click;
  const browser = textOf('_twpid') || getCookieValues('_twpid')[0];
  if (browser) event._twpid = browser;
  return event;
}

function signalsOf(group) {
  const given = getEventData(group);
  if (getType(given) !== 'object') return undefined;
  const found = {};
  const names = SIGNALS.filter(function (key) {
    return given[key] !== undefined && given[key] !== null && given[key] !== '';
  });
  names.forEach(function (key) {
    found[key] = given[key];
  });
  return names.length ? found : undefined;
}

function send(event) {
  const body = { version: TAG_VERSION, event: event };
  if (data.pixel) body.pixel = data.pixel;
  let address = makeString(data.gatewayUrl).trim();
  while (address.slice(-1) === '/') address = address.slice(0, -1);
  if (address.indexOf('https://') !== 0) {
    say('the gateway address must begin with https://');
    return data.gtmOnFailure();
  }
  const headers = { 'Content-Type': 'application/json', 'Authorization': 'Bearer ' + data.sourceKey };
  sendHttpRequest(address + '/v1/sgtm', { method: 'POST', headers: headers, timeout: TIMEOUT }, JSON.stringify(body))
    .then(function (answer) {
      say(event.event_name + ' is answered with ' + answer.statusCode + reasons(answer.body));
      if (answer.statusCode >= 200 && answer.statusCode < 300) data.gtmOnSuccess();
      else data.gtmOnFailure();
    })
    .catch(function (error) {
      say(event.event_name + ' was not answered: ' + (error && error.reason || 'unknown'));
      data.gtmOnFailure();
    });
}

function eventName() {
  const own = textOf('event_name');
  if (data.eventMode === 'fixed') return data.eventName;
  if (data.eventMode !== 'table') return own;
  const row = (data.eventTable || []).filter(function (one) {
    return one.from === own;
  })[0];
  return row ? row.to : data.eventTableOnly ? '' : own;
}

function overrides() {
  const found = {};
  (data.overrides || []).forEach(function (row) {
    if (row.value !== undefined && row.value !== null && row.value !== '') found[row.name] = row.value;
  });
  return found;
}

// Any no is a no; without a yes there is none.
function agreed() {
  const heard = answers();
  return heard.yes && !heard.no;
}

// A cookie is set where nobody has said no, and nothing was said that only the gateway can read.
function mayKeep() {
  const unread = UNREAD.filter(function (key) {
    return textOf(key) !== '';
  });
  return !answers().no && !optedOut() && unread.length === 0 && !GROUPS.some(signalsOf);
}

function answers() {
  const gcs = textOf('x-ga-gcs');
  const letters = lettersOf(textOf('x-ga-gcd'));
  const heard = { yes: false, no: false };
  ['consent_state', 'consent'].forEach(function (table) {
    const state = getEventData(table);
    if (getType(state) !== 'object') return;
    ['ad_storage', 'ad_user_data'].forEach(function (key) {
      if (state[key] === undefined || state[key] === null) return;
      if (state[key] !== true && makeString(state[key]).toLowerCase() !== 'granted') heard.no = true;
      else if (!letters || letters[key] !== 't') heard.yes = true;
    });
  });
  if (gcs.length > 2) {
    // Beside the long form it tells nothing new of a yes.
    if (gcs.charAt(2) === '1') heard.yes = heard.yes || !letters;
    else if (gcs.charAt(2) !== '-') heard.no = true;
  }
  if (letters) {
    const said = [letters.ad_storage, letters.ad_user_data];
    if (said.every(function (letter) { return isOneOf(letter, 'nrv'); })) heard.yes = true;
    if (said.some(function (letter) { return !isOneOf(letter, 'nrvtl'); })) heard.no = true;
  }
  return heard;
}

// Of Google's long form. n, r and v are an act of the person, t is a default of the site that grants, l
// is silence; m, p, q and u are a no, and what is none of these may be one.
function lettersOf(gcd) {
  return gcd === '' ? undefined : { ad_storage: gcd.charAt(2), ad_user_data: gcd.charAt(6) };
}

function isOneOf(letter, letters) {
  return letter !== '' && letters.indexOf(letter) !== -1;
}

// Global Privacy Control, as the browser says it with each request.
function optedOut() {
  return getRequestHeader('sec-gpc') === '1';
}

function personal(names) {
  const persons = getEventData('user_data') || {};
  const places = names.map(function (key) {
    const value = getType(persons) === 'object' ? persons[key] : undefined;
    return getType(value) === 'array' ? value[0] : value;
  });
  return places.filter(function (value) {
    return getType(value) === 'string' && value.trim() !== '';
  });
}

// In the gateway's own order: the person's as it was typed goes before somebody's hash of it.
function digestOfEmail() {
  if (replaced.email) return emailDigest(replaced.email);
  return firstDigest(emailDigest, texts(['email', 'email_address'])
    .concat(personal(['email_address', 'email']))
    .concat(texts(['userEmail', 'mail']))
    .concat(personal(['sha256_email_address']))
    .concat(texts(['sha256_email_address', 'email_sha256', 'hashed_email'])));
}

function digestOfPhone() {
  if (replaced.phone) return phoneDigest(replaced.phone);
  return firstDigest(phoneDigest, texts(['phone', 'phone_number'])
    .concat(personal(['phone_number', 'phone']))
    .concat(texts(['userPhoneNumber', 'phoneNumber']))
    .concat(personal(['sha256_phone_number']))
    .concat(texts(['sha256_phone_number', 'phone_sha256', 'hashed_phone_number'])));
}

function firstDigest(digest, given) {
  return given.reduce(function (found, text) {
    return found || digest(text);
  }, '');
}

// In hexadecimal digits, or in base 64 as Google's tags write it: the gateway reads both.
function digestAlready(text) {
  const plain = text.trim();
  if (plain.toLowerCase().match('^[a-f0-9]{64}$')) return plain.toLowerCase();
  return plain.match('^[A-Za-z0-9+/_-]{43}=?$') ? plain : '';
}

function emailDigest(email) {
  const plain = makeString(email).trim().toLowerCase();
  const hashed = digestAlready(makeString(email));
  if (hashed) return hashed;
  return plain.indexOf('@') > 0 ? sha256Sync(plain, { outputEncoding: 'hex' }) : '';
}

function phoneDigest(phone) {
  const plain = makeString(phone).trim().toLowerCase();
  const hashed = digestAlready(makeString(phone));
  if (hashed) return hashed;
  const number = e164(plain);
  if (!number) say('a phone number without a calling code is not sent');
  return number ? sha256Sync(number, { outputEncoding: 'hex' }) : '';
}

// `+`, the calling code and the number, digits alone; '' where the calling code is not known.
function e164(phone) {
  // What stands in brackets after a calling code, as in +44 (0)20, is dialled at home alone.
  const dialled = phone.charAt(0) === '+' ? phone.split('(0)').join('') : phone;
  let digits = dialled.split('').filter(function (sign) {
    return '0123456789'.indexOf(sign) >= 0;
  }).join('');
  if (phone.charAt(0) !== '+') {
    const code = makeString(data.phoneCountry || '').trim();
    if (digits.indexOf('00') === 0) digits = digits.slice(2);
    else if (!code) return '';
    // A trunk 0 goes, but in Italy, where it is part of the number.
    else digits = code + (code !== '39' && digits.charAt(0) === '0' ? digits.slice(1) : digits);
  }
  return digits.length >= 8 && digits.length <= 15 && digits.charAt(0) !== '0' ? '+' + digits : '';
}

function bare(address) {
  const url = address ? parseUrl(address) : undefined;
  return url ? url.origin + url.pathname : '';
}

function clickOfPage(address) {
  const url = address ? parseUrl(address) : undefined;
  const click = url && url.searchParams && url.searchParams.twclid;
  return usable(getType(click) === 'array' ? click[0] : click);
}

// The newest click that a cookie keeps; one without a time is older than any with one.
function keptClick() {
  let newest = { at: -1, id: '' };
  const known = function (at, id) {
    const click = usable(id);
    if (click && at > newest.at) newest = { at: at, id: click };
  };
  getCookieValues('_twite').forEach(function (value) {
    const ours = clickOfCookie(value);
    known(makeInteger(ours[1]) || 0, ours[2]);
  });
  getCookieValues('_twclid').forEach(function (value) {
    const said = JSON.parse(value);
    if (getType(said) === 'object') known(makeInteger(said.timestamp) || 0, said.twclid);
    else known(0, value);
  });
  getCookieValues('twclid').forEach(function (value) {
    known(0, value);
  });
  return newest.id;
}

// The version of its form, milliseconds, the click id.
function clickOfCookie(value) {
  const parts = makeString(value || '').split('.');
  return parts[0] === '1' && parts.length === 3 ? parts : [];
}

// A page holds its click for as long as it is open: what the cookie knows is as old as it says, and a
// page that has told of itself before (GA4 counts) takes no other's place.
function isNew(click) {
  const kept = clickOfCookie(getCookieValues('_twite')[0])[2];
  const count = makeInteger(getEventData('x-ga-request_count')) || 1;
  return kept !== click && (count === 1 || !usable(kept));
}

function keepClick(click) {
  const days = makeInteger(data.cookieDays) || 90;
  setCookie('_twite', '1.' + getTimestampMillis() + '.' + encodeUriComponent(click), {
    domain: 'auto',
    path: '/',
    secure: true,
    sameSite: 'lax',
    httpOnly: !!data.cookieHttpOnly,
    'max-age': days * SECONDS_A_DAY
  }, true);
}

function usable(click) {
  return getType(click) === 'string' && click.match('^[A-Za-z0-9_-]{1,512}$') ? click : '';
}

function texts(keys) {
  return keys.map(textOf).filter(function (text) {
    return text !== '';
  });
}

function firstOf(keys) {
  return texts(keys)[0] || '';
}

// A text or number; of a list its first, as the gateway reads it.
function textOf(key) {
  const given = getEventData(key);
  const value = getType(given) === 'array' ? given[0] : given;
  return getType(value) === 'string' ? value : getType(value) === 'number' ? makeString(value) : '';
}

// The codes of what the gateway found wrong; never its words, which may quote a value.
function reasons(body) {
  const said = JSON.parse(body || '') || {};
  let faults = said.errors || [];
  (said.rejected || []).forEach(function (one) {
    faults = faults.concat(one.errors || []);
  });
  const codes = faults.map(function (fault) {
    return (fault.path ? fault.path + ' ' : '') + fault.code;
  });
  return codes.length ? ': ' + codes.join(', ') : '';
}

function say(text) {
  if (data.debugLog) logToConsole('Twite: ' + text);
}


___SERVER_PERMISSIONS___

[
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
                "string": "event_name"
              },
              {
                "type": 1,
                "string": "conversion_id"
              },
              {
                "type": 1,
                "string": "transaction_id"
              },
              {
                "type": 1,
                "string": "order_id"
              },
              {
                "type": 1,
                "string": "event_id"
              },
              {
                "type": 1,
                "string": "conversion_time"
              },
              {
                "type": 1,
                "string": "timestamp_micros"
              },
              {
                "type": 1,
                "string": "value"
              },
              {
                "type": 1,
                "string": "currency"
              },
              {
                "type": 1,
                "string": "items"
              },
              {
                "type": 1,
                "string": "page_location"
              },
              {
                "type": 1,
                "string": "page_referrer"
              },
              {
                "type": 1,
                "string": "search_term"
              },
              {
                "type": 1,
                "string": "search_string"
              },
              {
                "type": 1,
                "string": "description"
              },
              {
                "type": 1,
                "string": "ip_override"
              },
              {
                "type": 1,
                "string": "user_agent"
              },
              {
                "type": 1,
                "string": "twclid"
              },
              {
                "type": 1,
                "string": "_twpid"
              },
              {
                "type": 1,
                "string": "email"
              },
              {
                "type": 1,
                "string": "email_address"
              },
              {
                "type": 1,
                "string": "phone"
              },
              {
                "type": 1,
                "string": "phone_number"
              },
              {
                "type": 1,
                "string": "user_data"
              },
              {
                "type": 1,
                "string": "consent_state"
              },
              {
                "type": 1,
                "string": "x-ga-gcs"
              },
              {
                "type": 1,
                "string": "x-ga-gcd"
              },
              {
                "type": 1,
                "string": "x-ga-npa"
              },
              {
                "type": 1,
                "string": "non_personalized_ads"
              },
              {
                "type": 1,
                "string": "x-ga-mp2-gdpr"
              },
              {
                "type": 1,
                "string": "x-ga-mp2-gdpr_applies"
              },
              {
                "type": 1,
                "string": "x-ga-mp2-gdpr_consent"
              },
              {
                "type": 1,
                "string": "x-ga-mp2-tc_string"
              },
              {
                "type": 1,
                "string": "x-ga-mp2-addtl_consent"
              },
              {
                "type": 1,
                "string": "x-ga-mp2-gpp"
              },
              {
                "type": 1,
                "string": "x-ga-mp2-gpp_string"
              },
              {
                "type": 1,
                "string": "x-ga-mp2-gpp_sid"
              },
              {
                "type": 1,
                "string": "x-ga-mp2-us_privacy"
              },
              {
                "type": 1,
                "string": "x-ga-mp2-gpc"
              },
              {
                "type": 1,
                "string": "ad_storage"
              },
              {
                "type": 1,
                "string": "ad_user_data"
              },
              {
                "type": 1,
                "string": "ad_personalization"
              },
              {
                "type": 1,
                "string": "analytics_storage"
              },
              {
                "type": 1,
                "string": "gcs"
              },
              {
                "type": 1,
                "string": "gcd"
              },
              {
                "type": 1,
                "string": "npa"
              },
              {
                "type": 1,
                "string": "x-ga-mp2-non_personalized_ads"
              },
              {
                "type": 1,
                "string": "x-ga-mp2-ad_storage"
              },
              {
                "type": 1,
                "string": "x-ga-mp2-ad_user_data"
              },
              {
                "type": 1,
                "string": "x-ga-mp2-ad_personalization"
              },
              {
                "type": 1,
                "string": "x-ga-mp2-analytics_storage"
              },
              {
                "type": 1,
                "string": "x-ga-mp2-gcs"
              },
              {
                "type": 1,
                "string": "x-ga-mp2-gcd"
              },
              {
                "type": 1,
                "string": "x-ga-mp2-npa"
              },
              {
                "type": 1,
                "string": "x-ga-mp2-consent"
              },
              {
                "type": 1,
                "string": "x-ga-mp2-consent_state"
              },
              {
                "type": 1,
                "string": "gdpr_consent"
              },
              {
                "type": 1,
                "string": "gpp_string"
              },
              {
                "type": 1,
                "string": "gpp_sid"
              },
              {
                "type": 1,
                "string": "us_privacy"
              },
              {
                "type": 1,
                "string": "usPrivacy"
              },
              {
                "type": 1,
                "string": "usprivacy"
              },
              {
                "type": 1,
                "string": "US_PRIVACY"
              },
              {
                "type": 1,
                "string": "x-ga-mp2-user_properties"
              },
              {
                "type": 1,
                "string": "x-sst-system_properties"
              },
              {
                "type": 1,
                "string": "client_id"
              },
              {
                "type": 1,
                "string": "clientId"
              },
              {
                "type": 1,
                "string": "visitor_id"
              },
              {
                "type": 1,
                "string": "user_id"
              },
              {
                "type": 1,
                "string": "userId"
              },
              {
                "type": 1,
                "string": "ga_session_id"
              },
              {
                "type": 1,
                "string": "x-ga-page_id"
              },
              {
                "type": 1,
                "string": "x-ga-request_count"
              },
              {
                "type": 1,
                "string": "consent"
              },
              {
                "type": 1,
                "string": "gdpr"
              },
              {
                "type": 1,
                "string": "gdpr_applies"
              },
              {
                "type": 1,
                "string": "tc_string"
              },
              {
                "type": 1,
                "string": "addtl_consent"
              },
              {
                "type": 1,
                "string": "gpp"
              },
              {
                "type": 1,
                "string": "gpc"
              },
              {
                "type": 1,
                "string": "x-ga-ur"
              },
              {
                "type": 1,
                "string": "event_location"
              },
              {
                "type": 1,
                "string": "ecommerce.transaction_id"
              },
              {
                "type": 1,
                "string": "ecommerce.value"
              },
              {
                "type": 1,
                "string": "ecommerce.currency"
              },
              {
                "type": 1,
                "string": "ecommerce.items"
              },
              {
                "type": 1,
                "string": "ecommerce.tax"
              },
              {
                "type": 1,
                "string": "ecommerce.shipping"
              },
              {
                "type": 1,
                "string": "orderId"
              },
              {
                "type": 1,
                "string": "subscription_id"
              },
              {
                "type": 1,
                "string": "lead_id"
              },
              {
                "type": 1,
                "string": "eventId"
              },
              {
                "type": 1,
                "string": "unique_event_id"
              },
              {
                "type": 1,
                "string": "conversionTime"
              },
              {
                "type": 1,
                "string": "dateISO"
              },
              {
                "type": 1,
                "string": "conversion_timestamp"
              },
              {
                "type": 1,
                "string": "revenue"
              },
              {
                "type": 1,
                "string": "e_v"
              },
              {
                "type": 1,
                "string": "x-ga-mp1-ev"
              },
              {
                "type": 1,
                "string": "x-ga-mp1-tr"
              },
              {
                "type": 1,
                "string": "currencyCode"
              },
              {
                "type": 1,
                "string": "price_currency"
              },
              {
                "type": 1,
                "string": "tax"
              },
              {
                "type": 1,
                "string": "shipping"
              },
              {
                "type": 1,
                "string": "new_customer"
              },
              {
                "type": 1,
                "string": "customer_type"
              },
              {
                "type": 1,
                "string": "contents"
              },
              {
                "type": 1,
                "string": "searchTerm"
              },
              {
                "type": 1,
                "string": "ipOverride"
              },
              {
                "type": 1,
                "string": "ip"
              },
              {
                "type": 1,
                "string": "ip_address"
              },
              {
                "type": 1,
                "string": "userAgent"
              },
              {
                "type": 1,
                "string": "user_location.country_id"
              },
              {
                "type": 1,
                "string": "pageLocation"
              },
              {
                "type": 1,
                "string": "url"
              },
              {
                "type": 1,
                "string": "href"
              },
              {
                "type": 1,
                "string": "pageReferrer"
              },
              {
                "type": 1,
                "string": "_twclid"
              },
              {
                "type": 1,
                "string": "common_cookie.twclid"
              },
              {
                "type": 1,
                "string": "common_cookie._twclid"
              },
              {
                "type": 1,
                "string": "userEmail"
              },
              {
                "type": 1,
                "string": "mail"
              },
              {
                "type": 1,
                "string": "sha256_email_address"
              },
              {
                "type": 1,
                "string": "email_sha256"
              },
              {
                "type": 1,
                "string": "hashed_email"
              },
              {
                "type": 1,
                "string": "userPhoneNumber"
              },
              {
                "type": 1,
                "string": "phoneNumber"
              },
              {
                "type": 1,
                "string": "sha256_phone_number"
              },
              {
                "type": 1,
                "string": "phone_sha256"
              },
              {
                "type": 1,
                "string": "hashed_phone_number"
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
                    "string": "referer"
                  }
                ]
              },
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
                    "string": "sec-gpc"
                  }
                ]
              }
            ]
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
                "string": "_twite"
              },
              {
                "type": 1,
                "string": "_twclid"
              },
              {
                "type": 1,
                "string": "twclid"
              },
              {
                "type": 1,
                "string": "_twpid"
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
                    "string": "_twite"
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
- name: A purchase goes to the gateway with its key, and 202 is success
  code: |-
    runCode(fields);
    callLater(() => {
      assertThat(sent.url).isEqualTo('https://t.shop.example/v1/sgtm');
      assertThat(sent.options.method).isEqualTo('POST');
      assertThat(sent.options.headers.Authorization).isEqualTo('Bearer a-source-key');
      assertThat(sent.body.event.event_name).isEqualTo('purchase');
      assertThat(sent.body.event.conversion_id).isEqualTo('order-1001');
      assertThat(sent.body.event.conversion_timestamp).isEqualTo(1764000000000);
      assertApi('gtmOnSuccess').wasCalled();
      assertApi('gtmOnFailure').wasNotCalled();
    });
- name: Email and phone leave as SHA-256 alone
  code: |-
    event.email = ' Shopper@Example.COM ';
    event.phone = '+44 (0)20 7946 0958';
    event.user_data = { address: { first_name: 'Ada' } };
    runCode(fields);
    callLater(() => {
      assertThat(sent.body.event.email_sha256)
        .isEqualTo('a85e9ca18f34935ab9b0381b25bfad2455444112b0149270fd88e3da172fe196');
      assertThat(sent.body.event.phone_sha256).isEqualTo(digest('+442079460958'));
      assertThat(sent.text).doesNotContain('hopper');
      assertThat(sent.text).doesNotContain('7946');
      assertThat(sent.text).doesNotContain('Ada');
    });
- name: What is hashed already stays as it is
  code: |-
    event.user_data = { sha256_email_address: digest('a@example.com'), sha256_phone_number: digest('+14155550100') };
    runCode(fields);
    callLater(() => {
      assertThat(sent.body.event.email_sha256).isEqualTo(digest('a@example.com'));
      assertThat(sent.body.event.phone_sha256).isEqualTo(digest('+14155550100'));
    });
- name: Of several addresses the first is the person's
  code: |-
    event.user_data = { email_address: ['a@example.com', 'b@example.com'] };
    runCode(fields);
    callLater(() => assertThat(sent.body.event.email_sha256).isEqualTo(digest('a@example.com')));
- name: A phone number without a calling code is not sent, unless one is configured
  code: |-
    event.phone = '020 7946 0958';
    runCode(fields);
    assertThat(sent.body.event.phone_sha256).isUndefined();
    fields.phoneCountry = '44';
    runCode(fields);
    assertThat(sent.body.event.phone_sha256).isEqualTo(digest('+442079460958'));
    event.phone = '00442079460958';
    runCode(fields);
    assertThat(sent.body.event.phone_sha256).isEqualTo(digest('+442079460958'));
- name: The click id of the page is sent and kept in the first-party cookie
  code: |-
    event.page_location = 'https://shop.example/?twclid=abc-1&twclid=other';
    runCode(fields);
    assertThat(sent.body.event.twclid).isEqualTo('abc-1');
    assertApi('setCookie').wasCalledWith('_twite', '1.1764000000000.abc-1', {
      domain: 'auto', path: '/', secure: true, sameSite: 'lax', httpOnly: false, 'max-age': 7776000
    }, true);
- name: No cookie is set when it is switched off, or when the page has no click id
  code: |-
    runCode(fields);
    assertApi('setCookie').wasNotCalled();
    fields.useCookie = false;
    event.page_location = 'https://shop.example/?twclid=abc-1';
    runCode(fields);
    assertApi('setCookie').wasNotCalled();
- name: A page that stays open makes no new click of its own
  code: |-
    event.page_location = 'https://shop.example/?twclid=abc-1';
    cookies._twite = ['1.1700000000000.abc-1'];
    runCode(fields);
    cookies._twite = ['1.1700000000000.another'];
    event['x-ga-request_count'] = 7;
    runCode(fields);
    assertApi('setCookie').wasNotCalled();
    event['x-ga-request_count'] = 1;
    runCode(fields);
    assertApi('setCookie').wasCalled();
- name: Of the cookies that keep a click the newest counts, and the page's address before all
  code: |-
    cookies._twite = ['1.1700000000000.older'];
    cookies._twclid = ['{"timestamp":1750000000000,"twclid":"newer","source":1}'];
    cookies.twclid = ['undated'];
    runCode(fields);
    assertThat(sent.body.event.twclid).isEqualTo('newer');
    event.page_location = 'https://shop.example/?twclid=landed';
    runCode(fields);
    assertThat(sent.body.event.twclid).isEqualTo('landed');
- name: A cookie that is no click id is not passed on
  code: |-
    cookies.twclid = ['<script>'];
    cookies._twclid = ['{"twclid":7}'];
    runCode(fields);
    assertThat(sent.body.event.twclid).isUndefined();
- name: A default of Google's that grants is nobody's yes, and its long form may say no
  code: |-
    fields.consent = 'required';
    [
      ['11n1n1n1n5', undefined, undefined, true],
      ['13r3r3r3r5', undefined, 'G111', true],
      ['11v1l1v1t5', undefined, undefined, true],
      ['11t1t1t1t5', undefined, undefined, false],
      ['11t1t1t1t5', undefined, 'G111', false],
      ['11t1t1t1t5', { ad_storage: true, ad_user_data: 'granted' }, 'G111', false],
      ['11t1t1n1n5', undefined, 'G111', false],
      ['13l3l3l3l1', undefined, 'G111', false],
      ['13l3l3l3l1', { ad_storage: 'granted' }, undefined, true],
      ['13r3r3r3r5', { ad_storage: true }, 'G101', false],
      ['13r3r3q3r5', { ad_storage: true }, 'G111', false],
      ['11p1r1r1r5', { ad_storage: true }, undefined, false],
      ['13r3r3o3r5', { ad_storage: true }, undefined, false],
      ['1', { ad_storage: true }, undefined, false]
    ].forEach((one) => {
      sent = undefined;
      event['x-ga-gcd'] = one[0];
      event.consent_state = one[1];
      event['x-ga-gcs'] = one[2];
      runCode(fields);
      assertThat(sent !== undefined, JSON.stringify(one)).isEqualTo(one[3]);
    });
- name: Required consent is looked for in consent_state and gcs, and any no is a no
  code: |-
    fields.consent = 'required';
    [
      [undefined, undefined, false],
      [undefined, 'G111', true],
      [undefined, 'G101', false],
      [undefined, 'G1--', false],
      [{ ad_storage: 'granted' }, 'G1--', true],
      [{ ad_storage: 'granted' }, undefined, true],
      [{ ad_storage: true, ad_user_data: true }, undefined, true],
      [{ ad_storage: 'denied' }, undefined, false],
      [{ ad_storage: 'granted', ad_user_data: 'denied' }, 'G111', false],
      [{ ad_storage: 'GRANTED' }, 'G111', true],
      [{ ad_storage: 'granted' }, 'G101', false]
    ].forEach((one) => {
      sent = undefined;
      event.consent_state = one[0];
      event['x-ga-gcs'] = one[1];
      runCode(fields);
      assertThat(sent !== undefined, JSON.stringify(one)).isEqualTo(one[2]);
    });
    assertApi('gtmOnFailure').wasNotCalled();
- name: Consent that the gateway decides on goes with the event
  code: |-
    event.consent_state = { ad_storage: 'denied' };
    event['x-ga-gcs'] = 'G100';
    runCode(fields);
    assertThat(sent.body.event.consent_state).isEqualTo({ ad_storage: 'denied' });
    assertThat(sent.body.event['x-ga-gcs']).isEqualTo('G100');
- name: The browser's own opt-out, and where the person is, go with the event
  code: |-
    event['x-ga-ur'] = 'DE-BE';
    event.event_location = { country: 'DE', region: 'BE' };
    headers['sec-gpc'] = '1';
    runCode(fields);
    assertThat(sent.body.event.gpc).isEqualTo('1');
    assertThat(sent.body.event['x-ga-ur']).isEqualTo('DE-BE');
    assertThat(sent.body.event.event_location).isEqualTo({ country: 'DE', region: 'BE' });
    headers['sec-gpc'] = undefined;
    runCode(fields);
    assertThat(sent.body.event.gpc).isUndefined();
- name: No cookie is set where somebody says no, or may have
  code: |-
    event.page_location = 'https://shop.example/?twclid=abc-1';
    event.consent_state = { ad_storage: 'denied' };
    runCode(fields);
    event.consent_state = undefined;
    event.consent = { ad_user_data: 'DENIED' };
    runCode(fields);
    event.consent = undefined;
    event['x-ga-gcs'] = 'G101';
    runCode(fields);
    event['x-ga-gcs'] = undefined;
    event['x-ga-gcd'] = '11t1t1p1t5';
    runCode(fields);
    event['x-ga-gcd'] = undefined;
    event.gdpr_consent = 'CP-a-string';
    runCode(fields);
    event.gdpr_consent = undefined;
    headers['sec-gpc'] = '1';
    runCode(fields);
    assertApi('setCookie').wasNotCalled();
    assertThat(sent.body.event.twclid).isEqualTo('abc-1');
    headers['sec-gpc'] = undefined;
    event['x-ga-gcs'] = 'G111';
    runCode(fields);
    assertApi('setCookie').wasCalled();
- name: The event is the own name, a fixed one, or one of a table
  code: |-
    fields.eventMode = 'fixed';
    fields.eventName = 'sign_up';
    runCode(fields);
    assertThat(sent.body.event.event_name).isEqualTo('sign_up');
    fields.eventMode = 'table';
    fields.eventTable = [{ from: 'purchase', to: 'order' }];
    fields.eventTableOnly = true;
    runCode(fields);
    assertThat(sent.body.event.event_name).isEqualTo('order');
    event.event_name = 'scroll';
    sent = undefined;
    runCode(fields);
    assertThat(sent).isUndefined();
    fields.eventTableOnly = false;
    runCode(fields);
    assertThat(sent.body.event.event_name).isEqualTo('scroll');
- name: What stands in the table of overrides counts before the event, and is hashed as well
  code: |-
    fields.overrides = [
      { name: 'conversion_id', value: 'mine' }, { name: 'value', value: '12.50' },
      { name: 'email', value: 'B@example.com' }, { name: 'twclid', value: 'given' },
      { name: 'currency', value: '' }
    ];
    runCode(fields);
    assertThat(sent.body.event.conversion_id).isEqualTo('mine');
    assertThat(sent.body.event.value).isEqualTo('12.50');
    assertThat(sent.body.event.currency).isEqualTo('EUR');
    assertThat(sent.body.event.email_sha256).isEqualTo(digest('b@example.com'));
    assertThat(sent.body.event.email).isUndefined();
    assertThat(sent.body.event.twclid).isEqualTo('given');
- name: Nothing is sent from the page of a preview
  code: |-
    event.page_location = 'https://gtm-msr.appspot.com/render2?id=GTM-1';
    runCode(fields);
    assertApi('sendHttpRequest').wasNotCalled();
    assertApi('gtmOnSuccess').wasCalled();
- name: An answer of 400 and above is a failure, and its codes are logged without its words
  code: |-
    mock('sendHttpRequest', () => Promise.create((resolve) => resolve({
      statusCode: 422,
      body: '{"rejected":[{"index":0,"errors":[{"path":"value","code":"not_a_number","message":"secret 12"}]}]}'
    })));
    let logged = '';
    mock('logToConsole', (text) => { logged += text; });
    runCode(fields);
    callLater(() => {
      assertApi('gtmOnFailure').wasCalled();
      assertApi('gtmOnSuccess').wasNotCalled();
      assertThat(logged).contains('422: value not_a_number');
      assertThat(logged).doesNotContain('secret');
    });
- name: No answer is a failure, and so is one that is not JSON with a status of 500
  code: |-
    mock('sendHttpRequest', () => Promise.create((resolve, reject) => reject({ reason: 'timed_out' })));
    runCode(fields);
    callLater(() => {
      assertApi('gtmOnFailure').wasCalled();
      assertApi('gtmOnSuccess').wasNotCalled();
    });
- name: A gateway without https is refused
  code: |-
    fields.gatewayUrl = 'http://t.shop.example';
    runCode(fields);
    assertApi('sendHttpRequest').wasNotCalled();
    assertApi('gtmOnFailure').wasCalled();
- name: The page is the Referer where the event has none
  code: |-
    event.page_location = undefined;
    headers.referer = 'https://shop.example/thanks?twclid=ref';
    runCode(fields);
    assertThat(sent.body.event.page_location).isEqualTo('https://shop.example/thanks');
    assertThat(sent.body.event.twclid).isEqualTo('ref');
- name: Only what the gateway reads is sent, and the pixel where one is named
  code: |-
    event.client_hints = { platform: 'x' };
    event.crm_id = 'u1';
    fields.pixel = 'o8z6j';
    runCode(fields);
    assertThat(sent.body.event.client_hints).isUndefined();
    assertThat(sent.body.event.crm_id).isUndefined();
    assertThat(sent.body.pixel).isEqualTo('o8z6j');
    assertThat(sent.body.version).isEqualTo('1.0.0');
- name: Pages are sent without their queries
  code: |-
    event.page_location = 'https://shop.example/thanks?email=shopper%40example.com#top';
    event.page_referrer = 'https://shop.example/cart?phone=4420';
    runCode(fields);
    assertThat(sent.body.event.page_location).isEqualTo('https://shop.example/thanks');
    assertThat(sent.body.event.page_referrer).isEqualTo('https://shop.example/cart');
    assertThat(sent.text).doesNotContain('shopper');
- name: Items are sent as they stand
  code: |-
    event.items = [{ item_id: 'SKU-1', item_name: 'Mug', price: 24.95, quantity: 2 }];
    runCode(fields);
    assertThat(sent.body.event.items).isEqualTo([{ item_id: 'SKU-1', item_name: 'Mug', price: 24.95, quantity: 2 }]);
- name: An order that stands in ecommerce alone is sent with its id, value, currency and items
  code: |-
    event.conversion_id = undefined;
    event.value = undefined;
    event.currency = undefined;
    event.ecommerce = {
      transaction_id: 'T-1001', value: 49.9, currency: 'EUR', coupon: 'MAY', items: [{ item_id: 'SKU-1' }]
    };
    runCode(fields);
    const said = sent.body.event;
    assertThat(said['ecommerce.transaction_id']).isEqualTo('T-1001');
    assertThat(said['ecommerce.value']).isEqualTo(49.9);
    assertThat(said['ecommerce.currency']).isEqualTo('EUR');
    assertThat(said['ecommerce.items']).isEqualTo([{ item_id: 'SKU-1' }]);
    assertThat(sent.text).doesNotContain('coupon');
- name: The names of other tags are sent as well
  code: |-
    [
      'orderId', 'dateISO', 'conversionTime', 'revenue', 'e_v', 'currencyCode', 'price_currency', 'contents',
      'x-ga-mp1-ev', 'x-ga-mp1-tr', 'subscription_id', 'lead_id', 'searchTerm', 'ip', 'userAgent',
      'tax', 'shipping', 'new_customer', 'customer_type'
    ].forEach((name) => {
      event[name] = 'of ' + name;
      runCode(fields);
      assertThat(sent.body.event[name], name).isEqualTo('of ' + name);
    });
    assertThat(sent.body.event.conversion_timestamp).isUndefined();
- name: A value of the table of overrides has no other value beside it that would count first
  code: |-
    event['x-ga-mp1-tr'] = '10';
    fields.overrides = [{ name: 'value', value: '12.50' }];
    runCode(fields);
    assertThat(sent.body.event.value).isEqualTo('12.50');
    assertThat(sent.body.event['x-ga-mp1-tr']).isUndefined();
- name: A person by another tag's name is hashed, and what is no address does not stand in the way
  code: |-
    event.email = 'undefined';
    event.userEmail = 'Shopper@Example.com';
    event.phoneNumber = '+44 20 7946 0958';
    runCode(fields);
    assertThat(sent.body.event.email_sha256).isEqualTo(digest('shopper@example.com'));
    assertThat(sent.body.event.phone_sha256).isEqualTo(digest('+442079460958'));
    assertThat(sent.text).doesNotContain('hopper');
setup: |-
  const JSON = require('JSON');
  const Promise = require('Promise');
  const callLater = require('callLater');
  const sha256Sync = require('sha256Sync');

  const digest = (text) => sha256Sync(text, { outputEncoding: 'hex' });
  const fields = {
    gatewayUrl: 'https://t.shop.example/', sourceKey: 'a-source-key', pixel: '', eventMode: 'own',
    consent: 'gateway', useCookie: true, cookieDays: '90', cookieHttpOnly: false, debugLog: true
  };
  const event = {
    event_name: 'purchase', conversion_id: 'order-1001', value: 49.9, currency: 'EUR',
    page_location: 'https://shop.example/thanks', ip_override: '203.0.113.7', user_agent: 'Mozilla/5.0'
  };
  const cookies = {};
  const headers = {};
  let sent;

  const within = (inside, key) => inside === undefined || inside === null ? undefined : inside[key];
  mock('getEventData', (path) => path.split('.').reduce(within, event));
  mock('getCookieValues', (name) => cookies[name] || []);
  mock('getRequestHeader', (name) => headers[name]);
  mock('getTimestampMillis', 1764000000000);
  mock('setCookie', () => {});
  mock('sendHttpRequest', (url, options, body) => {
    sent = { url: url, options: options, text: body, body: JSON.parse(body) };
    return Promise.create((resolve) => resolve({ statusCode: 202, body: '{"accepted":1}' }));
  });


___NOTES___

Part of Twite. Keep the wire format in step with the gateway's route POST /v1/sgtm.


