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
const nativeTest = RegExp.prototype.test;
const nativeSource = Function.prototype.toString;

function normalized(text) {
  return apply(nativeNormalize, text, ['NFKC']);
}

function regexTest(expression, text) {
  return apply(nativeTest, expression, [text]);
}
