// The debugger: docs/reference/script.md. twite.js imports it. It prints to the browser's console:
// names of fields, ids and states, and no personal data. It changes no call. The gateway writes FIXES,
// what to do about each error code, before it.
const w = window;
const twite = w.twite;
const [settings, signals, allowed, robot] = twite.debug;

const FIELDS = [
  'conversion_id', 'order_id', 'transaction_id', 'value', 'currency', 'email', 'phone', 'email_sha256',
  'phone_sha256', 'contents', 'description', 'search', 'tax', 'shipping', 'new_customer', 'twclid'
];
const LINES = ['id', 'name', 'price', 'quantity', 'group', 'type'];
// What is said of a message without conversions and click.
const ONLY_NOTICE = '. Only a notice without personal data is sent';
const CONSENT = ['ad_storage', 'ad_user_data', 'ad_personalization', 'analytics_storage'];

// Browsers hide the gateway's answer to a page of another origin, so that it tells strangers nothing.
const NO_ANSWER = ': no answer that this page may read, so it stays in the queue. If the browser\'s network panel shows ' +
  'the status 403, the response names the reason, such as ' + location.origin + ' missing in origins of source ' +
  settings.source + '. Without a status, the gateway cannot be reached';

const events = Object.keys(settings.events);
const info = (text) => console.info('[twite] ' + text);
const warn = (text) => console.warn('[twite] ' + text);

// The number of letters to insert, remove, replace, or swap with the next.
const distance = (one, other) => {
  const rows = [];
  for (let i = 0; i <= one.length; i++) {
    rows[i] = [i];
    for (let j = 1; j <= other.length; j++) {
      rows[i][j] = i ? Math.min(
        rows[i - 1][j] + 1,
        rows[i][j - 1] + 1,
        rows[i - 1][j - 1] + (one[i - 1] !== other[j - 1]),
        i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1] ? rows[i - 2][j - 2] + 1 : 1 / 0
      ) : j;
    }
  }
  return rows[one.length][other.length];
};

const nearest = (word, known) => {
  const [best] = known.map((name) => [distance(word.toLowerCase(), name), name])
    .filter(([far, name]) => far <= Math.max(1, name.length / 3)).sort(([one], [other]) => one - other);
  return best ? ': did you mean ' + best[1] + '?' : '';
};

const unknown = (given, known, where) => Object.keys({...given})
  .filter((name) => !known.includes(name))
  .forEach((name) => warn('unknown field ' + name + where + nearest(name, known)));

const judge = (event, given) => {
  if (typeof event !== 'string') return warn('the event must be a name, such as purchase');
  if (events[0] && !events.includes(event)) {
    warn(event + ' is no event of this source' + (nearest(event, events) || '. Its events: ' + events.join(', ')));
  }
  if (given && typeof given !== 'object') return warn(event + ': the second argument must be an object');
  unknown(given, FIELDS, '');
  const fields = {...given};
  [].concat(fields.contents || []).forEach((line) => unknown(line, LINES, ' in contents'));
  for (const name of ['value', 'tax', 'shipping']) {
    if (fields[name] !== undefined && !(+fields[name] >= 0)) warn(event + ': ' + name + ' is not an amount');
  }
  if (fields.value && !/^[A-Z]{3}$/.test(fields.currency)) warn(event + ': value needs a currency of ISO 4217, such as EUR');
  if (!fields.conversion_id && !fields.order_id && !fields.transaction_id) {
    warn(event + ' has no order_id, so the server cannot send the same id');
  }
  info(event + ' with ' + (Object.keys(fields).join(', ') || 'no fields'));
};

let known;
const printState = () => {
  const may = allowed();
  const consent = 'consent (' + settings.consent + '): ' + told(signals()) + (may
    ? ': calls are sent'
    : robot()
      ? ': the browser is automated: calls are withheld and counted'
      : ': calls wait for consent: nothing is stored or sent');
  if (consent !== known) info(known = consent);
};

// `made` is the id of a call. It is not known of calls before the debugger was there.
const print = (called, given, made) => {
  if (called === 'consent') unknown(given, CONSENT, ' in consent');
  else if (!/^(config|debug)$/.test(called)) {
    judge(called, given);
    if (made) info(called + ' has the id ' + made);
    else if (robot()) info(called + ' is withheld, because the browser is automated: it is only counted');
    else if (!allowed()) info(called + ' waits for consent');
  }
  printState();
  const mark = 'twite:' + settings.source + ':';
  try {
    info('queue: ' + Object.keys(localStorage).filter((key) => key.startsWith(mark)).length + ' waiting');
  } catch (e) {
    info('queue: the browser blocks its storage');
  }
};

const told = (given) => Object.keys({...given}).map((name) => name + '=' + given[name]).join(', ') || 'no signal';

// ---- The messages to the gateway, and its answers.

// The names of what a message contains: its conversions, by index, and the rest.
const sent = (target, body) => {
  const message = new URL(target, location).searchParams.get('s') === settings.source && JSON.parse(body);
  if (!message || message.v !== 1) return;
  const names = [].concat(message.conversions || []).map((one) => one.event + ' ' + one.conversion_id);
  const ignored = [].concat(message.ignored || []);
  const isNotice = !names[0] && !message.click;
  ignored.forEach((one) => info(one.name + ': withheld, because the ' +
    (one.reason === 'bot' ? 'browser is automated' : 'page is prerendered') + ONLY_NOTICE));
  if (!isNotice) info('sent, consent: ' + told(message.consent));
  else if (!ignored[0]) {
    info('withheld, because consent is denied (' + told(message.consent) + ')' + ONLY_NOTICE + ', so that the gateway deletes its cookie');
  }
  return {
    names,
    rest: message.click ? 'the click id' : isNotice ? 'notice without personal data' : '',
    done: ignored[0] ? 'counted ' : 'received '
  };
};

const quietly = (f) => (...given) => {
  try {
    return f(...given);
  } catch (e) {}
};

// An error of the gateway: its code, the field, what is wrong, and what to do.
const explained = (error) => error.code + (error.path && ' in ' + error.path) + ': ' + error.message + '.' +
  (FIXES[error.code] ? ' ' + FIXES[error.code] : '');

const explain = async ({names, rest, done}, answer) => {
  const final = answer.headers.get('twite-verdict');
  const {rejected, errors} = answer.status === 204 ? {} : await answer.clone().json().catch(() => ({}));
  const status = '(status ' + answer.status + ')';
  if (answer.ok && final) {
    const refused = new Map((rejected || []).map((one) => [one.index, one.errors]));
    names.forEach((name, index) => refused.has(index)
      ? warn(name + ': rejected: ' + refused.get(index).map(explained).join(' '))
      : info(name + ': stored ' + status));
    if (rest) info(rest + ': ' + done + status);
  } else {
    const all = names.concat(rest || []).join(', ');
    const reason = (errors || []).map(explained).join(' ');
    warn(all + (final ? ': rejected ' : ': not stored, and sent again ') + status + (reason && ': ' + reason));
  }
  if (answer.headers.get('twite-test')) info('test mode: X gets no conversions of source ' + settings.source);
};

const fetched = w.fetch;
w.fetch = function (target, options) {
  const asking = fetched.apply(this, arguments);
  const what = quietly(sent)(target, options && options.body);
  if (what) {
    asking.then(
      (answer) => explain(what, answer).catch(() => {}),
      () => warn(what.names.concat(what.rest || []).join(', ') + NO_ANSWER)
    );
  }
  return asking;
};

info('debugging source ' + settings.source + ', events: ' + (events.join(', ') || 'none'));
printState();
twite.q.filter(([called]) => called !== 'debug').forEach((call) => quietly(print)(...call));
twite.q = undefined;
// A consent platform answers at any time.
setInterval(quietly(printState), 1000);
w.twite = Object.assign(function (called, given) {
  if (called === 'debug') return;
  const made = twite.apply(this, arguments);
  quietly(print)(called, given, made);
  return made;
}, twite);
