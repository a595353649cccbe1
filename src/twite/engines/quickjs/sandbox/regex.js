// createRegex: RE2's language on a backtracking engine. What RE2 cannot do (look-around, references
// back) is refused, what it writes differently is translated; time is bounded by the run's limit.

const CLASSES = {
  alnum: '0-9A-Za-z', alpha: 'A-Za-z', ascii: '\\x00-\\x7f', blank: '\\t ', cntrl: '\\x00-\\x1f\\x7f',
  digit: '0-9', graph: '!-~', lower: 'a-z', print: ' -~', punct: '!-\\/:-@\\[-`{-~',
  space: '\\t\\n\\v\\f\\r ', upper: 'A-Z', word: '0-9A-Za-z_', xdigit: '0-9A-Fa-f',
};

// Returns {source, flags}, or null for what RE2 would refuse.
function translated(pattern) {
  let out = '';
  let flags = '';
  let inClass = false;
  for (let at = 0; at < pattern.length; ) {
    const rest = pattern.slice(at, at + 64);
    let found;
    if (rest[0] === '\\') {
      found = escapeOf(pattern, at, inClass);
      if (!found) return null;
      out += found.text;
      at += found.size;
      continue;
    }
    if (inClass) {
      if ((found = /^\[:(\^?)([a-z]+):\]/.exec(rest))) {
        if (found[1] || !hasOwn(CLASSES, found[2])) return null;
        out += CLASSES[found[2]];
        at += found[0].length;
        continue;
      }
      if (rest[0] === ']') inClass = false;
      out += rest[0] === '[' ? '\\[' : rest[0];
    } else if (rest[0] === '[') {
      inClass = true;
      found = /^\[\^?\]?/.exec(rest)[0];
      // In RE2 a bracket that closes nothing yet is a character.
      out += found.replace(']', '\\]');
      at += found.length;
      continue;
    } else if ((found = /^\(\?P?<([A-Za-z_][A-Za-z0-9_]*)>/.exec(rest))) {
      out += '(?<' + found[1] + '>';
      at += found[0].length;
      continue;
    } else if ((found = /^\(\?([ims]+)\)/.exec(rest))) {
      if (out !== '') return null;
      flags += found[1];
      at += found[0].length;
      continue;
    } else if (/^\(\?(?!:)/.test(rest)) return null;
    else if (/^(?:[*+?]|\{\d+(?:,\d*)?\})\+/.test(rest)) return null;
    else if ((found = /^\{(\d+)(?:,(\d*))?\}/.exec(rest))) {
      if (Number(found[1]) > 1000 || Number(found[2] || 0) > 1000) return null;
      out += rest[0];
    } else out += rest[0];
    at++;
  }
  return inClass ? null : { source: out, flags };
}

// One escape: what stands for it in the engine's language, and how many characters it took.
function escapeOf(pattern, at, inClass) {
  const rest = pattern.slice(at, at + 16);
  let found;
  if (rest[1] === 'Q') {
    const end = pattern.indexOf('\\E', at + 2);
    const text = end < 0 ? pattern.slice(at + 2) : pattern.slice(at + 2, end);
    const plain = text.replace(/[\\^$.*+?()[\]{}|\/-]/g, '\\$&');
    return { text: plain, size: text.length + (end < 0 ? 2 : 4) };
  }
  if (rest.length === 1 || /^\\(?:[1-9]|k<|[pPC])/.test(rest)) return null;
  if ((found = /^\\x\{([0-9a-fA-F]{1,6})\}/.exec(rest))) {
    return { text: characters(parseInt(found[1], 16)), size: found[0].length };
  }
  if (rest[1] === 'a') return { text: '\\x07', size: 2 };
  if (rest[1] === 'A' || rest[1] === 'z') {
    if (inClass) return null;
    return { text: rest[1] === 'A' ? '(?<![\\s\\S])' : '(?![\\s\\S])', size: 2 };
  }
  // Letters that mean nothing to RE2 are errors there, and plain letters in JavaScript.
  if (/^\\[A-Za-z]/.test(rest) && !/^\\[bBdDsSwWfnrtvx]/.test(rest)) return null;
  return { text: rest.slice(0, 2), size: 2 };
}

function characters(code) {
  const units = code > 0x10ffff ? '\ufffd' : String.fromCodePoint(code);
  return units.replace(/[\s\S]/g, (unit) => '\\u' + unit.charCodeAt(0).toString(16).padStart(4, '0'));
}

function createRegex(pattern, flags) {
  const found = translated(makeString(pattern));
  if (!found) return null;
  let wanted = '';
  for (const flag of 'gims') {
    const asked = flag < 'h' || flag === 'i' ? String(flags || '').indexOf(flag) >= 0 : false;
    if (asked || found.flags.indexOf(flag) >= 0) wanted += flag;
  }
  try {
    return new RegExp(found.source, wanted);
  } catch (error) {
    return null;
  }
}

// What createRegex gave for an invalid pattern, null, fits nothing.
function testRegex(regex, text) {
  if (!(regex instanceof RegExp)) return false;
  return regexTest(regex, makeString(text));
}
