// What the sandbox takes from the engine, once, before a template can change any of it.

const {
  Array, Error, Function, Int32Array, Map, Math, Number, Object, Promise, RangeError, Reflect, RegExp,
  Set, String, Symbol, SyntaxError, TypeError, Uint8Array, WeakMap, JSON, parseInt, decodeURI,
  decodeURIComponent, encodeURI, encodeURIComponent, Iterator, BigInt, Proxy,
} = globalThis;
const evaluate = globalThis.eval; // under another name, eval has no access to the sandbox's scope
const apply = Reflect.apply;
const ownProperty = Object.prototype.hasOwnProperty;
const nativeNormalize = String.prototype.normalize;
const nativeIndexOf = String.prototype.indexOf;
const nativeLastIndexOf = String.prototype.lastIndexOf;
const nativeToWellFormed = String.prototype.toWellFormed;
const nativeIsWellFormed = String.prototype.isWellFormed;
const nativeTrim = String.prototype.trim;
const nativeTest = RegExp.prototype.test;
const nativeExec = RegExp.prototype.exec;
const nativeToBase64 = globalThis.btoa;
const nativeFromBase64 = globalThis.atob;
const nativeSource = Function.prototype.toString;
// A function of Twite, if the kernel limits the time; undefined otherwise.
const nativeSha256 = globalThis.sha256;
const countsSteps = nativeSha256 === undefined;

// Without the kernel, the engine checks the time every 10,000 steps of JavaScript, and a call is one
// step, however long it takes. Long operations therefore execute steps in proportion to their work.
const MUCH = 1000000; // the number of steps that certainly causes a check

function spend(size) {
  if (!countsSteps) return;
  for (let left = size; left > 2000; left -= 100);
}

// The engine reads a number from a long text in one step.
function numberOf(value) {
  if (typeof value === 'string') spend(value.length);
  return Number(value);
}

function normalized(text) {
  return apply(nativeNormalize, text, ['NFKC']);
}

function trimmed(text) {
  return apply(nativeTrim, text, []);
}

function indexIn(text, sought, from) {
  return apply(nativeIndexOf, text, [sought, from]);
}

function lastIndexIn(text, sought, from) {
  return apply(nativeLastIndexOf, text, [sought, from]);
}

function regexTest(expression, text) {
  return apply(nativeTest, expression, [text]);
}
