// Twite: a custom pixel for Shopify (Settings, Customer events, Add custom pixel). It reports each
// completed checkout to X's pixel. Its conversion id is the id of the order, as in Twite's
// [[webhook]] of the kind "shopify", so that X counts the order once.
//
// Nothing is loaded or sent unless Shopify says that marketing and the sale of data are allowed.

const PIXEL = 'o8z6j'; // the pixel's id, from X's Events Manager
const EVENT = 'o8z6k'; // the id of the event for purchases
const SCRIPT = 'https://static.ads-twitter.com/uwt.js';

let privacy = init.customerPrivacy;
let waiting = [];
let isLoaded = false;

function mayTrack() {
  return Boolean(privacy && privacy.marketingAllowed === true && privacy.saleOfDataAllowed === true);
}

// The order's id, such as 820982911946154508, also from gid://shopify/Order/820982911946154508.
function idOf(checkout) {
  const found = /(\d+)(?:\?.*)?$/.exec(String((checkout.order && checkout.order.id) || ''));
  return found ? found[1] : '';
}

function conversionOf(checkout) {
  const lines = checkout.lineItems || [];
  const conversion = {
    conversion_id: idOf(checkout),
    num_items: lines.reduce((sum, line) => sum + (line.quantity || 0), 0),
    contents: lines.map((line) => ({
      content_id: (line.variant && (line.variant.sku || line.variant.id)) || undefined,
      content_name: line.title,
      content_price: line.variant && line.variant.price && Number(line.variant.price.amount),
      num_items: line.quantity
    }))
  };
  const value = Number(checkout.totalPrice && checkout.totalPrice.amount);
  if (checkout.totalPrice && Number.isFinite(value)) {
    conversion.value = value;
    conversion.currency = checkout.currencyCode;
  }
  if (checkout.email) conversion.email_address = checkout.email;
  if (checkout.phone) conversion.phone_number = checkout.phone;
  return conversion;
}

// The sandbox has an opaque origin: cookies and storage throw there, and `browser.cookie` reads
// those of the shop asynchronously. X's script expects both, so it gets copies.
async function provideCookies() {
  const jar = new Map();
  for (const name of ['_twclid', '_twpid', '_twsid', '_twite']) {
    const value = await browser.cookie.get(name).catch(() => '');
    if (value) jar.set(name, value);
  }
  const [form, at, click] = (jar.get('_twite') || '').split('.');
  jar.delete('_twite');
  if (form === '1' && click && !jar.has('_twclid')) {
    const kept = {pixelVersion: '2.4.11', timestamp: Number(at), twclid: click, source: 1};
    jar.set('_twclid', encodeURIComponent(JSON.stringify(kept)));
  }
  Object.defineProperty(document, 'cookie', {
    configurable: true,
    get: () => Array.from(jar, ([name, value]) => `${name}=${value}`).join('; '),
    set: (text) => {
      const [pair] = String(text).split(';');
      const at = pair.indexOf('=');
      jar.set(pair.slice(0, at).trim(), pair.slice(at + 1).trim());
      browser.cookie.set(String(text)).catch(() => {});
    }
  });
  for (const name of ['localStorage', 'sessionStorage']) {
    const held = new Map();
    const storage = {
      getItem: (key) => (held.has(key) ? held.get(key) : null),
      setItem: (key, value) => held.set(String(key), String(value)),
      removeItem: (key) => held.delete(key)
    };
    Object.defineProperty(window, name, {configurable: true, value: storage});
  }
}

async function load() {
  if (isLoaded) return;
  isLoaded = true;
  await provideCookies();
  const twq = (window.twq = window.twq || function () {
    twq.exe ? twq.exe.apply(twq, arguments) : twq.queue.push(arguments);
  });
  twq.version = '1.1';
  twq.queue = twq.queue || [];
  twq('config', PIXEL);
  const script = document.createElement('script');
  script.async = true;
  script.src = SCRIPT;
  document.head.appendChild(script);
}

async function send() {
  if (!mayTrack() || !waiting.length) return;
  const conversions = waiting;
  waiting = [];
  await load();
  for (const conversion of conversions) window.twq('event', `tw-${PIXEL}-${EVENT}`, conversion);
}

api.customerPrivacy.subscribe('visitorConsentCollected', (event) => {
  privacy = event.customerPrivacy;
  send();
});

analytics.subscribe('checkout_completed', (event) => {
  const conversion = conversionOf(event.data.checkout);
  // Without an id, X could not recognize the order that the server sends.
  if (!conversion.conversion_id) return;
  waiting.push(conversion);
  send();
});
