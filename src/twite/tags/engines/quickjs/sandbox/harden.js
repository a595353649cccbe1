// The last step: freeze everything that a template can reach, and remove every path to a
// constructor or to the global object. The size of texts is bounded, and if steps are counted, so is
// each loop inside the engine.

const LONGEST_ARRAY = 1000000;
const LONGEST_TEXT = 16777216; // characters; memory cannot hold more
const MOST_COMPARED = 100000000; // characters of a text times those of the searched text

// Old methods for web pages, each of which copies the whole text.
const AS_HTML = [
  'anchor', 'big', 'blink', 'bold', 'fixed', 'fontcolor', 'fontsize', 'italics', 'link', 'small', 'strike', 'sub', 'sup',
];

function sizeOf(list) {
  if (Array.isArray(list)) return list.length;
  if (list === null || typeof list !== 'object') return 0;
  const found = Object.getOwnPropertyDescriptor(list, 'length');
  if (!found) return 0;
  if (!('value' in found)) throw new RangeError('the length of an array-like object must be a plain value');
  return Number(found.value) || 0;
}

function boundArrays() {
  const methods = Array.prototype;
  // Google does not list these methods, and they are unbounded.
  for (const name of ['copyWithin', 'flat', 'flatMap', 'toLocaleString', 'toReversed', 'toSorted', 'toSpliced', 'with']) {
    delete methods[name];
  }
  if (!countsSteps) return;
  for (const name of ['join', 'reverse', 'shift', 'unshift', 'splice', 'slice', 'concat', 'sort']) {
    const native = methods[name];
    const bounded = {
      [name](...given) {
        let size = sizeOf(this);
        if (name === 'concat') for (const one of given) size += sizeOf(one);
        if (size > LONGEST_ARRAY) throw new RangeError('the array is too long');
        spend(size);
        return apply(native, this, given);
      },
    }[name];
    define(methods, name, bounded);
  }
  const sort = methods.sort;
  define(methods, 'sort', { sort(compare) { return apply(sort, this, [compare || inOrder]); } }.sort);
  for (const [name, step] of [['indexOf', 1], ['includes', 1], ['lastIndexOf', -1]]) {
    const native = methods[name];
    const bounded = {
      [name](...given) {
        if (typeof given[0] !== 'string' || given[0].length < 200 || !Array.isArray(this)) {
          return apply(native, this, given);
        }
        // The engine compares two long texts in one step, so compare them character by character.
        let at = given.length > 1 ? Math.trunc(Number(given[1])) || 0 : step > 0 ? 0 : this.length - 1;
        if (at < 0) at += this.length;
        at = step > 0 ? Math.max(0, at) : Math.min(at, this.length - 1);
        while (at >= 0 && at < this.length && !equal(this[at], given[0])) at += step;
        const found = at >= 0 && at < this.length;
        return name === 'includes' ? found : found ? at : -1;
      },
    }[name];
    define(methods, name, bounded);
  }
  const fill = methods.fill;
  define(methods, 'fill', {
    fill(value, from, to) {
      const size = sizeOf(this);
      if (size > LONGEST_ARRAY) throw new RangeError('the array is too long');
      spend(size);
      return apply(fill, this, [value, from, to]);
    },
  }.fill);
}

function equal(one, text) {
  if (typeof one !== 'string' || one.length !== text.length) return false;
  spend(text.length);
  return one === text;
}

// sort without a function, but with steps.
function inOrder(one, other) {
  const [a, b] = [String(one), String(other)];
  spend(Math.min(a.length, b.length));
  return a < b ? -1 : a > b ? 1 : 0;
}

// Each method first converts its text and its arguments to texts. For other values, the converted
// text counts.
function boundTexts() {
  const methods = String.prototype;
  const bound = (name, act) => {
    const native = methods[name];
    const bounded = {
      [name](...given) {
        if (this === undefined || this === null) throw new TypeError(name + ' of ' + this);
        const text = String(this);
        spend(text.length);
        return act((...more) => apply(native, text, more), text, given);
      },
    }[name];
    define(methods, name, bounded);
  };
  // Google does not list these methods, and none of them checks the time.
  for (const name of ['normalize', 'localeCompare', 'toWellFormed', 'isWellFormed', ...AS_HTML]) delete methods[name];
  delete RegExp.prototype.compile;
  for (const name of ['replace', 'replaceAll']) {
    bound(name, (native, text, [sought, replacement]) => {
      const found = sought instanceof RegExp ? sought : comparable(text, sought);
      if (typeof replacement === 'function') return native(found, replacing((given) => String(replacement(...given))));
      const plain = String(replacement);
      // If even one replacement per character gives no long text, the engine may do the work in one
      // step.
      if (plain.length * (text.length + 1) > MUCH || indexIn(plain, '$', 0) >= 0) {
        return native(found, replacing((given) => substituted(plain, given)));
      }
      const made = native(found, plain);
      spend(made.length);
      return made;
    });
  }
  for (const name of ['repeat', 'padStart', 'padEnd']) {
    bound(name, (native, text, [count, filler]) => {
      const size = numberOf(count);
      spendOnText(name === 'repeat' ? text.length * size : size);
      return native(size, filler);
    });
  }
  bound('concat', (_, text, given) => {
    for (const one of given) {
      const piece = String(one);
      spendOnText(text.length + piece.length);
      text += piece;
    }
    return text;
  });
  if (!countsSteps) return;
  const wholes = ['toLowerCase', 'toUpperCase', 'toLocaleLowerCase', 'toLocaleUpperCase', 'trim', 'trimStart', 'trimEnd'];
  for (const name of [...wholes, 'trimLeft', 'trimRight']) bound(name, (native) => native());
  for (const name of ['indexOf', 'lastIndexOf', 'includes']) {
    bound(name, (native, text, [sought, from]) => {
      if (name === 'includes' && sought instanceof RegExp) throw new TypeError('a regular expression is not a text');
      const plain = comparable(text, sought);
      return from === undefined ? native(plain) : native(plain, from);
    });
  }
  bound('split', (native, text, [sought, most]) =>
    native(sought === undefined || sought instanceof RegExp ? sought : comparable(text, sought), most));
  // Values that are not regular expressions are converted each time.
  for (const name of ['match', 'matchAll', 'search']) {
    bound(name, (native, _, [sought]) => {
      if (sought === undefined || sought instanceof RegExp) return native(sought);
      const pattern = String(sought);
      spend(pattern.length * 100);
      return native(pattern);
    });
  }
  for (const name of ['startsWith', 'endsWith']) {
    bound(name, (native, _, [sought, at]) => (at === undefined ? native(String(sought)) : native(String(sought), at)));
  }
}

function boundNumbers() {
  if (!countsSteps) return;
  const methods = Number.prototype;
  for (const name of ['toExponential', 'toFixed', 'toPrecision', 'toString', 'toLocaleString']) {
    const native = methods[name];
    define(methods, name, {
      [name](digits) {
        return apply(native, this, digits === undefined ? [] : [numberOf(digits)]);
      },
    }[name]);
  }
}

// The searched text. The engine compares at each position without a check of the time.
function comparable(text, sought) {
  const plain = String(sought);
  if (text.length * plain.length > MOST_COMPARED) throw new RangeError('the texts are too long to compare');
  spend(plain.length);
  return plain;
}

// The size of a result must be bounded before it is built: if memory runs out in the middle, the
// engine continues to the end of the operation.
function spendOnText(size) {
  if (size > LONGEST_TEXT) throw new RangeError('the text is too long');
  spend(size);
}

// For a replacement that may be long, or grow.
function replacing(make) {
  let size = 0;
  return (...given) => {
    const made = make(given);
    size += made.length;
    if (size > LONGEST_TEXT) throw new RangeError('the text is too long');
    spend(made.length);
    return made;
  };
}

// ECMAScript's GetSubstitution; `given` are the arguments of a replacement function.
function substituted(replacement, given) {
  const last = given.length - 1;
  const groups = typeof given[last] === 'object' ? given[last] : undefined;
  const end = groups === undefined ? last : last - 1;
  const [text, position, matched] = [given[end], given[end - 1], given[0]];
  const captured = (digits) => {
    const number = Number(digits);
    return number >= 1 && number <= end - 2 ? orEmpty(given[number]) : undefined;
  };
  let out = '';
  let at = 0;
  for (let next = indexIn(replacement, '$', 0); next >= 0; next = indexIn(replacement, '$', at)) {
    const sign = replacement[next + 1];
    const digits = /^\d{1,2}/.exec(replacement.slice(next + 1, next + 3));
    let [piece, size] = ['$', 1];
    if (sign === '$') size = 2;
    else if (sign === '&') [piece, size] = [matched, 2];
    else if (sign === '`') [piece, size] = [text.slice(0, position), 2];
    else if (sign === "'") [piece, size] = [text.slice(position + matched.length), 2];
    else if (digits) {
      const [long, short] = [captured(digits[0]), captured(digits[0][0])];
      if (long !== undefined) [piece, size] = [long, 1 + digits[0].length];
      else if (short !== undefined) [piece, size] = [short, 2];
    } else if (sign === '<' && groups !== undefined) {
      const close = indexIn(replacement, '>', next + 2);
      if (close >= 0) [piece, size] = [orEmpty(groups[replacement.slice(next + 2, close)]), close + 1 - next];
    }
    spendOnText(out.length + piece.length);
    out += replacement.slice(at, next) + piece;
    at = next + size;
  }
  return out + replacement.slice(at);
}

function orEmpty(captured) {
  return captured === undefined ? '' : String(captured);
}

// Methods that consume an iterator: a loop in the engine, as long as the iterator continues. Google
// lists none of them.
function withoutIteratorHelpers() {
  for (const key of Reflect.ownKeys(Iterator.prototype)) {
    if (key !== Symbol.iterator) Reflect.deleteProperty(Iterator.prototype, key);
  }
}

// These methods swallow the exception that ends an endless step, unlike any other exception, and
// begin the next step.
function withoutAsyncGenerators() {
  const prototype = Object.getPrototypeOf(Object.getPrototypeOf((async function* () {})()));
  for (const name of ['next', 'return', 'throw']) Reflect.deleteProperty(prototype, name);
}

function boundCalls() {
  const native = Function.prototype.apply;
  define(Function.prototype, 'apply', {
    apply(self, given) {
      spend(sizeOf(given));
      return apply(native, this, [self, given]);
    },
  }.apply);
  // The engine's own method frees elements that it has not filled yet, if memory runs out.
  define(Function.prototype, 'bind', {
    bind(self, ...given) {
      const target = this;
      return (...more) => apply(target, self, [...given, ...more]);
    },
  }.bind);
}

function define(object, name, value) {
  Object.defineProperty(object, name, { value, writable: true, enumerable: false, configurable: true });
}

// A frozen property of a prototype would forbid the assignment on every object below it. A setter
// that creates an own property allows the assignment.
function allowOverride(prototype) {
  for (const key of Reflect.ownKeys(prototype)) {
    const found = Object.getOwnPropertyDescriptor(prototype, key);
    if (!('value' in found) || !found.configurable) continue;
    const value = found.value;
    Object.defineProperty(prototype, key, {
      get: () => value,
      set(given) {
        Object.defineProperty(this, key, { value: given, writable: true, enumerable: true, configurable: true });
      },
      enumerable: false,
      configurable: true,
    });
  }
}

// Everything that code can reach by syntax, without a global name.
function roots() {
  function* generator() {}
  async function later() {}
  async function* laterGenerator() {}
  const iterators = [
    [][Symbol.iterator](), ''[Symbol.iterator](), new Map().entries(), new Set().values(),
    ''.matchAll(/x/g), generator(), laterGenerator(), (function () { return arguments; })(),
  ];
  const pending = later();
  return [
    globalThis, generator, later, laterGenerator, () => 0, class {}, /x/, [], {}, pending, apis, ENDS,
    SandboxPromise.prototype, new Error(), 0n, ...iterators, require,
  ];
}

function reachable() {
  const found = new Set();
  const open = roots();
  while (open.length) {
    const one = open.pop();
    if (one === null || (typeof one !== 'object' && typeof one !== 'function') || found.has(one)) {
      if (typeof one === 'bigint') open.push(BigInt.prototype);
      continue;
    }
    found.add(one);
    open.push(Object.getPrototypeOf(one));
    for (const key of Reflect.ownKeys(one)) {
      const property = Object.getOwnPropertyDescriptor(one, key);
      if ('value' in property) open.push(property.value);
      else open.push(property.get, property.set);
    }
  }
  return found;
}

function harden() {
  boundArrays();
  boundTexts();
  boundNumbers();
  boundCalls();
  withoutIteratorHelpers();
  withoutAsyncGenerators();
  const found = reachable();
  for (const one of found) {
    if (hasOwn(one, 'constructor')) Reflect.deleteProperty(one, 'constructor');
  }
  for (const name of ['__proto__', '__defineGetter__', '__defineSetter__', '__lookupGetter__', '__lookupSetter__']) {
    Reflect.deleteProperty(Object.prototype, name);
  }
  allowOverride(Object.prototype);
  for (const one of found) if (one instanceof Error || one === Error.prototype) allowOverride(one);
  for (const key of Reflect.ownKeys(globalThis)) Reflect.deleteProperty(globalThis, key);
  // Values that the setters above return can be reached, too.
  for (const one of reachable()) Object.freeze(one);
  for (const one of found) Object.freeze(one);
}

harden();
