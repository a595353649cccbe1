// The globals of a template's own tests: mock, mockObject, runCode, assertApi, assertThat, fail.

let bench = null; // the current scenario

function scenario(text) {
  const { code, now, seed } = JSON.parse(text);
  const run = begun(
    { fields: {}, now, seed, request: { method: 'GET', path: '/', query: '', headers: [], body: null, remote_address: '' },
      container: { containerId: 'GTM-TEST', debugMode: true, environmentName: '', environmentMode: false, previewMode: true, version: 'QUICK_PREVIEW' },
      client: 'test', storage: {}, listened: [] },
    '{}',
  );
  bench = { mocks: new Map(), calls: new Map(), failures: [] };
  runs.set(run.id, run);
  try {
    const globals = '(require, mock, mockObject, runCode, assertApi, assertThat, fail)';
    // Tests of public templates read `data`, and may also declare a variable of this name.
    const act = wrapped(globals, code, (text) => '((data) => (' + text + '))({})');
    act(require, mock, mockObject, runCode, assertApi, assertThat, failScenario);
    settleAll(run);
  } catch (error) {
    if (!(error instanceof Failure)) noted(described(error), error);
  }
  for (const look of run.rejected.splice(0)) {
    const found = look();
    if (found && found.reason instanceof Error && !(found.reason instanceof Failure)) {
      noted(described(found.reason), found.reason);
    }
  }
  runs.delete(run.id);
  const logs = run.effects.filter((one) => one.effect === 'log').map((one) => one.text);
  const failures = bench.failures;
  bench = current = null;
  return JSON.stringify({ failures, logs });
}

// Run until nothing is pending, including promises that time out.
function settleAll(run) {
  for (let wake = run.now; wake !== null; wake = ranOut(run)) {
    run.now = wake;
    ranOut(run);
    drain(run);
  }
}

class Failure extends Error {}

function noted(message, error) {
  bench.failures.push({ message, lines: placesOf(error) });
}

// Stored as well as thrown, because a promise of the template may swallow the exception.
function failScenario(message) {
  const failure = new Failure(message === undefined ? 'fail was called' : makeString(message));
  noted(failure.message, failure);
  throw failure;
}

function mock(name, value) {
  bench.mocks.set(makeString(name), typeof value === 'function' ? value : () => value);
}

function mockObject(name, object) {
  bench.mocks.set(makeString(name), object);
}

function runCode(fields) {
  const given = Object.assign({}, fields);
  for (const name of ['gtmOnSuccess', 'gtmOnFailure']) {
    given[name] = spied(name, typeof given[name] === 'function' ? given[name] : () => undefined);
  }
  current.starting = true;
  current.claimed = false;
  const returned = program(required, given);
  current.starting = false;
  return returned;
}

// The APIs that the template's code gets: mocks and real ones. Each call is recorded.
function required(name) {
  const text = makeString(name);
  const replaced = bench.mocks.get(text);
  if (replaced !== null && typeof replaced === 'object') {
    return Object.assign({}, typeof apis[text] === 'object' ? apis[text] : {}, spiedObject(text, replaced));
  }
  if (!replaced && !hasOwn(apis, text)) return require(text);
  if (!replaced && typeof apis[text] === 'object') return apis[text];
  // The mock that exists when the code requires the API stays in use, as in Google's runner. A mock
  // of a later run does not affect an earlier run.
  if (replaced) return spied(text, replaced);
  return spied(text, (...given) => {
    // Google's runner has a real request, so there is always a header.
    const real = apis[text](...given);
    return text === 'getRequestHeader' && real === undefined ? 'https://example.com/' : real;
  });
}

function spiedObject(name, object) {
  const all = {};
  for (const key of Object.keys(object)) {
    const one = object[key];
    all[key] = typeof one === 'function' ? spied(name + '.' + key, one) : one;
  }
  return all;
}

function spied(name, act) {
  if (!bench.calls.has(name)) bench.calls.set(name, []);
  return (...given) => {
    bench.calls.get(name).push(given);
    return act(...given);
  };
}

function assertApi(name) {
  const text = makeString(name);
  const calls = () => bench.calls.get(text) || [];
  const listed = () => calls().map((given) => shown(given)).join('; ') || 'it was not called';
  const says = (holds, words) => {
    if (!holds) failScenario('assertApi(' + text + '): ' + words());
    return subject;
  };
  const subject = {
    wasCalled: () => says(calls().length > 0, () => 'expected to be called'),
    wasNotCalled: () => says(calls().length === 0, () => 'expected not to be called, but was called with ' + listed()),
    wasCalledWith: (...wanted) =>
      says(calls().some((given) => same(given, wanted)), () => 'expected to be called with ' + shown(wanted) + ', but ' + listed()),
    wasNotCalledWith: (...wanted) =>
      says(!calls().some((given) => same(given, wanted)), () => 'expected not to be called with ' + shown(wanted)),
  };
  return subject;
}

function shown(value) {
  const text = typeof value === 'number' ? String(value) : valueApis.JSON.stringify(value);
  const plain = text === undefined ? String(value) : text;
  return plain.length > 400 ? plain.slice(0, 400) + '…' : plain;
}

// Deep equality: arrays in order, objects by their own keys, NaN equal to itself.
function same(a, b) {
  if (a === b || (a !== a && b !== b)) return true;
  if (a === null || b === null || typeof a !== 'object' || typeof b !== 'object') return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const keys = Object.keys(a);
  if (keys.length !== Object.keys(b).length) return false;
  return keys.every((key) => hasOwn(b, key) && same(a[key], b[key]));
}

function members(actual) {
  return typeof actual === 'string' || Array.isArray(actual) ? actual : Object.keys(actual);
}

function has(actual, one) {
  if (typeof actual === 'string') return actual.indexOf(one) >= 0;
  return members(actual).some((member) => same(member, one));
}

function exactly(actual, wanted) {
  const left = Array.from(members(actual));
  for (const one of wanted) {
    const at = left.findIndex((member) => same(member, one));
    if (at < 0) return false;
    left.splice(at, 1);
  }
  return left.length === 0;
}

// Each assertion: the condition on the actual value and the expected ones.
const ASSERTIONS = {
  isUndefined: (a) => a === undefined,
  isDefined: (a) => a !== undefined,
  isNull: (a) => a === null,
  isNotNull: (a) => a !== null,
  isTrue: (a) => a === true,
  isFalse: (a) => a === false,
  isTruthy: (a) => !!a,
  isFalsy: (a) => !a,
  isNaN: (a) => a !== a,
  isNotNaN: (a) => a === a,
  isInfinity: (a) => a === Infinity || a === -Infinity,
  isNotInfinity: (a) => a !== Infinity && a !== -Infinity,
  isEqualTo: (a, [b]) => same(a, b),
  isNotEqualTo: (a, [b]) => !same(a, b),
  isStrictlyEqualTo: (a, [b]) => a === b,
  isNotStrictlyEqualTo: (a, [b]) => a !== b,
  isAnyOf: (a, all) => all.some((one) => same(a, one)),
  isNoneOf: (a, all) => !all.some((one) => same(a, one)),
  isNotAnyOf: (a, all) => !all.some((one) => same(a, one)),
  isGreaterThan: (a, [b]) => a > b,
  isGreaterThanOrEqualTo: (a, [b]) => a >= b,
  isLessThan: (a, [b]) => a < b,
  isLessThanOrEqualTo: (a, [b]) => a <= b,
  contains: (a, all) => all.every((one) => has(a, one)),
  doesNotContain: (a, all) => !all.some((one) => has(a, one)),
  containsExactly: (a, all) => exactly(a, all),
  doesNotContainExactly: (a, all) => !exactly(a, all),
  hasLength: (a, [b]) => members(a).length === b,
  isEmpty: (a) => members(a).length === 0,
  isNotEmpty: (a) => members(a).length > 0,
  isArray: (a) => getType(a) === 'array',
  isBoolean: (a) => getType(a) === 'boolean',
  isFunction: (a) => getType(a) === 'function',
  isNumber: (a) => getType(a) === 'number',
  isObject: (a) => getType(a) === 'object',
  isString: (a) => getType(a) === 'string',
};

function assertThat(actual, message) {
  const subject = {};
  for (const name of Object.keys(ASSERTIONS)) {
    subject[name] = (...wanted) => {
      let holds = false;
      try {
        holds = ASSERTIONS[name](actual, wanted);
      } catch (error) {
        holds = false;
      }
      if (!holds) {
        const said = message === undefined ? '' : makeString(message) + ': ';
        const than = wanted.length ? ' ' + wanted.map(shown).join(', ') : '';
        failScenario(said + 'expected ' + shown(actual) + ' ' + name + than);
      }
      return subject;
    };
  }
  return subject;
}
