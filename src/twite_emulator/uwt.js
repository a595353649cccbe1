// Replaces X's https://static.ads-twitter.com/uwt.js, which is not available offline. It sends the
// requests that were observed of X's script to the server that it came from. It was written from
// these observations, without reading X's script.
(function (w, d) {
  'use strict';
  if (w.twq && w.twq.exe) return;
  const home = new URL(Reflect.get(Document.prototype, 'currentScript', d).src).origin;
  const VERSION = '2.4.11';
  const MONTH = 2628000;
  const page = uuid();
  let pixel = '';

  function uuid() {
    const bytes = w.crypto.getRandomValues(new Uint8Array(16));
    bytes[6] = (bytes[6] & 15) | 64;
    bytes[8] = (bytes[8] & 63) | 128;
    const hex = Array.from(bytes, (byte) => (byte + 256).toString(16).slice(1)).join('');
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
  }

  function cookie(name) {
    const found = d.cookie.split('; ').find((pair) => pair.startsWith(name + '='));
    return found ? decodeURIComponent(found.slice(name.length + 1)) : '';
  }

  function keep(name, value, seconds) {
    d.cookie = name + '=' + encodeURIComponent(value) + ';path=/;max-age=' + seconds;
  }

  // The click id of the page's URL, or of the cookie that an earlier page set.
  function click() {
    const id = new URL(w.location.href).searchParams.get('twclid');
    if (id) {
      keep('_twclid', JSON.stringify({pixelVersion: VERSION, timestamp: Date.now(), twclid: id, source: 1}), MONTH);
      return {twclid: id, clid_src: 1};
    }
    try {
      const kept = JSON.parse(cookie('_twclid'));
      return {twclid: kept.twclid, clid_src: 2};
    } catch (e) {
      return {};
    }
  }

  function digits(count) {
    return String(Math.random()).slice(2, 2 + count).padEnd(count, '0');
  }

  // The id of the browser, new or from a cookie, and the session.
  function browser() {
    const kept = cookie('_twpid');
    const id = kept || 'tw.' + Date.now() + '.' + digits(18);
    const session = /^(\d+-\d{9})\.(\d+)\.\d+$/.exec(cookie('_twsid')) || [0, Date.now() + '-' + digits(9), 1];
    keep('_twpid', id, 13 * MONTH);
    keep('_twsid', session[1] + '.' + session[2] + '.' + Date.now(), 13 * MONTH);
    return {
      twpid: id,
      tw_pid_src: kept ? 2 : 1,
      tw_session_id: session[1],
      tw_session_count: session[2],
      tw_engaged_ms: Math.round(w.performance.now())
    };
  }

  async function digest(text) {
    if (!text || !w.crypto.subtle) return undefined;
    const plain = new TextEncoder().encode(String(text).trim().toLowerCase());
    const bytes = new Uint8Array(await w.crypto.subtle.digest('SHA-256', plain));
    return Array.from(bytes, (byte) => (byte + 256).toString(16).slice(1)).join('');
  }

  function hit(txn, event, more) {
    const parameters = Object.assign({
      bci: 4,
      dv: [Intl.DateTimeFormat().resolvedOptions().timeZone, w.navigator.languages.join(), w.navigator.vendor, w.navigator.platform].join('&'),
      eci: 3,
      event: JSON.stringify(event),
      event_id: uuid(),
      integration: 'advertiser',
      p_id: 'Twitter',
      p_user_id: 0,
      pl_id: page,
      pt: d.title,
      tw_document_href: w.location.href,
      tw_iframe_status: 0,
      txn_id: txn,
      type: 'javascript',
      version: VERSION
    }, browser(), click(), more);
    // Every hit is sent twice: X uses t.co and analytics.twitter.com.
    ['/1/i/adsct?', '/1/i/adsct?tpx_cb=twttr.conversion.loadPixels&'].forEach((path) => {
      new Image().src = home + path + new URLSearchParams(parameters);
    });
  }

  function restriction(given) {
    const use = (given || {}).restricted_data_use;
    return use ? {restricted_data_use: use} : {};
  }

  async function send(name, given) {
    const event = Object.assign({}, given);
    delete event.restricted_data_use;
    event.email_address = await digest(event.email_address);
    event.phone_number = await digest(event.phone_number);
    hit(name.replace(/^tw-.*-/, ''), event, restriction(given));
  }

  function take(what, name, given) {
    if (what === 'config') {
      pixel = name;
      hit(pixel, {}, restriction(given));
    } else if (what === 'event') {
      send(String(name), given);
    }
  }

  const twq = w.twq = w.twq || function () { take.apply(null, arguments); };
  twq.exe = function () { take.apply(null, arguments); };
  (twq.queue || []).splice(0).forEach((call) => take.apply(null, call));
})(window, document);
