// Runs and their turns. `enter` is the only entry point, and only code outside the sandbox has it.

let current = null; // the run of the current turn
let program = null; // the template's code
let granted = null; // its permissions
let kind = 'TAG';
let limits = { effects: 500, output: 1048576 };
let suffixes = null; // the Public Suffix List's rules by top-level domain, or null
let secretKeys = {}; // the keys of hmacSha256
let runs = new Map();
const NOBODY = new Map(); // the listeners of most runs
let lastRun = 0;
const LONGEST_WORDS = 2000;

const apis = Object.assign(Object.create(null), valueApis, incomingApis, outgoingApis, serviceApis);

function require(name) {
  const api = typeof name === 'string' ? apis[name] : undefined;
  if (api === undefined) throw new Error('there is no API ' + String(name));
  return api;
}

function boot(text) {
  const given = JSON.parse(text);
  granted = compiledPolicy(given.policy);
  kind = given.kind;
  limits = given.limits;
  suffixes = given.suffixes || null;
  secretKeys = given.keys || {};
  lastRun = given.runs;
  return 'ready';
}

// The code begins on the first line of the evaluated text, so that errors have the template's line
// numbers.
function load(code) {
  program = wrapped('(require, data)', code);
  return 'ready';
}

// A function with this body. A body that closes the function early, to add code outside of it, is
// refused: the text of the function would then differ from its source.
function wrapped(parameters, body, around = (text) => text) {
  const text = 'function ' + parameters + ' {' + body + '\n}';
  const made = evaluate('"use strict"; (' + around(text) + ')');
  if (typeof made !== 'function' || apply(nativeSource, made, []) !== text) {
    throw new SyntaxError('a closing brace ends the code too early');
  }
  return made;
}

function begun(call, eventText) {
  const run = {
    id: ++lastRun, call, eventText, event: undefined, now: call.now, effects: [], given: 0,
    pending: new Map(), listeners: NOBODY, timers: [], jobs: [], later: [], rejected: [],
    nextId: 1, outcome: 'silent', returned: undefined, dead: null, error: null, line: null,
    starting: true, claimed: false, responded: false,
    chance: null,
  };
  current = run;
  return run;
}

function start(text, eventText) {
  let call;
  try {
    call = parsed(text);
  } catch (error) {
    return JSON.stringify({ run: ++lastRun, error: described(error) });
  }
  const run = begun(call, eventText);
  runs.set(run.id, run);
  return turn(run, () => {
    run.returned = program(require, fieldsOf(run));
    run.starting = false;
    // A variable may return a promise. Its value is returned in the turn that settles the promise.
    if (SandboxPromise.is(run.returned)) run.returned.then(undefined, () => undefined);
  });
}

// The functions of all runs. A function of each run would refer to its run, which refers to the
// fields: memory that only a collection frees.
const ENDS = {
  gtmOnSuccess() { end('success'); },
  gtmOnFailure() { end('failure'); },
};

function end(outcome) {
  if (current !== null && current.outcome === 'silent') current.outcome = outcome;
}

function fieldsOf(run) {
  const fields = run.call.fields;
  fields.gtmOnSuccess = ENDS.gtmOnSuccess;
  fields.gtmOnFailure = ENDS.gtmOnFailure;
  return fields;
}

function resume(id, text) {
  const run = runs.get(id);
  if (!run) return JSON.stringify({ run: id, error: 'unknown run: the run has ended, or it exceeded a limit' });
  return turn(run, () => {
    const { answers, now } = parsed(text);
    run.now = now;
    run.starting = false;
    run.call.browser_pixels = false; // the response has been sent
    for (const answer of answers) {
      if (answer.type !== undefined) deliver(run, answer);
      else answered(run, answer);
      drain(run);
    }
    ranOut(run);
  });
}

function deliver(run, answer) {
  for (const listener of run.listeners.get(answer.type) || []) listener(answer.type, copied(answer.value));
}

function answered(run, answer) {
  const settle = run.pending.get(answer.id);
  if (!settle) return;
  if (answer.phase !== 'start') run.pending.delete(answer.id);
  settle(answer);
}

function turn(run, act) {
  current = run;
  let wake = null;
  try {
    act();
    drain(run);
    wake = ranOut(run);
  } catch (error) {
    failed(run, error);
  }
  if (run.rejected.length) {
    for (const look of run.rejected.splice(0)) {
      const found = look();
      if (found && !run.error && isOutOfMemory(found.reason)) failed(run, found.reason);
      if (found && !run.error) unheard(run, found.reason);
    }
  }
  current = null;
  return outcomeOf(run, wake);
}

// Run everything that is ready: jobs before functions called later.
function drain(run) {
  for (;;) {
    const act = run.jobs.length ? run.jobs.shift() : run.later.shift();
    if (act === undefined) return;
    act();
  }
}

// Bind a function to another event's data; `boundTo` is the effect that runs the container for this
// event.
function within(eventText, boundTo, act) {
  const before = [current.eventText, current.event, current.boundTo];
  current.eventText = eventText;
  current.event = undefined;
  current.boundTo = boundTo;
  try {
    return act();
  } finally {
    [current.eventText, current.event, current.boundTo] = before;
  }
}

function failed(run, error) {
  run.error = run.dead || described(error);
  try {
    run.line = placesOf(error).find((line) => line < 50000) || null;
  } catch (other) {
    run.line = null; // the thrown value cannot be read
  }
}

// The lines of a trace, the innermost first; `SCENARIO_LINE` in context.py shows to which code they
// belong.
function placesOf(error) {
  const stack = error !== null && typeof error === 'object' ? String(error.stack || '') : '';
  return Array.from(stack.matchAll(/<input>:(\d+)/g), (place) => Number(place[1]));
}

function described(error) {
  try {
    return error instanceof Error ? error.name + ': ' + error.message : 'thrown: ' + String(error);
  } catch (other) {
    return 'thrown: a value that cannot be shown';
  }
}

// What the engine throws when the memory limit is exceeded: an error, one without its message if that
// did not fit, or a value that is no error. No text is built here, because it would not fit either.
function isOutOfMemory(reason) {
  if (!(reason instanceof Error)) return typeof reason !== 'object' && String(reason) === '[uninitialized]';
  return reason.name === 'InternalError' && (reason.message === 'out of memory' || reason.message === '');
}

// The same for what the engine's own functions throw: null if even the error did not fit. A rejected
// promise can have null as its reason.
function endsRun(error) {
  return error === null || isOutOfMemory(error);
}

// An unhandled rejection does not end the run, as in Google's sandbox, but is logged. Only the
// memory limit ends the run: a promise must not hide it. Beyond the limit of effects, it is dropped.
function unheard(run, reason, effects = run.effects) {
  if (run.given >= limits.effects) return;
  run.given++;
  const shown = reason instanceof Error ? described(reason) : valueApis.JSON.stringify(reason) || described(reason);
  effects.push({ effect: 'log', text: 'unhandled promise rejection: ' + shown, own: true });
}

function outcomeOf(run, wake) {
  if (run.dead) run.error = run.dead;
  const waits = !run.error && run.pending.size > 0;
  const listens = run.listeners.size > 0;
  if (run.error || !(waits || wake !== null || listens)) runs.delete(run.id);
  const effects = run.dead ? [] : run.effects;
  run.effects = [];
  const turn = { run: run.id, outcome: run.outcome };
  if (waits) turn.waiting = Array.from(run.pending.keys());
  if (listens) turn.listening = Array.from(run.listeners.keys());
  if (run.error) turn.error = run.error;
  if (run.line) turn.line = run.line;
  if (wake !== null && !run.error) turn.wake_at = wake;
  if (run.returned !== undefined) tellReturned(run, turn, effects);
  if (effects.length > 0) turn.effects = effects;
  const text = JSON.stringify(turn);
  if (text.length <= limits.output) return text;
  runs.delete(run.id);
  const error = 'more than ' + limits.output + ' characters of effects. One step may cause no more. ' +
    'Send shorter texts';
  return JSON.stringify({ run: run.id, error });
}

function tellReturned(run, turn, effects) {
  if (SandboxPromise.is(run.returned)) {
    if (SandboxPromise.waits(run.returned)) return;
    const rejection = SandboxPromise.rejection(run.returned);
    if (rejection && isOutOfMemory(rejection.reason)) turn.error = described(rejection.reason);
    else if (rejection) unheard(run, rejection.reason, effects);
    turn.returned = orUndefined(copied)(SandboxPromise.value(run.returned));
  } else turn.returned = orUndefined(copied)(run.returned);
  run.returned = undefined; // reported once
}

function acted(act, first, second) {
  switch (act) {
    case 'start': return start(first, second);
    case 'resume': return resume(Number(first), second);
    case 'end': return String(runs.delete(Number(first)));
    case 'boot': return boot(first);
    case 'load': return load(first);
    case 'apis': return JSON.stringify(Object.keys(apis).sort());
    case 'scenario': return scenario(first);
    default: throw new Error('no such entry');
  }
}

// The binding converts a thrown value by its toString, without a limit and while all of Python
// waits. So no value that a template threw leaves this function, only "!", its message and its
// trace.
function enter(act, first, second) {
  try {
    return acted(act, first, second);
  } catch (error) {
    current = null;
    return '!' + JSON.stringify([described(error).slice(0, LONGEST_WORDS), traceOf(error)]);
  }
}

function traceOf(error) {
  try {
    return String(error.stack).slice(0, LONGEST_WORDS);
  } catch (other) {
    return ''; // the value cannot be read
  }
}
