// The APIs that request something: each request becomes an effect.

const COOKIE_KEYS = {
  domain: 'domain', expires: 'expires', fallbackdomain: 'fallback_domain', httponly: 'http_only',
  'max-age': 'max_age', path: 'path', secure: 'secure', samesite: 'same_site',
};
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/; // RFC 9110, 5.6.2
const LINES = /[\0\r\n]/;
const MOST_WHOLE = 1e12;
const authorizations = new WeakMap(); // an object of getGoogleAuth → its scopes

function push(effect) {
  if (current.given >= limits.effects) {
    current.dead = 'more than ' + limits.effects + ' effects. One run may cause no more. ' +
      'Send, store and log less in a run';
    throw new Error(current.dead);
  }
  current.given++;
  current.effects.push(effect);
}

// An effect with an answer: `settle` is called with the answer.
function ask(effect, settle) {
  effect.id = current.nextId++;
  push(effect);
  current.pending.set(effect.id, settle);
}

// A whole number in the form of effects; 0 for other values.
function whole(value) {
  return Math.max(-MOST_WHOLE, Math.min(makeInteger(value) || 0, MOST_WHOLE));
}

function debugging() {
  return current.call.container.debugMode || current.call.container.previewMode;
}

function asksService(name, given) {
  const promise = timedPromise();
  const sent = copied(given.map((one) => (one === undefined ? null : one)));
  ask({ effect: 'service', name, arguments: sent }, (answer) => {
    // Some fail with more than a reason: BigQuery returns a list.
    const more = answer.value !== undefined && answer.value !== null;
    if (answer.reason) SandboxPromise.reject(promise, more ? answer.value : { reason: answer.reason });
    else SandboxPromise.resolve(promise, answer.value);
  });
  return promise;
}

// Google documents a body as a text. An object would silently become "[object Object]".
function bodyText(api, body) {
  const text = makeString(body);
  if (typeof body === 'object') {
    const shown = text.length > 40 ? text.slice(0, 40) + '…' : text;
    push({ effect: 'log', text: api + ': the body is not a text, and becomes ' + shown + '. Use JSON.stringify', own: true });
  }
  return text;
}

function sendHttp(address, callback, options, body) {
  const given = options || {};
  const href = hrefFor(makeString(address));
  const promise = callback ? undefined : timedPromise();
  const settle = (answer) => {
    const failed = answer.reason !== undefined && answer.reason !== null;
    if (callback) {
      if (failed) callback(answer.reason === 'timed_out' ? -1 : 0, {}, undefined);
      else callback(answer.status, answer.headers || {}, answer.body);
    } else if (failed) SandboxPromise.reject(promise, { reason: answer.reason });
    else {
      const { status: statusCode, headers, body: text } = answer;
      SandboxPromise.resolve(promise, { statusCode, headers: headers || {}, body: text });
    }
  };
  if (!/^https?:/.test(href)) {
    current.later.push(() => settle({ reason: 'failed' }));
    return promise;
  }
  if (!fits(granted.urls, href)) deny('send_http', href.split(/[?#]/)[0]);
  const effect = { effect: 'request', url: href, method: makeString(given.method || 'GET').toUpperCase() };
  let fit = regexTest(TOKEN, effect.method);
  const headers = {};
  for (const name of Object.keys(given.headers || {})) {
    const value = given.headers[name];
    if (value === undefined || value === null) continue;
    headers[name] = makeString(value);
    fit = fit && regexTest(TOKEN, name) && !regexTest(LINES, headers[name]);
  }
  if (!fit) {
    // Values that HTTP cannot express, or would change.
    current.later.push(() => settle({ reason: 'failed' }));
    return promise;
  }
  effect.headers = headers;
  if (body !== undefined && body !== null) effect.body = bodyText('sendHttpRequest', body);
  if (given.timeout !== undefined) effect.timeout = Math.max(0, whole(given.timeout));
  if (given.authorization) effect.authorization = authorizations.get(given.authorization) || [];
  ask(effect, settle);
  return promise;
}

function cookieOptions(options) {
  const given = options || {};
  const cookie = {};
  for (const key of Object.keys(given)) {
    const name = COOKIE_KEYS[key.toLowerCase()];
    if (!name || given[key] === undefined || given[key] === null) continue;
    const value = given[key];
    if (name === 'http_only' || name === 'secure') cookie[name] = !!value;
    else if (name === 'max_age') cookie[name] = whole(value);
    else cookie[name] = makeString(value);
  }
  return cookie;
}

const outgoingApis = {
  sendHttpRequest(url, second, third, fourth) {
    if (typeof second === 'function') return sendHttp(url, second, third, fourth);
    return sendHttp(url, undefined, second, third);
  },
  sendHttpGet(url, second, third) {
    const legacy = typeof second === 'function';
    const { headers, timeout, authorization } = (legacy ? third : second) || {};
    return sendHttp(url, legacy ? second : undefined, { headers, timeout, authorization }, undefined);
  },
  setCookie(name, value, options, noEncode) {
    const text = makeString(name);
    const cookie = cookieOptions(options);
    need(cookieFits(text, cookie), 'set_cookies', text);
    cookie.effect = 'cookie';
    cookie.name = text;
    cookie.value = noEncode ? makeString(value) : encodedUri(encodeURIComponent, makeString(value));
    push(cookie);
  },
  logToConsole(...parts) {
    need(granted.logging !== '', 'logging', '');
    if (granted.logging !== 'all' && !debugging()) return;
    const shown = parts.map((part) =>
      part !== null && typeof part === 'object' ? valueApis.JSON.stringify(part) || String(part) : String(part),
    );
    push({ effect: 'log', text: shown.join(' ') });
  },
  setResponseStatus(code) {
    need(granted.response.indexOf('status') >= 0, 'access_response', 'status');
    push({ effect: 'status', code: whole(code) });
  },
  setResponseBody(body, encoding) {
    need(granted.response.indexOf('body') >= 0, 'access_response', 'body');
    push({ effect: 'body', text: bodyText('setResponseBody', body), encoding: makeString(encoding || 'utf8') });
  },
  setResponseHeader(name, value) {
    const lower = makeString(name).toLowerCase();
    need(fits(granted.responseHeaders, lower), 'access_response', 'header ' + lower);
    const none = value === undefined || value === null;
    push({ effect: 'header', name: lower, value: none ? null : makeString(value) });
  },
  setPixelResponse() {
    const whole = granted.response.length === 2 && granted.responseHeaders.length > 0;
    need(whole, 'access_response', 'status, body and headers');
    push({ effect: 'pixel_body' });
  },
  returnResponse() {
    needPlain('return_response');
    current.responded = true;
    push({ effect: 'respond' });
  },
  sendPixelFromBrowser(url) {
    const href = hrefFor(makeString(url));
    if (!fits(granted.pixels, href)) deny('send_pixel_from_browser', href.split(/[?#]/)[0]);
    if (!current.call.browser_pixels || current.responded) return false;
    push({ effect: 'browser_pixel', url: href });
    return true;
  },
  claimRequest() {
    if (kind !== 'CLIENT') throw new Error('only clients may call claimRequest');
    if (!current.starting) throw new Error('claimRequest may not be called after the client returned');
    current.claimed = true;
    push({ effect: 'claim' });
  },
  runContainer(event, onComplete, onStart) {
    needPlain('run_container');
    if (kind === 'CLIENT' && !current.claimed) {
      throw new Error('the request must be claimed before runContainer is called');
    }
    const made = copied(event); // may have another type than the event
    const isObject = made !== null && typeof made === 'object' && !Array.isArray(made);
    if (!isObject && event !== undefined && event !== null) {
      push({ effect: 'log', text: 'runContainer: the event is not an object', own: true });
    }
    const sent = isObject ? made : {};
    const bind = (act) => (...given) => within(JSON.stringify(sent), effect.id, () => act(...given));
    const starts = typeof onStart === 'function';
    const completes = typeof onComplete === 'function';
    const effect = { effect: 'run_container', event: sent, on_start: starts, on_complete: completes };
    ask(effect, (answer) => {
      if (answer.phase === 'start' && !completes) current.pending.delete(effect.id);
      const act = answer.phase === 'start' ? onStart : onComplete;
      if (typeof act === 'function') act(bind);
    });
    if (!starts && !completes) current.pending.delete(effect.id);
  },
  addEventCallback(callback) {
    needPlain('read_event_metadata');
    const effect = { effect: 'after_event' };
    if (current.boundTo) effect.event = current.boundTo;
    ask(effect, (answer) => callback(current.call.container.containerId, answer.value));
  },
  sendMessage(type, message) {
    const text = makeString(type);
    need(messageFits(text, 'send'), 'use_message', 'send ' + text);
    if (message === null || typeof message !== 'object') return;
    for (const listener of current.listeners.get(text) || []) listener(text, copied(message));
    push({ effect: 'message', type: text, content: copied(message) });
  },
  addMessageListener(type, callback) {
    const text = makeString(type);
    need(messageFits(text, 'listen'), 'use_message', 'listen ' + text);
    if (typeof callback !== 'function') return;
    if (current.listeners === NOBODY) current.listeners = new Map();
    if (!current.listeners.has(text)) current.listeners.set(text, []);
    current.listeners.get(text).push(callback);
  },
  hasMessageListener(type) {
    const text = makeString(type);
    need(messageFits(text, 'listen') || messageFits(text, 'send'), 'use_message', text);
    return current.listeners.has(text) || current.call.listened.indexOf(text) >= 0;
  },
  templateDataStorage: {
    getItemCopy(key) {
      needPlain('access_template_storage');
      const text = makeString(key);
      return hasOwn(current.call.storage, text) ? copied(current.call.storage[text]) : null;
    },
    setItemCopy(key, value) {
      needPlain('access_template_storage');
      const text = makeString(key);
      const kept = copied(value);
      if (kept === undefined || kept === null) return outgoingApis.templateDataStorage.removeItem(text);
      current.call.storage[text] = kept;
      push({ effect: 'keep', key: text, value: kept });
    },
    removeItem(key) {
      needPlain('access_template_storage');
      const text = makeString(key);
      Reflect.deleteProperty(current.call.storage, text);
      push({ effect: 'keep', key: text, value: null });
    },
    clear() {
      needPlain('access_template_storage');
      current.call.storage = {};
      push({ effect: 'forget' });
    },
  },
};
