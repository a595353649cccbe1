// URLs by the WHATWG's URL Standard, without a base.

const SPECIAL = { 'http:': '80', 'https:': '443', 'ws:': '80', 'wss:': '443', 'ftp:': '21', 'file:': '' };
const BEYOND = '[^\\x20-\\x7e]';
const ESCAPED = {
  fragment: new RegExp(BEYOND + '|[ "<>`]', 'gu'),
  query: new RegExp(BEYOND + '|[ "#<>]', 'gu'),
  specialQuery: new RegExp(BEYOND + '|[ "#<>\']', 'gu'),
  path: new RegExp(BEYOND + '|[ "#<>?`{}^]', 'gu'),
  userinfo: new RegExp(BEYOND + '|[ "#<>?`{}/:;=@[\\\\\\]^|]', 'gu'),
  control: new RegExp(BEYOND, 'gu'),
};
const FORBIDDEN = /[\0\t\n\r #/:<>?@[\\\]^|]/;
const FORBIDDEN_DOMAIN = /[\0-\x20#%/:<>?@[\\\]^|\x7f]/;

function percent(text, set) {
  return text.replace(ESCAPED[set], percentBytes);
}

function percentBytes(char) {
  let text = '';
  const bytes = utf8(char);
  for (let i = 0; i < bytes.length; i++) {
    text += '%' + (HEX[bytes[i] >> 4] + HEX[bytes[i] & 15]).toUpperCase();
  }
  return text;
}

function percentDecoded(text) {
  if (text.indexOf('%') < 0) return text;
  const bytes = [];
  const from = utf8(text);
  for (let at = 0; at < from.length; at++) {
    const pair = from[at] === 37 ? String.fromCharCode(from[at + 1] || 0, from[at + 2] || 0) : '';
    if (/^[0-9a-fA-F]{2}$/.test(pair)) {
      bytes.push(parseInt(pair, 16));
      at += 2;
    } else bytes.push(from[at]);
  }
  return fromUtf8(bytes);
}

// Most addresses: a name in lower case, and no character to escape, decode or remove.
const ORDINARY = new RegExp(
  '^(https?:)//((?:[a-z0-9-]+\\.)*[a-z][a-z0-9-]*)(/[!$&-;=@-\\[\\]_a-z|~]*)?(\\?[!$-&(-;=?-~]+)?(#[!#-;=?-_a-~]+)?$',
);
const LONGEST_ORDINARY = 4000;

function ordinary(text) {
  if (text.length > LONGEST_ORDINARY) return undefined;
  spend(text.length);
  const found = apply(nativeExec, ORDINARY, [text]);
  // Segments such as `..` are removed.
  if (found === null || (found[3] !== undefined && indexIn(found[3], '/.', 0) >= 0)) return undefined;
  return {
    protocol: found[1], username: '', password: '', hostname: found[2], port: '',
    path: found[3] === undefined ? [''] : found[3].slice(1).split('/'), opaque: null,
    search: found[4] || '', hash: found[5] || '', bare: '',
  };
}

function parseAddress(input) {
  return ordinary(input) || anyAddress(input);
}

function anyAddress(input) {
  const text = input.replace(/^[\0-\x20]+|[\0-\x20]+$/g, '').replace(/[\t\n\r]/g, '');
  const scheme = /^[a-zA-Z][a-zA-Z0-9+.-]*:/.exec(text);
  if (!scheme) return undefined;
  const url = {
    protocol: scheme[0].toLowerCase(), username: '', password: '', hostname: null, port: '',
    path: [], opaque: null, search: '', hash: '', bare: '', // a `?` or `#` with nothing after it
  };
  let rest = text.slice(scheme[0].length);
  const special = url.protocol in SPECIAL;
  const hash = rest.indexOf('#');
  if (hash >= 0) {
    const fragment = rest.slice(hash + 1);
    url.hash = fragment && '#' + percent(fragment, 'fragment');
    if (!fragment) url.bare = '#';
    rest = rest.slice(0, hash);
  }
  const mark = rest.indexOf('?');
  if (mark >= 0) {
    const query = rest.slice(mark + 1);
    url.search = query && '?' + percent(query, special ? 'specialQuery' : 'query');
    if (!query) url.bare = '?' + url.bare;
    rest = rest.slice(0, mark);
  }
  if (special) rest = rest.replace(/\\/g, '/');
  if (!special && rest[0] !== '/') {
    // Trailing spaces of an opaque path are removed if nothing follows them; otherwise, the last is
    // kept.
    rest = mark < 0 && hash < 0 ? rest.replace(/ +$/, '') : rest.replace(/ $/, '%20');
    url.opaque = percent(rest, 'control');
    return url;
  }
  let authority = null;
  if (special && url.protocol !== 'file:') rest = '//' + rest.replace(/^\/+/, '');
  if (rest.slice(0, 2) === '//') {
    const end = rest.indexOf('/', 2);
    authority = end < 0 ? rest.slice(2) : rest.slice(2, end);
    rest = end < 0 ? '' : rest.slice(end);
    if (url.protocol === 'file:' && /^[a-zA-Z][:|]$/.test(authority)) {
      rest = '/' + authority + rest;
      authority = '';
    }
  } else if (url.protocol === 'file:') authority = '';
  if (authority !== null && !readAuthority(url, authority, special)) return undefined;
  url.path = pathSegments(rest, special, url.protocol === 'file:');
  return url;
}

function readAuthority(url, authority, special) {
  const at = authority.lastIndexOf('@');
  if (at >= 0) {
    if (url.protocol === 'file:') return false;
    const colon = authority.slice(0, at).indexOf(':');
    const name = colon < 0 ? authority.slice(0, at) : authority.slice(0, colon);
    url.username = percent(name, 'userinfo');
    url.password = colon < 0 ? '' : percent(authority.slice(colon + 1, at), 'userinfo');
  }
  const place = authority.slice(at + 1);
  const port = /:([0-9]*)$/.exec(place);
  const host = port ? place.slice(0, port.index) : place;
  if (/:[^\]]*$/.test(host) && host[0] !== '[') return false;
  if (port && url.protocol === 'file:') return false;
  if (port && port[1] !== '') {
    const number = parseInt(port[1], 10);
    if (number > 65535) return false;
    url.port = String(number) === SPECIAL[url.protocol] ? '' : String(number);
  }
  if (host === '') {
    url.hostname = '';
    return url.protocol === 'file:' || (!special && at < 0 && !port);
  }
  url.hostname = hostOf(host, special);
  if (url.protocol === 'file:' && url.hostname === 'localhost') url.hostname = '';
  return url.hostname !== undefined;
}

function hostOf(text, special) {
  if (text[0] === '[') {
    return text[text.length - 1] === ']' ? ipv6(text.slice(1, -1)) : undefined;
  }
  if (!special) return FORBIDDEN.test(text) ? undefined : percent(text, 'control');
  const ascii = domainToAscii(percentDecoded(text));
  if (!ascii || FORBIDDEN_DOMAIN.test(ascii)) return undefined;
  const labels = ascii.split('.');
  const last = labels[labels.length - 1] || labels[labels.length - 2] || '';
  return /^([0-9]+|0[xX][0-9a-fA-F]*)$/.test(last) ? ipv4(ascii) : ascii;
}

function ipv4(text) {
  const parts = text.replace(/\.$/, '').split('.');
  if (parts.length > 4) return undefined;
  let value = 0;
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i];
    let number = NaN;
    if (/^0[xX][0-9a-fA-F]*$/.test(part)) number = part.length === 2 ? 0 : parseInt(part, 16);
    else if (/^0[0-7]+$/.test(part)) number = parseInt(part, 8);
    else if (/^[0-9]+$/.test(part) && !/^0[0-9]/.test(part)) number = parseInt(part, 10);
    const last = i === parts.length - 1;
    if (!(number < (last ? 256 ** (5 - parts.length) : 256))) return undefined;
    value = last ? value * 256 ** (5 - parts.length) + number : value * 256 + number;
  }
  return [value / 0x1000000, (value / 0x10000) % 256, (value / 256) % 256, value % 256]
    .map(Math.floor)
    .join('.');
}

function ipv6(text) {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const sides = halves.map(ipv6Side);
  if (sides.some((side) => side === undefined)) return undefined;
  const missing = 8 - sides.reduce((sum, side) => sum + side.length, 0);
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const pieces = halves.length === 1 ? sides[0] : sides[0].concat(new Array(missing).fill(0), sides[1]);
  let best = -1;
  let size = 1;
  for (let at = 0; at < 8; ) {
    let end = at;
    while (end < 8 && pieces[end] === 0) end++;
    if (end - at > size) {
      best = at;
      size = end - at;
    }
    at = end === at ? at + 1 : end;
  }
  const written = pieces.map((piece) => piece.toString(16));
  if (best < 0) return '[' + written.join(':') + ']';
  return '[' + written.slice(0, best).join(':') + '::' + written.slice(best + size).join(':') + ']';
}

function ipv6Side(text) {
  if (text === '') return [];
  const pieces = [];
  const words = text.split(':');
  for (let i = 0; i < words.length; i++) {
    const word = words[i];
    if (/^[0-9a-fA-F]{1,4}$/.test(word)) pieces.push(parseInt(word, 16));
    else if (i === words.length - 1 && /^(?:(?:0|[1-9][0-9]{0,2})\.){3}(?:0|[1-9][0-9]{0,2})$/.test(word)) {
      const four = word.split('.').map(Number);
      if (four.some((byte) => byte > 255)) return undefined;
      pieces.push(four[0] * 256 + four[1], four[2] * 256 + four[3]);
    } else return undefined;
  }
  return pieces;
}

function pathSegments(rest, special, file) {
  if (rest === '') return special ? [''] : [];
  const segments = (rest[0] === '/' ? rest.slice(1) : rest).split('/');
  const path = [];
  for (let i = 0; i < segments.length; i++) {
    const plain = segments[i].replace(/%2e/gi, '.');
    const last = i === segments.length - 1;
    if (plain === '..') {
      if (!(file && path.length === 1 && /^[a-zA-Z]:$/.test(path[0]))) path.pop();
      if (last) path.push('');
    } else if (plain === '.') {
      if (last) path.push('');
    } else if (file && path.length === 0 && /^[a-zA-Z][:|]$/.test(segments[i])) {
      path.push(segments[i][0] + ':');
    } else path.push(percent(segments[i], 'path'));
  }
  return path;
}

function hrefOf(url) {
  let text = url.protocol;
  if (url.hostname !== null) {
    text += '//';
    if (url.username || url.password) {
      text += url.username + (url.password && ':' + url.password) + '@';
    }
    text += url.hostname + (url.port && ':' + url.port);
  } else if (url.opaque === null && url.path.length > 1 && url.path[0] === '') text += '/.';
  if (url.bare === '#') return text + pathnameOf(url) + url.search + '#';
  return text + pathnameOf(url) + (url.search || url.bare) + url.hash;
}

function pathnameOf(url) {
  return url.opaque !== null ? url.opaque : url.path.length ? '/' + url.path.join('/') : '';
}

function formDecoded(text) {
  const spaced = indexIn(text, '+', 0) < 0 ? text : text.replace(/\+/g, ' ');
  if (indexIn(spaced, '%', 0) < 0) return spaced;
  // The engine's function refuses invalid UTF-8, and keeps half a surrogate pair.
  const decoded = apply(nativeIsWellFormed, spaced, []) ? valueApis.decodeUriComponent(spaced) : undefined;
  return decoded === undefined ? percentDecoded(spaced) : decoded;
}

// The pairs of a query, decoded; a name that occurs more than once has an array.
function queryValues(query) {
  const values = {};
  if (query === '') return values;
  for (const pair of query.split('&')) {
    if (pair === '') continue;
    const at = pair.indexOf('=');
    const name = formDecoded(at < 0 ? pair : pair.slice(0, at));
    const value = at < 0 ? '' : formDecoded(pair.slice(at + 1));
    if (!hasOwn(values, name)) values[name] = value;
    else if (Array.isArray(values[name])) values[name].push(value);
    else values[name] = [values[name], value];
  }
  return values;
}

function originOf(url, host) {
  if (url.protocol === 'blob:' && url.opaque !== null) {
    const inner = parseAddress(url.opaque);
    return inner && /^https?:$/.test(inner.protocol) ? parseUrl(url.opaque).origin : 'null';
  }
  return url.protocol in SPECIAL && url.protocol !== 'file:' ? url.protocol + '//' + host : 'null';
}

function parseUrl(input) {
  const url = typeof input === 'string' ? parseAddress(input) : undefined;
  if (!url) return undefined;
  const host = url.hostname === null ? '' : url.hostname + (url.port && ':' + url.port);
  return {
    href: hrefOf(url), origin: originOf(url, host), protocol: url.protocol,
    username: url.username, password: url.password, host, hostname: url.hostname || '',
    port: url.port, pathname: pathnameOf(url), search: url.search,
    searchParams: queryValues(url.search.slice(1)), hash: url.hash,
  };
}
