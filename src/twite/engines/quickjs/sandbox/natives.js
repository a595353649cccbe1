// What the sandbox takes from the engine, once, before any of it can be changed.

const {
  Array, Error, Function, Int32Array, Map, Math, Number, Object, Promise, RangeError, Reflect, RegExp,
  Set, String, Symbol, SyntaxError, TypeError, Uint8Array, WeakMap, JSON, parseInt, decodeURI,
  decodeURIComponent, encodeURI, encodeURIComponent, Iterator, BigInt,
} = globalThis;
const evaluate = globalThis.eval; // called by another name it knows no scope of ours
const apply = Reflect.apply;
const ownProperty = Object.prototype.hasOwnProperty;
const nativeNormalize = String.prototype.normalize;
const nativeIndexOf = String.prototype.indexOf;
const nativeLastIndexOf = String.prototype.lastIndexOf;
const nativeTest = RegExp.prototype.test;
const nativeSource = Function.prototype.toString;

// The engine looks at the clock every 10,000 steps of JavaScript, and one call is one step, however
// much it does: a long one takes steps for what it does.
const MUCH = 1000000; // as many steps as make it look

function spend(size) {
  for (let left = size; left > 2000; left -= 100);
}

// A number from a long text is read in one step.
function numberOf(value) {
  if (typeof value === 'string') spend(value.length);
  return Number(value);
}

function normalized(text) {
  return apply(nativeNormalize, text, ['NFKC']);
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
