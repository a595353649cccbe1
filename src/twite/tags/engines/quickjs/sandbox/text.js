// Text as bytes, and computations on bytes. All functions are pure.

const ROUND = new Int32Array([
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
]);
const SCHEDULE = new Int32Array(64);
const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const HEX = '0123456789abcdef';
const ASCII = /^[\0-\x7f]*$/;

function utf8(text) {
  const size = text.length;
  let bytes = new Uint8Array(size);
  for (let at = 0; at < size; at++) {
    const code = text.charCodeAt(at);
    if (code > 127) return utf8Wide(text);
    bytes[at] = code;
  }
  return bytes;
}

function utf8Wide(text) {
  const bytes = [];
  for (let at = 0; at < text.length; at++) {
    let code = text.codePointAt(at);
    if (code > 0xffff) at++;
    else if (code >= 0xd800 && code < 0xe000) code = 0xfffd;
    if (code < 0x80) bytes.push(code);
    else if (code < 0x800) bytes.push(0xc0 | (code >> 6), 0x80 | (code & 63));
    else if (code < 0x10000) {
      bytes.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
    } else {
      bytes.push(
        0xf0 | (code >> 18),
        0x80 | ((code >> 12) & 63),
        0x80 | ((code >> 6) & 63),
        0x80 | (code & 63),
      );
    }
  }
  return bytes;
}

// The WHATWG's decoder: each longest part that could begin a character, and is not valid UTF-8,
// becomes one U+FFFD.
function fromUtf8(bytes) {
  let text = '';
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at++];
    if (first < 0x80) {
      text += String.fromCharCode(first);
      continue;
    }
    let more = first >= 0xc2 && first < 0xe0 ? 1 : first >= 0xe0 && first < 0xf0 ? 2 : 3;
    if (first < 0xc2 || first > 0xf4) more = 0;
    let code = first & (0x3f >> more);
    let least = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
    let most = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
    let left = more;
    while (left > 0 && bytes[at] >= least && bytes[at] <= most) {
      code = (code << 6) | (bytes[at++] & 63);
      least = 0x80;
      most = 0xbf;
      left--;
    }
    text += more > 0 && left === 0 ? String.fromCodePoint(code) : '\ufffd';
  }
  return text;
}

function digest(bytes) {
  const size = bytes.length;
  const blocks = ((size + 8) >> 6) + 1;
  const state = [
    0x6a09e667, 0xbb67ae85 | 0, 0x3c6ef372, 0xa54ff53a | 0, 0x510e527f, 0x9b05688c | 0, 0x1f83d9ab,
    0x5be0cd19,
  ];
  for (let block = 0; block < blocks; block++) {
    fillBlock(bytes, size, block, blocks);
    compress(state);
  }
  const out = [];
  for (let i = 0; i < 8; i++) {
    const word = state[i];
    out.push((word >>> 24) & 255, (word >>> 16) & 255, (word >>> 8) & 255, word & 255);
  }
  return out;
}

function fillBlock(bytes, size, block, blocks) {
  const w = SCHEDULE;
  let at = block << 6;
  if (at + 64 <= size) {
    for (let i = 0; i < 16; i++, at += 4) {
      w[i] = (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
    }
    return;
  }
  for (let i = 0; i < 16; i++, at += 4) {
    if (at + 4 <= size) {
      w[i] = (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
    } else if (at > size) {
      w[i] = 0;
    } else {
      let word = 0;
      for (let j = 0; j < 4; j++) {
        word = (word << 8) | (at + j < size ? bytes[at + j] : at + j === size ? 0x80 : 0);
      }
      w[i] = word;
    }
  }
  if (block === blocks - 1) {
    w[14] = (size / 0x20000000) | 0;
    w[15] = (size << 3) | 0;
  }
}

function compress(state) {
  const w = SCHEDULE;
  const k = ROUND;
  for (let i = 16; i < 64; i++) {
    const x = w[i - 15];
    const y = w[i - 2];
    w[i] =
      w[i - 16] +
      w[i - 7] +
      (((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3)) +
      (((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10));
  }
  let a = state[0];
  let b = state[1];
  let c = state[2];
  let d = state[3];
  let e = state[4];
  let f = state[5];
  let g = state[6];
  let h = state[7];
  for (let i = 0; i < 64; i++) {
    const t1 =
      (h +
        (((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7))) +
        (g ^ (e & (f ^ g))) +
        k[i] +
        w[i]) |
      0;
    const t2 =
      ((((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10))) +
        ((a & b) | (c & (a | b)))) |
      0;
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + t2) | 0;
  }
  state[0] = (state[0] + a) | 0;
  state[1] = (state[1] + b) | 0;
  state[2] = (state[2] + c) | 0;
  state[3] = (state[3] + d) | 0;
  state[4] = (state[4] + e) | 0;
  state[5] = (state[5] + f) | 0;
  state[6] = (state[6] + g) | 0;
  state[7] = (state[7] + h) | 0;
}

// RFC 2104.
function hmac(key, bytes) {
  const block = key.length > 64 ? digest(key) : key;
  const inner = [];
  const outer = [];
  for (let i = 0; i < 64; i++) {
    inner.push((block[i] || 0) ^ 0x36);
    outer.push((block[i] || 0) ^ 0x5c);
  }
  for (let i = 0; i < bytes.length; i++) inner.push(bytes[i]);
  const first = digest(inner);
  for (let i = 0; i < 32; i++) outer.push(first[i]);
  return digest(outer);
}

function encoded(bytes, encoding) {
  if (encoding === 'hex') {
    let text = '';
    for (let i = 0; i < bytes.length; i++) text += HEX[bytes[i] >> 4] + HEX[bytes[i] & 15];
    return text;
  }
  return base64(bytes, encoding === 'base64url');
}

function base64(bytes, forUrls) {
  let text = '';
  for (let at = 0; at < bytes.length; at += 3) {
    const three = (bytes[at] << 16) | ((bytes[at + 1] || 0) << 8) | (bytes[at + 2] || 0);
    text += BASE64[three >> 18] + BASE64[(three >> 12) & 63];
    if (at + 1 < bytes.length) text += BASE64[(three >> 6) & 63];
    if (at + 2 < bytes.length) text += BASE64[three & 63];
  }
  if (forUrls) return text.replace(/\+/g, '-').replace(/\//g, '_');
  return text + '='.repeat((4 - (text.length % 4)) % 4);
}

function fromBase64(text) {
  const plain = text.replace(/-/g, '+').replace(/_/g, '/').replace(/=+$/, '');
  if (/[^A-Za-z0-9+/]/.test(plain) || plain.length % 4 === 1) return undefined;
  spend(plain.length);
  const text8 = nativeFromBase64(plain + '='.repeat((4 - (plain.length % 4)) % 4)); // a character for each byte
  if (regexTest(ASCII, text8)) return text8;
  const bytes = new Uint8Array(text8.length);
  for (let at = 0; at < bytes.length; at++) bytes[at] = text8.charCodeAt(at);
  return fromUtf8(bytes);
}
