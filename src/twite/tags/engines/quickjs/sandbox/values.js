// The APIs that compute: without permissions and effects.

function makeString(value) {
  return typeof value === 'string' ? value : String(value);
}

function makeNumber(value) {
  return numberOf(value);
}

// Google does not say how it rounds. Twite truncates.
function makeInteger(value) {
  return Math.trunc(numberOf(value));
}

function getType(value) {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}

function makeTableMap(rows, keyColumn, valueColumn) {
  if (!Array.isArray(rows)) return null;
  const map = {};
  let any = false;
  for (const row of rows) {
    if (row && hasOwn(row, keyColumn) && hasOwn(row, valueColumn)) {
      map[row[keyColumn]] = row[valueColumn];
      any = true;
    }
  }
  return any ? map : null;
}

// Undefined where JavaScript would throw. Only a lack of memory ends the run: the value is valid.
function orUndefined(act) {
  return (value) => {
    try {
      if (typeof value === 'string') spend(value.length);
      return act(value);
    } catch (error) {
      if (endsRun(error)) throw error;
      return undefined;
    }
  };
}

function ofNumbers(act) {
  return (...given) => act(...given.map(numberOf));
}

// Whether each character of a text is in a list.
function ofEach(list) {
  return (object) => {
    if (typeof object === 'string') spend(object.length * 10);
    const made = list(object);
    spend(made.length);
    return made;
  };
}

// In Google's interpreter (gtm.js), an assignment to a frozen object does nothing. In strict mode, the
// engine would throw. So setters ignore assignments to the object's keys, and its prototype ignores
// those to other names.
const IGNORES_WRITES = new Proxy(Object.prototype, { set: () => true });

function frozen(object) {
  if (object === null || typeof object !== 'object') return Object.freeze(object);
  const keys = Object.keys(object);
  spend(keys.length);
  const isPlain = Object.getPrototypeOf(object) === Object.prototype;
  if (!isPlain || !Object.isExtensible(object)) return Object.freeze(object);
  for (const key of keys) {
    const value = object[key];
    Reflect.defineProperty(object, key, { get: () => value, set() {}, enumerable: true, configurable: false });
  }
  Reflect.setPrototypeOf(object, IGNORES_WRITES);
  return Object.preventExtensions(object);
}

function encodedUri(encode, value) {
  const text = String(value);
  spend(text.length);
  // Half a surrogate pair, which the engine's function refuses, becomes U+FFFD.
  return encode(apply(nativeToWellFormed, text, []));
}

function copied(value) {
  if (value === null || typeof value !== 'object') return typeof value === 'function' ? undefined : value;
  return JSON.parse(written(value));
}

// An operation that fails for lack of memory has also taken long, and the code may repeat it. A
// function is called for each value, so that steps are executed. Without it, a structure in which
// one object occurs twice in another, and so on, would keep the engine busy for years. If Twite
// limits the time from outside, no steps are needed.
const asItIs = (key, value) => value;

function written(value) {
  try {
    const text = countsSteps ? JSON.stringify(value, asItIs) : JSON.stringify(value);
    if (text !== undefined) spend(text.length);
    return text;
  } catch (error) {
    spend(MUCH);
    throw error;
  }
}

const MOST_NAMES = 2000;
const ROOM_OF_NAMES = 8 * MOST_NAMES; // characters; this many different names have at least as many

// The engine finds a name by a hash that an attacker can make equal for many names. Each lookup
// then takes a step for every other name, in one call that nothing interrupts: half a minute for 1
// MB.
function parsed(value) {
  const text = makeString(value);
  if (text.length > ROOM_OF_NAMES && mayHaveManyNames(text) && hasManyNames(text)) {
    throw new RangeError('JSON with more than ' + MOST_NAMES + ' different names');
  }
  return JSON.parse(text);
}

// Fast, and may return true for harmless input: usually, the input is a long list of objects with
// the same names.
function mayHaveManyNames(text) {
  const names = new Set();
  let others = 0; // names with an escape or a space
  for (let at = indexIn(text, '":', 0); at >= 0 && names.size + others <= MOST_NAMES; at = indexIn(text, '":', at + 2)) {
    if (text[at - 1] === '\\' && isEscaped(text, at)) continue; // it is inside a text
    const open = lastIndexIn(text, '"', at - 1);
    if (open < 0 || text[at - 1] === '\\' || text[open - 1] === '\\') others++;
    else names.add(text.slice(open + 1, at));
  }
  for (const spaced of [' :', '\n:', '\r:', '\t:']) {
    for (let at = indexIn(text, spaced, 0); at >= 0 && others <= MOST_NAMES; at = indexIn(text, spaced, at + 2)) others++;
  }
  return names.size + others > MOST_NAMES;
}

function hasManyNames(text) {
  const names = new Set();
  for (let at = indexIn(text, '"', 0); at >= 0; ) {
    let end = indexIn(text, '"', at + 1);
    while (end >= 0 && isEscaped(text, end)) end = indexIn(text, '"', end + 1);
    if (end < 0) return false; // truncated JSON is refused later
    let next = end + 1;
    while (text[next] === ' ' || text[next] === '\n' || text[next] === '\r' || text[next] === '\t') next++;
    if (text[next] === ':') names.add(text.slice(at + 1, end));
    if (names.size > MOST_NAMES) return true;
    at = indexIn(text, '"', end + 1);
  }
  return false;
}

function isEscaped(text, at) {
  let first = at;
  while (text[first - 1] === '\\') first--;
  return (at - first) % 2 === 1;
}

function sha256Sync(input, options) {
  const text = makeString(input);
  const encoding = options ? options.outputEncoding : undefined;
  // The engine passes only such texts unchanged.
  if (nativeSha256 !== undefined && indexIn(text, '\0', 0) < 0 && apply(nativeIsWellFormed, text, [])) {
    const hashed = nativeSha256(text, encoding === 'hex' || encoding === 'base64url' ? encoding : 'base64');
    if (typeof hashed === 'string') return hashed;
  }
  return encoded(digest(utf8(text)), encoding);
}

function toBase64(input, options) {
  const text = makeString(input);
  const forUrls = !!(options && options.urlEncoding);
  if (!regexTest(ASCII, text)) return base64(utf8(text), forUrls);
  spend(text.length);
  const encoded = nativeToBase64(text);
  return forUrls ? encoded.replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '') : encoded;
}

// sfc32, seeded by the run: the same run gets the same numbers.
function draw(run) {
  if (run.chance === null) {
    const seed = run.call.seed;
    run.chance = [seed | 0, (seed / 4294967296) | 0, 0x9e3779b9 | 0, 1];
    for (let i = 0; i < 12; i++) draw(run);
  }
  const s = run.chance;
  const t = (((s[0] + s[1]) | 0) + s[3]) | 0;
  s[3] = (s[3] + 1) | 0;
  s[0] = s[1] ^ (s[1] >>> 9);
  s[1] = (s[2] + (s[2] << 3)) | 0;
  s[2] = (s[2] << 21) | (s[2] >>> 11);
  s[2] = (s[2] + t) | 0;
  return (t >>> 0) / 4294967296;
}

// A whole number between two bounds (inclusive, in either order, numbers or texts).
function generateRandom(min, max) {
  const [first, second] = [Number(min), Number(max)];
  const low = Math.ceil(first < second ? first : second);
  const high = Math.floor(first < second ? second : first);
  return Math.floor(draw(current) * (high - low + 1)) + low;
}

function computeEffectiveTldPlusOne(input) {
  if (input === null || input === undefined || suffixes === null) return input;
  const text = makeString(input);
  const url = parseAddress(text.indexOf('://') < 0 ? 'http://' + text : text);
  const host = url && url.hostname;
  if (!host || host[0] === '[' || /^[0-9.]+$/.test(host)) return '';
  const labels = host.replace(/\.$/, '').split('.');
  const rules = suffixes[labels[labels.length - 1]] || '';
  let size = 1;
  for (let at = 0; at < labels.length; at++) {
    const name = labels.slice(at).join('.');
    if (rules.indexOf(' !' + name + ' ') >= 0) {
      size = labels.length - at - 1;
      break;
    }
    const above = ' *.' + labels.slice(at + 1).join('.') + ' ';
    if (rules.indexOf(' ' + name + ' ') >= 0 || (at + 1 < labels.length && rules.indexOf(above) >= 0)) {
      size = labels.length - at;
      break;
    }
  }
  if (labels.length <= size || labels.some((label) => label === '')) return '';
  return labels.slice(labels.length - size - 1).join('.');
}

const valueApis = {
  JSON: {
    parse: orUndefined(parsed),
    stringify: orUndefined(written),
  },
  Math: {
    abs: ofNumbers(Math.abs), ceil: ofNumbers(Math.ceil), floor: ofNumbers(Math.floor), round: ofNumbers(Math.round),
    max: ofNumbers(Math.max), min: ofNumbers(Math.min), pow: ofNumbers(Math.pow), sqrt: ofNumbers(Math.sqrt),
  },
  Object: {
    keys: ofEach(Object.keys), values: ofEach(Object.values), entries: ofEach(Object.entries), freeze: frozen,
    delete: (object, key) => Reflect.deleteProperty(object, key),
  },
  Promise: promiseApi,
  computeEffectiveTldPlusOne, createRegex, testRegex, generateRandom, getType, makeInteger,
  makeNumber, makeString, makeTableMap, parseUrl, sha256Sync, toBase64, queryPermission,
  decodeUri: orUndefined(decodeURI),
  decodeUriComponent: orUndefined(decodeURIComponent),
  encodeUri: (text) => encodedUri(encodeURI, text),
  encodeUriComponent: (text) => encodedUri(encodeURIComponent, text),
  fromBase64: (text) => (text === undefined || text === null ? undefined : fromBase64(makeString(text))),
  sha256(input, callback, options) {
    const hashed = sha256Sync(input, options);
    current.later.push(() => callback(hashed));
  },
  hmacSha256(text, keyId, options) {
    const id = makeString(keyId);
    need(fits(granted.keys, id), 'use_custom_private_keys', id);
    if (!hasOwn(secretKeys, id)) throw new Error('there is no private key ' + id);
    const encoding = (options && options.outputEncoding) || 'base64url';
    const hashed = hmac(utf8(secretKeys[id]), utf8(makeString(text)));
    return encoding === 'base64' ? base64(hashed, false) : encoded(hashed, encoding);
  },
  callLater(act) {
    current.later.push(act);
  },
  getTimestamp: () => current.now,
  getTimestampMillis: () => current.now,
};
