// createRegex: RE2's syntax on a backtracking engine. Syntax that RE2 does not support
// (look-around, back references) is refused; different syntax is translated. The run's limit bounds
// the time.

// Each class as the first and last characters of its ranges.
const CLASSES = {
  alnum: '09AZaz', alpha: 'AZaz', ascii: '\0\x7f', blank: '\t\t  ', cntrl: '\0\x1f\x7f\x7f', digit: '09',
  graph: '!~', lower: 'az', print: ' ~', punct: '!/:@[`{~', space: '\t\r  ', upper: 'AZ', word: '09AZ__az',
  xdigit: '09AFaf',
};
const PERLS = { d: '09', s: '\t\n\f\r  ', w: '09AZ__az' };
// RE2 also repeats assertions, so each becomes a group.
const PLACES = { A: '(?:(?<![^]))', z: '(?:(?![^]))', b: '(?:\\b)', B: '(?:\\B)' };
const LITERALS = { a: 7, f: 12, n: 10, r: 13, t: 9, v: 11 };

// Returns {source, insensitive}, or null for a pattern that RE2 would refuse. The engine must use
// code points ("u"); the meaning of "m" and "s" is included in the source.
function translated(pattern, insensitive) {
  const flags = { i: insensitive, m: false, s: false };
  const names = {};
  let out = '';
  let at = 0;
  let found;
  // Flags at the start apply to the whole pattern. Elsewhere, flags are refused.
  while ((found = /^\(\?([ims]*)(?:-([ims]+))?\)/.exec(pattern.slice(at, at + 64)))) {
    if (!found[1] && !found[2]) return null;
    for (const letter of found[1]) flags[letter] = true;
    for (const letter of found[2] || '') flags[letter] = false;
    at += found[0].length;
  }
  while (at < pattern.length) {
    const rest = pattern.slice(at, at + 64);
    if (rest[0] === '\\') {
      if (!(found = quoted(pattern, at) || escaped(rest, flags.i))) return null;
      out += found.text;
      at += found.size;
    } else if (rest[0] === '[') {
      if (!(found = classOf(pattern, at, flags.i))) return null;
      out += found.text;
      at += found.size;
    } else if ((found = /^\(\?P?<([A-Za-z_][A-Za-z0-9_]*)>/.exec(rest))) {
      if (hasOwn(names, found[1])) return null;
      names[found[1]] = true;
      out += '(?<' + found[1] + '>';
      at += found[0].length;
    } else if (/^\(\?(?!:)/.test(rest)) return null;
    else if (/^(?:[*+?]|\{\d+(?:,\d*)?\})\+/.test(rest)) return null;
    else if ((found = /^\{(\d+)(?:,(\d*))?\}/.exec(rest))) {
      if (Number(found[1]) > 1000 || Number(found[2] || 0) > 1000) return null;
      out += found[0];
      at += found[0].length;
    } else {
      if (rest[0] === '.') out += flags.s ? '[^]' : '[^\\n]';
      else if (rest[0] === '^') out += flags.m ? '(?:(?<![^\\n]))' : '(?:^)';
      else if (rest[0] === '$') out += flags.m ? '(?:(?![^\\n]))' : '(?:$)';
      // Outside of a class or repetition, these are characters.
      else out += /[\]{}]/.test(rest[0]) ? '\\' + rest[0] : rest[0];
      at++;
    }
  }
  return { source: out, insensitive: flags.i };
}

// Most templates use the same few patterns in each run.
const TRANSLATED = [new Map(), new Map()]; // by whether case is ignored
const MOST_TRANSLATED = 32;
const LONGEST_TRANSLATED = 200;

function translatedOnce(pattern, insensitive) {
  if (pattern.length > LONGEST_TRANSLATED) return translated(pattern, insensitive);
  const known = TRANSLATED[insensitive ? 1 : 0];
  let found = known.get(pattern);
  if (found === undefined) {
    found = translated(pattern, insensitive);
    if (known.size >= MOST_TRANSLATED) known.clear();
    known.set(pattern, found);
  }
  return found;
}

// An escape outside of brackets.
function escaped(rest, folds) {
  if (hasOwn(PLACES, rest[1])) return { text: PLACES[rest[1]], size: 2 };
  const some = classEscape(rest, folds);
  if (some) return { text: '[' + some.text + ']', size: some.size };
  const one = characterEscape(rest);
  return one && { text: literal(one.code), size: one.size };
}

// \Q…\E: literal text.
function quoted(pattern, at) {
  if (pattern[at + 1] !== 'Q') return null;
  const end = pattern.indexOf('\\E', at + 2);
  const text = end < 0 ? pattern.slice(at + 2) : pattern.slice(at + 2, end);
  return { text: text.replace(/[\\^$.*+?()[\]{}|\/]/g, '\\$&'), size: text.length + (end < 0 ? 2 : 4) };
}

// A class in brackets. In RE2, an unmatched closing bracket at the start is a character.
function classOf(pattern, start, folds) {
  let at = start + 1;
  let out = '[';
  let found;
  if (pattern[at] === '^') {
    out += '^';
    at++;
  }
  for (let first = true; first || pattern[at] !== ']'; first = false) {
    if (at >= pattern.length) return null;
    const rest = pattern.slice(at, at + 64);
    if ((found = /^\[:(\^?)([a-z]+):\]/.exec(rest))) {
      if (!hasOwn(CLASSES, found[2])) return null;
      out += ranges(CLASSES[found[2]], found[1], folds);
      at += found[0].length;
      continue;
    }
    if ((found = classEscape(rest, folds))) {
      out += found.text;
      at += found.size;
      continue;
    }
    const low = characterAt(pattern, at);
    if (!low) return null;
    at += low.size;
    out += literal(low.code);
    if (pattern[at] === '-' && at + 1 < pattern.length && pattern[at + 1] !== ']') {
      const high = characterAt(pattern, at + 1);
      if (!high || high.code < low.code) return null;
      out += '-' + literal(high.code);
      at += 1 + high.size;
    }
  }
  return { text: out + ']', size: at + 1 - start };
}

function characterAt(pattern, at) {
  if (pattern[at] === '\\') return characterEscape(pattern.slice(at, at + 16));
  const code = pattern.codePointAt(at);
  return { code, size: code > 0xffff ? 2 : 1 };
}

// \d, \S, \pL and similar: their content inside brackets.
function classEscape(rest, folds) {
  let found = /^\\([dsw])/i.exec(rest);
  if (found) return { text: ranges(PERLS[found[1].toLowerCase()], found[1] < 'a', folds), size: 2 };
  found = /^\\([pP])(?:\{(\^?)([A-Za-z_]{1,40})\}|([A-Z]))/.exec(rest);
  if (!found) return null;
  const not = (found[1] === 'P') !== (found[2] === '^');
  const name = found[3] || found[4];
  const kind = name.length < 3 || name === 'Any' ? name : 'Script=' + name;
  return { text: (not ? '\\P{' : '\\p{') + kind + '}', size: found[0].length };
}

// An escape that is one character.
function characterEscape(rest) {
  let found = /^\\x(?:\{([0-9a-fA-F]{1,6})\}|([0-9a-fA-F]{2}))/.exec(rest);
  if (found) {
    const code = parseInt(found[1] || found[2], 16);
    return code > 0x10ffff ? null : { code, size: found[0].length };
  }
  // A single digit other than 0 would be a back reference.
  found = /^\\(0[0-7]{0,2}|[1-7][0-7]{1,2})/.exec(rest);
  if (found) return { code: parseInt(found[1], 8), size: found[0].length };
  if (hasOwn(LITERALS, rest[1])) return { code: LITERALS[rest[1]], size: 2 };
  // RE2 has no other letters or digits as escapes.
  return /^\\[!-\/:-@[-`{-~\0- \x7f]/.test(rest) ? { code: rest.charCodeAt(1), size: 2 } : null;
}

function literal(code) {
  return '\\u{' + code.toString(16) + '}';
}

// The ranges, or everything outside of them. If case is ignored, the long s and the Kelvin sign
// equal s and k, which are inside.
function ranges(ends, outside, folds) {
  let out = '';
  let next = 0;
  for (let at = 0; at < ends.length; at += 2) {
    const low = ends.charCodeAt(at);
    const high = ends.charCodeAt(at + 1);
    if (!outside) out += literal(low) + '-' + literal(high);
    else if (low > next) out += literal(next) + '-' + literal(low - 1);
    next = high + 1;
  }
  if (!outside) return out;
  return out + literal(next) + (folds ? '-\\u{17e}\\u{180}-\\u{2129}\\u{212b}' : '') + '-\\u{10ffff}';
}

function createRegex(pattern, flags) {
  const asked = String(flags || '');
  const found = translatedOnce(makeString(pattern), asked.indexOf('i') >= 0);
  if (!found) return null;
  const wanted = (asked.indexOf('g') >= 0 ? 'g' : '') + (found.insensitive ? 'i' : '') + 'u';
  try {
    return new RegExp(found.source, wanted);
  } catch (error) {
    if (endsRun(error)) throw error;
    return null;
  }
}

// null, the result of createRegex for an invalid pattern, matches nothing.
function testRegex(regex, text) {
  if (!(regex instanceof RegExp)) return false;
  return regexTest(regex, makeString(text));
}
