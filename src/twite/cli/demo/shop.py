"""The demo's shop: a few pages with the first-party script, and a back end.

The back end submits the same orders as the pages. The shop is a separate server on loopback, as in
production: the gateway knows only the shop's origin.
"""

import http.client
import json
from collections.abc import Mapping
from contextlib import closing
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import MappingProxyType
from typing import Final, Self
from urllib.parse import parse_qs, urlsplit

import msgspec

# The script is a separate file, because the shop's Content-Security-Policy forbids inline scripts.
# The first line queues calls until twite.js has loaded, which loads X's pixel from the emulator.
_SHOP_JS: Final = """\
window.twite = window.twite || function () { (twite.q = twite.q || []).push(arguments); };
twite('config', {pixel_url: %s});
const order = document.body.dataset;
if (order.id) {
  twite('purchase', {
    conversion_id: order.id, value: order.value, currency: order.currency, email: order.email,
    contents: [{id: 'MUG-1', name: 'Mug', price: order.value, quantity: 1}],
  });
}
"""
_STYLE: Final = """\
body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem;color:#222}
a,button{color:#0b57d0}button{font:inherit;padding:.4rem 1rem}table{border-collapse:collapse}
td,th{border:1px solid #ccc;padding:.3rem .7rem;text-align:left}
nav{margin-bottom:2rem}nav a{margin-right:1rem}
"""
_NAV: Final = (
    '<nav><a href="/">Shop</a><a href="/mug">Mug</a><a href="/deduplication">Deduplication '
    "report</a></nav>"
)
_HTML: Final = "text/html; charset=utf-8"
_SCRIPT: Final = "text/javascript; charset=utf-8"
_MOST_BODY: Final = 10_000
_LOOK_SECONDS: Final = 0.05  # how often the server checks whether it must stop
_PRICE: Final = "24.95"


def landing(gateway: str) -> str:
    """Return the landing page of an advertisement."""
    return _page(
        "A small shop",
        "<p>An advertisement on X would lead here with a click id, such as "
        '<a href="/?twclid=2-demo3k9x0abcd1efgh2ijkl3">this link</a>.</p>'
        '<p><a href="/mug">View the mug</a></p>',
        scripts=_scripts(gateway),
    )


def mug(gateway: str) -> str:
    """Return the page of the shop's only product."""
    return _page(
        "Mug, EUR 24.95",
        '<form method="post" action="/order"><p><label>Email <input name="email" type="email" '
        'value="shopper@mail.internal" required></label></p><button>Buy it</button></form>',
        scripts=_scripts(gateway),
    )


def thanks(gateway: str, order: Mapping[str, str]) -> str:
    """Return the page after the order, which reports the order through the script."""
    attributes = " ".join(f'data-{name}="{escape(value)}"' for name, value in order.items())
    return _page(
        "Thank you",
        f"<p>Your order is {escape(order['id'])}. The shop's server has sent the order to the "
        "gateway. This page sends it again, to the gateway and to X's pixel, with the same id. "
        "Reload the page: X still counts the order once.</p>"
        '<p><a href="/deduplication">Deduplication report</a></p>',
        scripts=_scripts(gateway),
        body=attributes,
    )


def deduplication(report: Mapping[str, object]) -> str:
    """Return a page with today's deduplication report, refreshed every two seconds."""
    advice = report["advice"]
    names = [name for name in report if name not in {"since", "by", "advice"}]
    rows = "".join(
        f"<tr><td>{escape(name.replace('_', ' '))}</td><td>{escape(str(report[name]))}</td>"
        f"<td>{escape(advice.get(name, '') if isinstance(advice, dict) else '')}</td></tr>"
        for name in names
    )
    return _page(
        "Deduplication report",
        f"<table><tr><th>today</th><th>ids</th><th></th></tr>{rows}</table>",
        head='<meta http-equiv="refresh" content="2">',
    )


def unknown() -> str:
    return _page("Page not found", "")


def _scripts(gateway: str) -> str:
    return (
        '<script src="/shop.js"></script>'
        f'<script async src="{escape(gateway)}/twite.js?s=shop"></script>'
    )


def shop_script(x: str) -> str:
    return _SHOP_JS % json.dumps(f"{x}/uwt.js")


def _page(title: str, text: str, *, scripts: str = "", head: str = "", body: str = "") -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"{head}<style>{_STYLE}</style></head><body {body}>{_NAV}<h1>{escape(title)}</h1>{text}"
        f"{scripts}</body></html>"
    )


class ShopOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order. Its repr masks the email."""

    id: str
    value: str
    currency: str
    email: str

    def __repr__(self) -> str:
        return f"ShopOrder({self.id})"


def send(
    url: str,
    method: str,
    path: str,
    body: object = None,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> bytes:
    """Send a request with a JSON body, if any; return the body of the response."""
    kind = {"Content-Type": "application/json"}
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)) as connection:
        connection.request(method, path, json.dumps(body) if body else None, {**kind, **headers})
        return connection.getresponse().read()


class DemoShop:
    """The demo shop, as a context manager. It accepts orders after `open`."""

    def __init__(self) -> None:
        self.orders: dict[str, ShopOrder] = {}
        self.gateway = ""
        self.x = ""
        self._key = ""
        demo_shop = self

        class ShopPages(_Pages):
            shop = demo_shop

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), ShopPages)
        self._thread = Thread(target=self._server.serve_forever, args=(_LOOK_SECONDS,), daemon=True)

    @property
    def url(self) -> str:
        """The shop's address, which is also the origin of its pages."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def open(self, *, gateway: str, x: str, key: str) -> None:
        """Set the URLs of the gateway and X, and the source key of the back end."""
        self.gateway, self.x, self._key = gateway, x, key

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def sell(self, email: str) -> ShopOrder:
        """Accept an order, and submit it as a shop's back end does."""
        order = ShopOrder(
            id=f"shop-{len(self.orders) + 1:04}", value=_PRICE, currency="EUR", email=email
        )
        self.orders[order.id] = order
        fields = {"event": "purchase", "conversion_id": order.id}
        fields |= {"value": order.value, "currency": order.currency, "email": order.email}
        send(self.gateway, "POST", "/v1/conversions", fields, self.headers)
        return order

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the back end's requests to the gateway."""
        return {"Authorization": f"Bearer {self._key}"}


class _Pages(BaseHTTPRequestHandler):
    shop: DemoShop

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        shop = self.shop
        match parts.path:
            case "/":
                self._page(landing(shop.gateway))
            case "/mug":
                self._page(mug(shop.gateway))
            case "/thanks":
                order = shop.orders.get(parse_qs(parts.query).get("order", [""])[0])
                if order is None:
                    self._page(unknown(), status=404)
                    return
                self._page(thanks(shop.gateway, msgspec.structs.asdict(order)))
            case "/deduplication":
                report = send(shop.gateway, "GET", "/v1/deduplication?days=1", headers=shop.headers)
                self._page(deduplication(json.loads(report)))
            case "/shop.js":
                self._send(200, _SCRIPT, shop_script(shop.x).encode())
            case _:
                self._page(unknown(), status=404)

    def do_POST(self) -> None:
        if urlsplit(self.path).path != "/order":
            self._page(unknown(), status=404)
            return
        length = min(int(self.headers.get("Content-Length") or 0), _MOST_BODY)
        form = parse_qs(self.rfile.read(length).decode())
        order = self.shop.sell(form.get("email", ["shopper@mail.internal"])[0])
        self.send_response(303)
        self.send_header("Location", f"/thanks?order={order.id}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as in the base class
        """Log nothing: the demo prints its own lines."""

    def _page(self, text: str, status: int = 200) -> None:
        self._send(status, _HTML, text.encode())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        shop = self.shop
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        # Only scripts of the shop, the gateway and X may run, as in a shop with a strict policy.
        self.send_header(
            "Content-Security-Policy",
            f"default-src 'self'; style-src 'unsafe-inline'; script-src 'self' {shop.gateway} "
            f"{shop.x}; connect-src {shop.gateway} {shop.x}; img-src 'self' data: {shop.x} "
            f"{shop.gateway}",
        )
        self.end_headers()
        self.wfile.write(body)
