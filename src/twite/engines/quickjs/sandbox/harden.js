// The last step: whatever a template can reach is frozen, and no way leads to a constructor or to the
// global object. Loops inside the engine that no time limit can interrupt are bounded.

const LONGEST_ARRAY = 1000000;
const MOST_COMPARED = 100000000; // characters of a text times those of what is sought in it

// A page's, of long ago: each copies the whole text.
const AS_HTML = [
  'anchor', 'big', 'blink', 'bold', 'fixed', 'fontcolor', 'fontsize', 'italics', 'link', 'small', 'strike', 'sub', 'sup',
];

function sizeOf(list) {
  if (Array.isArray(list)) return list.length;
  if (list === null || typeof list !== 'object') return 0;
  const found = Object.getOwnPropertyDescriptor(list, 'length');
  if (!found) return 0;
  if (!('value' in found)) throw new RangeError('the length of what is no array must be a plain value');
  return Number(found.value) || 0;
}

function boundArrays() {
  const methods = Array.prototype;
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
        // Two long texts are compared in one step: look at them one by one.
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
  // Not among the methods that Google lists, and unbounded.
  for (const name of ['copyWithin', 'flat', 'flatMap', 'toLocaleString', 'toReversed', 'toSorted', 'toSpliced', 'with']) {
    delete methods[name];
  }
}

function equal(one, text) {
  if (typeof one !== 'string' || one.length !== text.length) return false;
  spend(text.length);
  return one === text;
}

// What sort does without a function, but with steps.
function inOrder(one, other) {
  const [a, b] = [String(one), String(other)];
  spend(Math.min(a.length, b.length));
  return a < b ? -1 : a > b ? 1 : 0;
}

function boundTexts() {
  const methods = String.prototype;
  for (const name of ['toLowerCase', 'toUpperCase', 'toLocaleLowerCase', 'toLocaleUpperCase', 'trim']) {
    const native = methods[name];
    const bounded = {
      [name]() {
        if (typeof this === 'string') spend(this.length);
        return apply(native, this, []);
      },
    }[name];
    define(methods, name, bounded);
  }
  for (const name of ['indexOf', 'lastIndexOf', 'includes', 'split', 'replace', 'replaceAll']) {
    const native = methods[name];
    const bounded = {
      [name](sought, second) {
        if (typeof sought === 'string' && typeof this === 'string') {
          if (this.length * sought.length > MOST_COMPARED) throw new RangeError('the texts are too long to compare');
          spend(this.length);
        } else if (sought !== null && typeof sought === 'object' && !(sought instanceof RegExp)) {
          return apply(native, String(this), [String(sought), second]);
        }
        return apply(native, this, second === undefined ? [sought] : [sought, second]);
      },
    }[name];
    define(methods, name, bounded);
  }
  for (const name of ['repeat', 'padStart', 'padEnd']) {
    const native = methods[name];
    const bounded = {
      [name](count, filler) {
        spend(name === 'repeat' ? String(this).length * count : count);
        return apply(native, this, [count, filler]);
      },
    }[name];
    define(methods, name, bounded);
  }
  // What is no expression is made one each time.
  for (const name of ['match', 'matchAll', 'search']) {
    const native = methods[name];
    const bounded = {
      [name](sought) {
        if (sought === undefined || sought instanceof RegExp) return apply(native, this, [sought]);
        const text = String(sought);
        spend(text.length * 100);
        return apply(native, this, [text]);
      },
    }[name];
    define(methods, name, bounded);
  }
  for (const name of ['startsWith', 'endsWith']) {
    const native = methods[name];
    const bounded = {
      [name](sought, at) {
        const text = String(sought);
        spend(text.length);
        return at === undefined ? apply(native, this, [text]) : apply(native, this, [text, at]);
      },
    }[name];
    define(methods, name, bounded);
  }
  // Not among the methods that Google lists, and none looks at the clock.
  for (const name of ['normalize', 'localeCompare', 'toWellFormed', 'isWellFormed', ...AS_HTML]) delete methods[name];
  delete RegExp.prototype.compile;
}

// What goes on with an iterator: a loop of the engine's own, for as long as the iterator likes. Google
// lists none of them.
function withoutIteratorHelpers() {
  for (const key of Reflect.ownKeys(Iterator.prototype)) {
    if (key !== Symbol.iterator) Reflect.deleteProperty(Iterator.prototype, key);
  }
}

// What ends an endless step is swallowed by them, as no other exception is, and the next step begins.
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
  // The engine's own frees what it has not filled yet, where memory runs out in it.
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

// A frozen property of a prototype would forbid the assignment on every object below it: a setter
// that gives the object a property of its own allows it again.
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

// Everything that code without a single global name can reach by syntax.
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
    globalThis, generator, later, laterGenerator, () => 0, class {}, /x/, [], {}, pending, apis,
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
  // What the setters above brought is reachable as well.
  for (const one of reachable()) Object.freeze(one);
  for (const one of found) Object.freeze(one);
}

harden();
