// Host names beyond ASCII, converted to Punycode by UTS 46. NFKC and lower case replace its mapping
// tables; the engine's character classes replace its table of disallowed characters.

const LONGEST_NAME = 1000;
const IGNORED = /[\u00ad\u034f\u180b-\u180f\u200b\u2060-\u2064\u206a-\u206f\ufe00-\ufe0f\ufeff\u{e0100}-\u{e01ef}]/gu;
const DOTTED = /[\u2024-\u2026\u2488-\u249b\u33c2\u33c7\u33d8\ufe19\ufe30\ufe52\u{1f100}]/u; // a dot among other characters
const DOTS = /[\u3002\uff0e\uff61]/g;
const NOT_ALLOWED = /[\p{Cc}\p{Cf}\p{Cn}\p{Co}\p{Cs}\p{Z}\u2ff0-\u2fff\ufffc\ufffd]/u;
const JOINERS = /[\u200c\u200d]/g;
// A joiner is allowed after a virama (RFC 5892, A.1 and A.2), a non-joiner also inside a word whose
// letters join.
const VIRAMA = '[\\u094d\\u09cd\\u0a4d\\u0acd\\u0b4d\\u0bcd\\u0c4d\\u0ccd\\u0d4d\\u0dca\\u0e3a\\u0f84\\u1039\\u17d2]';
const JOINS = '[\\p{Script=Arabic}\\p{Script=Syriac}]';
const JOINED = new RegExp(
  VIRAMA + '[\\u200c\\u200d]|' + JOINS + '\\p{M}*\\u200c(?=\\p{M}*' + JOINS + ')', 'gu',
);
const RIGHT_TO_LEFT = new RegExp(
  '(?=\\p{L})[' + ['Hebrew', 'Arabic', 'Syriac', 'Thaana', 'Nko', 'Adlam', 'Samaritan', 'Mandaic']
    .map((script) => '\\p{Script=' + script + '}').join('') + ']|\\u05be', 'u',
);
const LETTER = /\p{L}/u;

// Undefined for an invalid name. As in the standard, ASCII names are not checked further.
function domainToAscii(text) {
  if (/^[\0-\x7f]*$/.test(text)) return text.toLowerCase();
  if (text.length > LONGEST_NAME || /\ufffd/.test(text) || DOTTED.test(text)) return undefined;
  const mapped = lowered(normalized(text.replace(IGNORED, ''))).replace(DOTS, '.');
  const labels = normalized(mapped).split('.');
  for (let i = 0; i < labels.length; i++) {
    const label = labelToAscii(labels[i]);
    if (label === undefined) return undefined;
    labels[i] = label;
  }
  return labels.join('.');
}

// Letter by letter, because JavaScript changes the final sigma of a whole word to another letter.
function lowered(text) {
  return Array.from(text, (one) => one.toLowerCase()).join('');
}

function labelToAscii(label) {
  if (label.slice(0, 4) === 'xn--') {
    const plain = punydecoded(label.slice(4));
    // Encoding the decoded label must give the same label.
    if (plain === undefined || /^[\0-\x7f]*$/.test(plain)) return undefined;
    if (lowered(normalized(plain)) !== plain || !isLabel(plain)) return undefined;
    return label;
  }
  if (/^[\0-\x7f]*$/.test(label)) return label;
  return isLabel(label) ? 'xn--' + punycode(label) : undefined;
}

function isLabel(label) {
  if (/^\p{M}/u.test(label) || NOT_ALLOWED.test(label.replace(JOINERS, ''))) return false;
  if (JOINERS.test(label.replace(JOINED, (found) => found[0]))) {
    JOINERS.lastIndex = 0;
    return false;
  }
  return !RIGHT_TO_LEFT.test(label) || runsFromRight(label);
}

// RFC 5893, 2, applied to letters: such a label begins with a letter of its direction, and contains
// no other.
function runsFromRight(label) {
  const letters = Array.from(label).filter((one) => regexTest(LETTER, one));
  const first = String.fromCodePoint(label.codePointAt(0));
  return regexTest(RIGHT_TO_LEFT, first) && regexTest(LETTER, first)
    && letters.every((one) => regexTest(RIGHT_TO_LEFT, one));
}

// RFC 3492, encoding.
function punycode(label) {
  const points = Array.from(label, (char) => char.codePointAt(0));
  const basic = points.filter((point) => point < 128);
  let out = basic.length ? String.fromCodePoint(...basic) + '-' : '';
  let done = basic.length;
  let point = 128;
  let delta = 0;
  let bias = 72;
  for (let first = true; done < points.length; delta++, point++) {
    const next = points.reduce((least, one) => (one >= point && one < least ? one : least), 0x7fffffff);
    delta += (next - point) * (done + 1);
    point = next;
    for (const one of points) {
      if (one < point) delta++;
      if (one !== point) continue;
      let rest = delta;
      for (let k = 36; ; k += 36) {
        const least = k <= bias ? 1 : k >= bias + 26 ? 26 : k - bias;
        const digit = rest < least ? rest : least + ((rest - least) % (36 - least));
        out += String.fromCharCode(digit < 26 ? digit + 97 : digit + 22);
        if (rest < least) break;
        rest = Math.floor((rest - least) / (36 - least));
      }
      bias = adapted(delta, done + 1, first);
      first = false;
      delta = 0;
      done++;
    }
  }
  return out;
}

// RFC 3492, decoding; undefined for invalid Punycode.
function punydecoded(text) {
  const split = text.lastIndexOf('-');
  const points = Array.from(split > 0 ? text.slice(0, split) : '', (char) => char.charCodeAt(0));
  let point = 128;
  let at = 0;
  let bias = 72;
  for (let read = split > 0 ? split + 1 : 0; read < text.length; at++) {
    const before = at;
    for (let weight = 1, k = 36; ; k += 36) {
      const digit = digitOf(text.charCodeAt(read++));
      if (digit === undefined) return undefined;
      at += digit * weight;
      const least = k <= bias ? 1 : k >= bias + 26 ? 26 : k - bias;
      if (digit < least) break;
      weight *= 36 - least;
      if (at > 0x7fffffff || weight > 0x7fffffff) return undefined;
    }
    const size = points.length + 1;
    bias = adapted(at - before, size, before === 0);
    point += Math.floor(at / size);
    at %= size;
    if (point > 0x10ffff) return undefined;
    points.splice(at, 0, point);
  }
  return points.map((one) => String.fromCodePoint(one)).join('');
}

function digitOf(code) {
  if (code >= 97 && code <= 122) return code - 97;
  if (code >= 48 && code <= 57) return code - 22;
  return undefined;
}

function adapted(delta, count, first) {
  let rest = first ? Math.floor(delta / 700) : delta >> 1;
  rest += Math.floor(rest / count);
  let k = 0;
  for (; rest > 455; k += 36) rest = Math.floor(rest / 35);
  return k + Math.floor((36 * rest) / (rest + 38));
}

