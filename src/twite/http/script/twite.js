// Twite's first-party script, for browsers of 2020 and later. Its functions for pages:
// docs/reference/script.md. Its messages to the gateway: docs/reference/beacon.md.
((w, d) => {
// HTML that strangers put into the page, such as <img name="currentScript">, can replace any property
// of the document, and add missing ones to the window, but not properties of prototypes or functions.
const tag = Reflect.get(Document.prototype, 'currentScript', d) || {};
const callable = (called) => typeof w[called] === 'function' && w[called];

const stub = callable('twite');
if (stub.runs) return;



// How long a conversion waits until it is known whether X's script loaded, and the interval of the
// checks.
const PATIENCE = 2000;
const LOOK = 100;
// The maximum number of conversions and of characters in a message. A character has up to three
// bytes, and browsers send 64 kB while a page unloads. A conversion that could not be sent is given
// up after two days, because X would no longer treat it as a duplicate of the pixel's copy.
const MOST = 20;
const LONGEST = 2e4;
const DAY = 864e5;

const CLICK = /^(?!null$|undefined$)[\w-]{1,512}$/;
const DIGEST = /^[\da-f]{64}$/i;
const ROBOT = /(^|[^u])bot|crawl|spider|headless|lighthouse/i;

// A page without a consent setting is a page that did not ask its visitors: it needs their consent.
const settings = {
  events: {},
  pixel_url: 'https://static.ads-twitter.com/uwt.js',
  cookie_days: 90,
  beacon: 't'
};

// ---- The page. No error of this script may reach the page's error handlers.

const quietly = (f) => (...said) => {
  try {
    const made = f(...said);
    if (made && made.catch) made.catch(() => {});
    return made;
  } catch (e) {}
};

// Calls `after` after each call of a method of another script.
const follow = (owner, called, after) => {
  const step = owner[called];
  owner[called] = (...said) => {
    const made = step.call(owner, ...said);
    quietly(after)();
    return made;
  };
};

const begin = quietly(() => {
  const listen = (target, called, f) => addEventListener.call(target, called, quietly(f));
  look(reloaded());
  follow(history, 'pushState', look);
  follow(history, 'replaceState', look);
  // An old click does not replace one of this page, which may not be kept yet.
  listen(w, 'popstate', () => landed || look(true));
  // The browser was offline: earlier failures say nothing about the gateway.
  listen(w, 'online', () => { failures = 0; flush(); });
  listen(w, 'load', soon);
  listen(w, 'pagehide', () => leave(true));
  listen(d, 'visibilitychange', () => (d.hidden ? leave() : flush()));
  held.forEach((call) => twite(...call));
  soon();
});

// Undefined for invalid JSON.
const parsed = quietly(JSON.parse);

// The debugger is a file of its own. Messages wait for it, so that it prints all of them.
const debug = () => {
  twite.q = [];
  twite.debug = [settings, signals, allowed, robot];
  turns = turns.then(() => import(new URL('twite.debug.js', settings.gateway || tag.src))).catch(() => {});
};

// Whether this is a reload of the page.
const reloaded = () => /reload|back/.test((performance.getEntriesByType('navigation')[0] || {}).type);

let held = [];
const twite = quietly((called, given) => {
  (twite.q || []).push([called, given]);
  if (called === 'debug') return debug();
  const converts = !/^(config|consent)$/.test(called);
  if (d.prerendering === true) {
    held.push([called, given]);
    if (converts) ignore(called, 'prerender');
  } else if (converts) {
    return convert(called, {...given}, Date.now(), address());
  } else {
    called === 'config' ? Object.assign(settings, given) : learn(own, given);
    reconsider();
  }
});
twite.runs = true;

// ---- Data stored in the browser, if consent allows it.

const readCookie = quietly((called) => ('; ' + d.cookie).split('; ' + called + '=')[1].split(';')[0]);

// If storage is blocked or full, the data is kept as long as the page.
let box = quietly(() => localStorage)() || {};
const session = quietly(() => sessionStorage)() || {};

const put = (key, text) => quietly(() => (box[key] = text))() || (box = {[key]: text});

const setCookie = (called, value) => {
  const rest = called + '=' + value + ';path=/;samesite=lax;max-age=' + (value ? settings.cookie_days * 86400 : 0) + (w.isSecureContext ? ';secure' : '');
  const labels = location.hostname.split('.');
  // The widest domain that the browser accepts: it refuses public suffixes.
  for (let n = 2; n <= labels.length; n++) {
    d.cookie = rest + ';domain=' + labels.slice(-n).join('.');
    if (readCookie(called) === value) return;
  }
  d.cookie = rest;
};

// Sources may share an origin, so each has its own queue.
const mark = () => 'twite:' + settings.source + ':';
const queued = () => Object.keys(box).filter((key) => !key.indexOf(mark())).sort();

// ---- The click.

const newest = () => {
  const clicks = [read(readCookie('_twite')), read(box['twite.click']), readXs(readCookie('_twclid')) || {id: readCookie('_twclid'), at: 0}, {id: readCookie('twclid'), at: 0}]
    .filter((click) => CLICK.test(click.id) && !(click.at && click.at < Date.now() - settings.cookie_days * DAY))
    .sort((one, other) => other.at - one.at);
  const same = (wanted) => clicks.filter((click) => click.id === wanted.id);
  if (landed && !same(landed)[0] && (landed.at || !clicks[0])) return landed;
  // The time of a click is the earliest time at which it was seen.
  return clicks[0] && same(clicks[0]).filter((click) => click.at).pop() || clicks[0];
};

const read = (text) => {
  const parts = (text || '').split('.');
  return {id: parts[2], at: +parts[1]};
};

const look = (old) => {
  const query = new URL(location).searchParams;
  for (const called of settings.click_ids || '') {
    // These click ids may contain points.
    if (/^[\w.-]+$/.test(query.get(called) || '')) otherClicks[called] = query.get(called);
  }
  const id = query.get('twclid');
  if (!CLICK.test(id) || (landed || 0).id === id) return;
  // A URL that was opened before is not a new click.
  landed = {id: id, at: old ? 0 : Date.now()};
  soon();
};

const written = (click) => '1.' + click.at + '.' + click.id;

const keepClick = () => {
  for (const called in otherClicks) setCookie('_twite_' + called, otherClicks[called]);
  const click = newest();
  const value = click && written(click);
  if (!click || box['twite.click'] === value || sentId === click.id) return;
  sentId = click.id;
  // The gateway's response sets the cookie again, because cookies of scripts have a shorter
  // lifetime.
  if (!settings.http_only) setCookie('_twite', value);
  unsentClick = click;
};

let landed;
let unsentClick;
let sentId;
// Click ids of other networks, by the name of the parameter.
const otherClicks = {};

const readXs = quietly((text) => {
  const found = parsed(decodeURIComponent(text));
  return {id: found.twclid, at: +found.timestamp || 0};
});

// ---- Consent.

const says = (words, word) => words.ad_storage === word || words.ad_user_data === word;

const own = {};
const google = {};
const others = {};
const asked = {};
// What the platforms allow: 0 nothing, 1 measurement, 2 also profiles; 3 where no law requires
// consent.
const grades = {};
let optedOut;
let heard = 0;

const listenForConsent = () => {
  ask('layer', w.dataLayer, (layer) => follow(layer, 'push', soon));
  ask('tcf', w.__tcfapi, (api) => {
    grades.tcf = 0;
    api('addEventListener', 2, quietly((said) => {
      // After an error, a platform passes null: this then throws, and the previous state stays.
      others.tcf = said.tcString;
      const has = said.eventStatus !== 'cmpuishown' && (said.purpose || {}).consents || {};
      // 1 is storage, 7 is measuring advertisements, 3 and 4 are profiles.
      grades.tcf = said.gdprApplies === false ? 3 : has[1] && has[7] ? (has[3] && has[4] ? 2 : 1) : 0;
      if (!grades.tcf && said.eventStatus === 'useractioncomplete') withdraw();
      reconsider();
    }));
  });
  ask('gpp', w.__gpp, (api) => {
    grades.gpp = 0;
    api('addEventListener', quietly((said) => {
      const ping = said.pingData;
      const all = others.gpp = ping.gppString;
      const sections = ping.applicableSections;
      const ready = ping.signalStatus === 'ready';
      others.gpp_sid = sections.join();
      optedOut = /OptOut(Sale":"Y|":1)|Gpc":t/.test(JSON.stringify(ping.parsedSections));
      // The same purposes in Europe's TC string and in Canada's (express or implied consent).
      grades.gpp = Math.min(
        ready * 3,
        sections.includes(2) ? /~C[\w-]{24}[I-PY-fo-v4-9-]{2}/.test(all) * (1 + /~C[\w-]{24}[DHLPTXbfjnrvz37_]/.test(all)) : 3,
        sections.includes(5) ? /~B(?=[\w-]{24}([\w-]{4})?[Q-fw-z0-9-])[\w-]{25}([\w-]{4})?[Q-fw-z0-9-]/.test(all) : 3
      );
      if (ready && !grades.gpp) withdraw();
      reconsider();
    }));
  });
  // The arguments of gtag().
  quietly(() => Array.from(w.dataLayer || []).slice(heard).forEach((entry) => {
    heard++;
    if (entry && entry[0] === 'consent') learn(google, entry[2], entry[1] !== 'update');
  }))();
  if (navigator.globalPrivacyControl) others.gpc = true;
  // The resulting state in Google's tag.
  const ics = (w.google_tag_data || 0).ics || {};
  ask('ics', ics.addListener, () => ics.addListener(['ad_storage', 'ad_user_data'], quietly(reconsider)));
  for (const called in ics.entries) {
    learn(google, {[called]: ics.entries[called].default}, true);
    learn(google, {[called]: ics.entries[called].update});
  }
};

const robot = () => navigator.webdriver || ROBOT.test(navigator.userAgent);

// Whether data may be stored and sent: any denial takes precedence.
const allowed = () => {
  if (robot()) return false;
  quietly(listenForConsent)();
  const all = signals();
  return !says(all, 'denied') && worst() && (settings.consent === 'optional' || says(all, 'granted') || worst() < 3);
};

// Options that restrict X's pixel to measurement; undefined if the pixel may receive nothing.
const terms = () => {
  const sale = others.gpc || optedOut ? settings.opt_out : 'send';
  const profiles = signals().ad_personalization !== 'denied' && worst() > 1;
  const restrict = {restricted_data_use: 'restrict_optimization'};
  return settings.pixel !== 'off' && {send: profiles ? {} : restrict, restrict: restrict}[sale];
};

const waiting = [];
const reconsider = () => {
  if (!allowed()) return;
  loadPixel();
  keepClick();
  waiting.splice(0).forEach((call) => quietly(call)());
  flush();
};

// Only a denial counts among defaults: a default grant is no consent of the person, and does not
// override a denial.
const learn = (words, given, byDefault) => {
  const said = {};
  for (const called in given) {
    const word = given[called];
    // Any other value may be a misspelt denial.
    const granted = /^(granted|true)$/i.test(word);
    if (/^ad_|_storage$/i.test(called) && word !== undefined && !(byDefault && granted)) said[called.toLowerCase()] = granted ? 'granted' : 'denied';
  }
  Object.assign(words, said);
  if (!byDefault && says(said, 'denied')) withdraw();
};

// When the page is idle.
const soon = () => (callable('requestIdleCallback') || setTimeout)(quietly(reconsider), {timeout: 1000});

// Each interface is queried once, when it is available. It calls again after each change.
const ask = (called, api, question) => {
  if (api && !asked[called]) quietly(question)(asked[called] = api);
};

const withdraw = () => {
  const kept = box['twite.click'] || unsentClick;
  sentId = unsentClick = undefined;
  // A conversion that waits for the pixel's copy is not stored again.
  mine.length = 0;
  Object.keys(box).forEach((key) => /^twite[.:]/.test(key) && delete box[key]);
  setCookie('_twite', '');
  for (const called of settings.click_ids || '') setCookie('_twite_' + called, '');
  // The gateway deletes cookies that scripts cannot read.
  if (kept) quietly(post)({consent: signals()});
};

const signals = () => {
  const all = {...others, ...google};
  for (const called in own) if (all[called] !== 'denied') all[called] = own[called];
  return all;
};

const worst = () => Math.min(3, ...Object.values(grades));

// ---- One conversion.

// JSON cannot contain half of a surrogate pair (a name that was truncated within an emoji), and
// 3 * 0.1 is 0.30000000000000004. An amount divided by zero is none.
const text = (value) => ((value || value === 0) && value !== 1 / 0 ? String(value.toFixed ? +value.toFixed(6) : value).replace(/\p{Cs}/gu, '') : undefined);
const pick = (given, names) => Object.assign(...names.split(',').map((called) => ({[called]: text(given[called])})));

const times = {};
// A reloaded page makes the same calls in the same order, and finds their ids again.
const remembered = (what) => {
  times[what] = -~times[what];
  const key = 'twite:' + times[what] + what;
  return session[key] = (reloaded() && session[key]) || hex(crypto.getRandomValues(new Uint8Array(16)));
};

// URLs must not contain personal data: a parameter with an at sign loses its value.
const address = () => location.href.split('#')[0].replace(/([?&][^=&]+=)[^&]*(@|%40)[^&]*/g, '$1');

const hex = (bytes) => Array.from(bytes, (byte) => (byte + 256).toString(16).slice(1)).join('');

const convert = (event, given, at, url) => {
  if (robot()) return ignore(event, 'bot');
  if (!allowed()) return void waiting.push(() => convert(event, given, at, url));
  const one = {
    event: text(event),
    ...pick(given, 'currency,description,search,value,tax,shipping'),
    // A list, because false is a text, too.
    new_customer: text([given.new_customer]) || undefined,
    contents: [].concat(given.contents).filter(Boolean).map((line) => ({
      ...pick(line, 'id,name,price,group,type'),
      quantity: Math.round(line.quantity) || undefined
    })),
    url: url
  };
  if (JSON.stringify(one).length > 1.6e4) one.contents = [];
  const id = one.conversion_id = text(given.conversion_id || given.order_id || given.transaction_id) || remembered(JSON.stringify(one));
  const called = mark() + event + ' ' + id;
  const seen = parsed(box['twite.seen']) || [];
  if (!seen.includes(called)) {
    put('twite.seen', JSON.stringify(seen.concat(called).slice(-50)));
    one.at = at;
    one.twclid = text(given.twclid) || (newest() || {}).id;
    one.twpid = text(readCookie('_twpid'));
    const entry = {key: mark() + at + called, one: one, until: Date.now() + PATIENCE, tries: 0};
    mine.push(entry);
    keep(entry);
    tellPixel(entry, given);
    identify(one, given).catch(() => {}).then(() => settle(entry, given));
  }
  return id;
};

// ---- The person: hashed here, or omitted.

const readEmail = (given) => {
  // Invisible characters: joiners, direction marks, the byte-order mark.
  const plain = (text(given) || '').replace(/\p{Cf}/gu, '').trim().toLowerCase().normalize('NFC');
  return /^[^\s@]+@[^\s@]+\.[^\s@]+$/.test(plain) ? plain : undefined;
};

// E.164. A number without a country code needs the code of the source, and loses the prefix that is
// dialled only within the country.
const readPhone = (given) => {
  const code = settings.phone || [''];
  let plain = (text(given) || '').replace(/^tel:|\(0\)|[\s()./\u2010-\u2015-]/gi, '').replace(/^00/, '+');
  if (plain[0] !== '+') plain = code[0] && '+' + code[0] + plain;
  if (code[1]) plain = plain.replace('+' + code[0] + code[1], '+' + code[0]);
  return /^\+[1-9]\d{6,14}$/.test(plain) ? plain : undefined;
};

const identify = async (one, given) => {
  one.email_sha256 = await hash(readEmail(given.email), given.email_sha256 || given.email);
  one.phone_sha256 = await hash(readPhone(given.phone), given.phone_sha256 || given.phone);
};

// Browsers offer Web Crypto only to pages with https.
const hash = async (plain, digest) => {
  if (DIGEST.test(digest)) return digest.toLowerCase();
  return plain && crypto.subtle && hex(new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(plain))));
};

// ---- The same conversion at X's pixel.

const tellPixel = quietly((entry, given) => {
  const one = entry.one;
  const limits = terms();
  const event = limits && settings.events[one.event];
  entry.waits = event && !callable('twq');
  if (!event || entry.waits) return;
  const lines = one.contents;
  const parameters = {
    conversion_id: one.conversion_id,
    value: one.value && +one.value,
    currency: one.currency,
    // X's script hashes these two before it sends them.
    email_address: readEmail(given.email),
    phone_number: readPhone(given.phone),
    num_items: lines.reduce((sum, line) => sum + (line.quantity || 0), 0) || undefined,
    contents: lines[0] && lines.map((line) => ({
      content_id: line.id,
      content_name: line.name,
      content_price: line.price && +line.price,
      content_type: line.type,
      content_group_id: line.group,
      num_items: line.quantity
    })),
    search_string: one.search,
    description: one.description
  };
  one.pixel = 'called';
  w.twq('event', event, parsed(JSON.stringify({...parameters, ...limits})));
});

// A conversion is sent when it is known whether the pixel's copy was sent, or after the wait. The
// pixel is also called for a conversion that was already sent. A conversion whose consent was
// withdrawn is dropped.
const settle = quietly((entry, given) => {
  const one = entry.one;
  const again = () => settle(entry, given);
  if (!allowed()) return void waiting.push(again);
  if (!mine.includes(entry)) return;
  const late = Date.now() >= entry.until;
  // The page's pixel may load after this script.
  if (entry.waits) tellPixel(entry, given);
  if (one.pixel) one.pixel = w.twq.exe ? 'loaded' : failed || (late && d.readyState === 'complete') ? 'blocked' : 'called';
  if (!late && (one.pixel === 'called' || entry.waits)) setTimeout(again, LOOK);
  else entry.until = 0;
  if (entry.left) return;
  keep(entry);
  if (!entry.until) flush();
});

let failed;
const loadPixel = quietly(() => {
  const limits = terms();
  if (callable('twq') || settings.pixel !== 'load' || !limits || !settings.pixel_id) return;
  const twq = w.twq = function () {
    twq.exe ? twq.exe(...arguments) : twq.queue.push(arguments);
  };
  twq.version = '1.1';
  twq.queue = [];
  d.head.append(Object.assign(d.createElement('script'), {
    // Some content security policies require a Trusted Type.
    src: quietly(() => trustedTypes.createPolicy('twite', {createScriptURL: String}).createScriptURL(settings.pixel_url))() || settings.pixel_url,
    nonce: tag.nonce,
    onerror: () => (failed = true)
  }));
  twq('config', settings.pixel_id, limits);
});

// ---- Sending.

const mine = [];
let turns = Promise.resolve();
let next;
let failures = 0;
let timer;

const post = (more, forGood) => {
  const target = new URL(settings.beacon + '?s=' + settings.source, settings.gateway || tag.src);
  const message = JSON.stringify({v: 1, sent: Date.now(), ...more});
  if (forGood && quietly(() => navigator.sendBeacon(target, message))()) return;
  // Browsers wait for a response as long as the connection is open, which would block the other
  // tabs.
  return fetch(target, {method: 'POST', body: message, credentials: 'include', keepalive: true, signal: quietly(() => AbortSignal.timeout(2e4))()});
};

// Sends the due conversions of these keys, as many as fit into a message; returns whether the
// gateway accepted them. Failed conversions move to the end of the queue, and are sent in ever
// smaller groups, because one of them may be the cause.
const send = async (keys, leaving, forGood) => {
  const click = unsentClick;
  const moment = Date.now();
  const found = [];
  let room = LONGEST;
  keys.map((key) => ({...parsed(box[key]), key: key}))
    .filter((entry) => entry.one && (leaving || !(entry.until > moment)))
    .sort((one, other) => one.tries - other.tries)
    .forEach((entry) => {
      const size = box[entry.key].length;
      if (entry.one.at < moment - 2 * DAY) delete box[entry.key];
      else if (found.length < MOST / 2 ** entry.tries && size < room) room -= size, found.push(entry);
    });
  if (!found.length && !click) return;
  const asking = post({
    click: click,
    consent: signals(),
    conversions: found.map((entry) => ({...entry.one, again: entry.tries > 0 || undefined}))
  }, forGood);
  found.forEach((entry) => {
    entry.tries++;
    entry.until = 0;
    put(entry.key, JSON.stringify(entry));
  });
  // A response from elsewhere (a proxy, a hotel's network) decides nothing: null has no length.
  (await asking).headers.get('twite-verdict').length;
  found.forEach((entry) => delete box[entry.key]);
  // Unless consent was withdrawn meanwhile.
  if (click && click === unsentClick) unsentClick = void put('twite.click', written(click));
  return true;
};

// One request at a time, and one tab at a time, so that no conversion is sent twice. Where storage
// is blocked, locks are blocked, too.
const flush = quietly(() => {
  if (next || !allowed() || !(queued()[0] || unsentClick)) return;
  next = true;
  turns = turns.then(() => {
    next = false;
    return navigator.locks && box.length ? navigator.locks.request('twite', sendAll) : sendAll();
  }).catch(() => {
    // After a wait that doubles, up to a minute.
    clearTimeout(timer);
    timer = setTimeout(flush, Math.random() * Math.min(6e4, 2e3 * 2 ** failures++));
  });
});

// The page is unloading, or may be: its own conversions are sent now, whatever X's script does. If
// no code will receive the response, they stay in the queue and are sent again: the gateway knows
// their ids.
const leave = (forGood) => {
  if (!allowed()) return;
  keepClick();
  quietly(send)(mine.filter((entry) => !entry.left && entry.until && (entry.left = true)).map((entry) => entry.key), true, forGood);
};

const ignore = (called, reason) => {
  if (reason === 'bot' || allowed()) quietly(post)({ignored: [{name: text(called), reason: reason}]});
};

const keep = (entry) => {
  const keys = queued();
  if (keys.length > 40) delete box[keys[0]];
  put(entry.key, JSON.stringify(entry));
};

const sendAll = async () => {
  while (await send(queued())) {
    failures = 0;
    // Then another tab's turn comes. A moment later, that tab knows what has left the queue.
    await new Promise((done) => setTimeout(done, LOOK));
  }
};

// ---- Start.

quietly(() => {
  Object.assign(settings, w.twiteSettings);
  settings.source = settings.source || new URL(tag.src).searchParams.get('s');
  // Attributes have names such as pixelId, and texts as values. None sets an address.
  for (const key in tag.dataset) {
    const value = tag.dataset[key];
    if (!/url|gateway/i.test(key)) settings[key.replace(/[A-Z]/g, '_$&').toLowerCase()] = /^[{[]/.test(value) ? parsed(value) : value;
  }
})();
w.twite = twite;
if (/twite_debug/.test(location)) debug();
if (d.prerendering === true) addEventListener.call(d, 'prerenderingchange', begin);
else begin();
Array.from(stub.q || [], quietly((call) => twite(...call)));
})(window, document);
