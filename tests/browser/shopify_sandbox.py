"""A stand-in of Shopify's storefront and of its sandbox for custom pixels.

The sandbox is a frame without the shop's origin: `document.cookie` and storage throw there. Its
`browser.cookie` asks the page, by messages. What the globals are called, and what
`checkout_completed` contains, is as in Shopify's documentation of the Web Pixels API.
"""

import json
from pathlib import Path

ASSETS = Path(__file__).parents[2] / "shopify"
GRANTED = {
    "analyticsProcessingAllowed": True,
    "marketingAllowed": True,
    "preferencesProcessingAllowed": True,
    "saleOfDataAllowed": True,
}
CHECKOUT = {
    "currencyCode": "USD",
    "email": "jon@example.com",
    "phone": "+442079460958",
    "order": {"id": "820982911946154508", "customer": {"id": "1"}},
    "totalPrice": {"amount": 403.0, "currencyCode": "USD"},
    "lineItems": [
        {
            "title": "Mug",
            "quantity": 2,
            "variant": {"id": "39072856", "sku": "MUG-1", "price": {"amount": 199.0}},
        }
    ],
}

_SANDBOX = """
<!doctype html><html><head></head><body><script>
(function () {
  const waiting = new Map(); let count = 0;
  function ask(what, ...given) {
    const number = ++count;
    parent.postMessage({number, what, given}, '*');
    return new Promise((done) => waiting.set(number, done));
  }
  const subscribed = {};
  function subscribe(name, act) {
    (subscribed[name] = subscribed[name] || []).push(act);
    return Promise.resolve();
  }
  addEventListener('message', ({data}) => {
    if (data.number) { waiting.get(data.number)(data.result); return; }
    for (const act of subscribed[data.publish] || []) act(data.event);
  });
  window.analytics = {subscribe};
  window.api = {analytics: window.analytics, customerPrivacy: {subscribe}};
  window.browser = {cookie: {get: (n) => ask('get', n), set: (...c) => ask('set', ...c)}};
  window.init = {context: {}, data: {}, customerPrivacy: %(privacy)s};
})();
</script><script>%(pixel)s
parent.postMessage({ready: true}, '*');</script></body></html>
"""
_TOP = """
<iframe id="sandbox" sandbox="allow-scripts allow-forms"></iframe><script>
window.ready = new Promise((done) => addEventListener('message', ({data, source}) => {
  if (data.ready) { done(); return; }
  let result = '';
  if (data.what === 'get') {
    const pair = document.cookie.split('; ').find((each) => each.startsWith(data.given[0] + '='));
    result = pair ? pair.slice(data.given[0].length + 1) : '';
  } else {
    document.cookie = data.given.length > 1 ? data.given.join('=') : data.given[0];
  }
  source.postMessage({number: data.number, result}, '*');
}));
document.getElementById('sandbox').srcdoc = %s;
window.publish = (name, event) => ready.then(() =>
  document.getElementById('sandbox').contentWindow.postMessage({publish: name, event}, '*'));
</script>
"""


def page_with_pixel(script: str, privacy: object) -> str:
    """Return a page with the custom pixel, which loads X's script from an address."""
    pixel = (ASSETS / "custom-pixel.js").read_text()
    assert pixel.count("https://static.ads-twitter.com/uwt.js") == 1
    pixel = pixel.replace("https://static.ads-twitter.com/uwt.js", script)
    inside = _SANDBOX % {"privacy": json.dumps(privacy), "pixel": pixel}
    return _TOP % json.dumps(inside).replace("</", "<\\/")


def storefront(allowed: dict[str, bool] | None, **cart: str) -> str:
    """Return a page with the snippet; `allowed` are the answers of the Customer Privacy API.

    `attributes` has what the page writes into the cart, in order.
    """
    snippet = (ASSETS / "cart-attributes.liquid").read_text().partition("{% endcomment %}")[2]
    for name in ("click", "consent"):
        written = f"{{{{ cart.attributes._twite_{name} | json }}}}"
        assert snippet.count(written) == 1
        snippet = snippet.replace(written, json.dumps(cart.get(name)))
    return f"""<script>
    window.attributes = [];
    window.allowed = {json.dumps(allowed)};
    window.Shopify = {{
      routes: {{root: '/en/'}},
      loadFeatures: (features, done) => setTimeout(() => {{
        if (!allowed) {{ done(new Error('blocked')); return; }}
        Shopify.customerPrivacy = {{
          marketingAllowed: () => allowed.marketing, saleOfDataAllowed: () => allowed.sale
        }};
        done();
      }})
    }};
    window.fetch = (address, given) => {{
      attributes.push([address, JSON.parse(given.body).attributes]);
      return Promise.resolve({{ok: true}});
    }};
    </script>{snippet}"""
