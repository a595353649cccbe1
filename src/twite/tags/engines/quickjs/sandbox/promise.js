// Sandboxed promises. They replace the engine's, so that no job outlives its turn, and each promise
// times out.

const PROMISE_LIFE = 5000; // milliseconds, after which a promise that has not settled is rejected

class SandboxPromise {
  #state = 0; // 0 waiting, 1 fulfilled, 2 rejected
  #value = undefined;
  #reactions = [];
  #heard = false;

  then(onFulfilled, onRejected) {
    const next = new SandboxPromise();
    this.#heard = true;
    const reaction = [onFulfilled, onRejected, next];
    if (this.#state === 0) this.#reactions.push(reaction);
    else current.jobs.push(() => SandboxPromise.#react(this, reaction));
    return next;
  }

  catch(onRejected) {
    return this.then(undefined, onRejected);
  }

  finally(onFinally) {
    if (typeof onFinally !== 'function') return this.then(onFinally, onFinally);
    const after = (go) => {
      const waited = new SandboxPromise();
      SandboxPromise.resolve(waited, onFinally());
      return waited.then(go);
    };
    return this.then(
      (value) => after(() => value),
      (reason) => after(() => { throw reason; }),
    );
  }

  static is(value) {
    return typeof value === 'object' && value !== null && #state in value;
  }

  static waits(promise) {
    return promise.#state === 0;
  }

  // The value of a fulfilled promise.
  static value(promise) {
    return promise.#state === 1 ? promise.#value : undefined;
  }

  // The reason of a rejected promise, in an object; undefined for others.
  static rejection(promise) {
    return promise.#state === 2 ? { reason: promise.#value } : undefined;
  }

  static resolve(promise, value) {
    if (promise.#state !== 0) return;
    if (promise === value) return SandboxPromise.reject(promise, new TypeError('a promise cannot wait for itself'));
    let then;
    try {
      const may = (typeof value === 'object' && value !== null) || typeof value === 'function';
      then = may ? value.then : undefined;
    } catch (error) {
      return SandboxPromise.reject(promise, error);
    }
    if (typeof then !== 'function') return SandboxPromise.#settle(promise, 1, value);
    current.jobs.push(() => {
      const [resolve, reject] = SandboxPromise.once(promise);
      try {
        apply(then, value, [resolve, reject]);
      } catch (error) {
        reject(error);
      }
    });
  }

  static reject(promise, reason) {
    if (promise.#state === 0) SandboxPromise.#settle(promise, 2, reason);
  }

  // The two functions that settle a promise; only the first call counts.
  static once(promise) {
    let open = true;
    return [
      (value) => { if (open) { open = false; SandboxPromise.resolve(promise, value); } },
      (reason) => { if (open) { open = false; SandboxPromise.reject(promise, reason); } },
    ];
  }

  static #settle(promise, state, value) {
    promise.#state = state;
    promise.#value = value;
    const reactions = promise.#reactions;
    promise.#reactions = [];
    for (const reaction of reactions) {
      current.jobs.push(() => SandboxPromise.#react(promise, reaction));
    }
    if (state === 2 && !promise.#heard) {
      // Checked after all jobs, because a handler may be added until then.
      current.rejected.push(() => (promise.#heard ? undefined : { reason: value }));
    }
  }

  static #react(promise, [onFulfilled, onRejected, next]) {
    const act = promise.#state === 1 ? onFulfilled : onRejected;
    try {
      if (typeof act === 'function') SandboxPromise.resolve(next, act(promise.#value));
      else if (promise.#state === 1) SandboxPromise.resolve(next, promise.#value);
      else SandboxPromise.reject(next, promise.#value);
    } catch (error) {
      SandboxPromise.reject(next, error);
    }
  }
}

// A promise that is rejected if it does not settle in time.
function timedPromise() {
  const promise = new SandboxPromise();
  current.timers.push({ at: current.now + PROMISE_LIFE, promise });
  return promise;
}

const promiseApi = {
  create(resolver) {
    const promise = timedPromise();
    const [resolve, reject] = SandboxPromise.once(promise);
    try {
      resolver(resolve, reject);
    } catch (error) {
      reject(error);
    }
    return promise;
  },
  all(inputs) {
    const promise = timedPromise();
    const values = [];
    let left = inputs.length;
    if (left === 0) SandboxPromise.resolve(promise, values);
    for (let i = 0; i < inputs.length; i++) {
      const one = new SandboxPromise();
      SandboxPromise.resolve(one, inputs[i]);
      one.then(
        (value) => {
          values[i] = value;
          if (--left === 0) SandboxPromise.resolve(promise, values);
        },
        (reason) => SandboxPromise.reject(promise, reason),
      );
    }
    return promise;
  },
};

// Reject the promises that have timed out, and return the time of the next timeout, or null.
function ranOut(run) {
  let next = null;
  if (run.timers.length === 0) return next;
  run.timers = run.timers.filter((timer) => SandboxPromise.waits(timer.promise));
  for (let i = 0; i < run.timers.length; i++) {
    const timer = run.timers[i];
    if (timer.at <= run.now) SandboxPromise.reject(timer.promise, { reason: 'timed_out' });
    else if (next === null || timer.at < next) next = timer.at;
  }
  return next;
}
