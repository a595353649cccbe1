"""The demo's shop: a few pages with the first-party script, and a back end that submits, too.

It is a server of its own on loopback, as a shop is: the gateway only knows its origin.
"""

import http.client
import json
from collections.abc import Mapping
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Final, Self
from urllib.parse import parse_qs, urlsplit

import msgspec

from twite.cli.demo.pages import SHOP_JS, landing, mug, overlap, thanks, unknown

_HTML: Final = "text/html; charset=utf-8"
_SCRIPT: Final = "text/javascript; charset=utf-8"
_MOST_BODY: Final = 10_000
_LOOK_SECONDS: Final = 0.05  # how often it looks whether it is to end
_PRICE: Final = "24.95"


class ShopOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody bought here. It holds an email: it does not print."""

    id: str
    value: str
    currency: str
    email: str

    def __repr__(self) -> str:
        return f"Order({self.id})"


class DemoShop:
    """Listens from `with` to its end; takes orders once it is `open`."""

    def __init__(self) -> None:
        self.orders: dict[str, ShopOrder] = {}
        self.gateway = ""
        self.x = ""
        self._key = ""
        shop = self

        class Pages(_Pages):
            of = shop

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
        self._thread = Thread(target=self._server.serve_forever, args=(_LOOK_SECONDS,), daemon=True)

    @property
    def url(self) -> str:
        """The shop's address, which is also the origin of its pages."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def open(self, *, gateway: str, x: str, key: str) -> None:
        """Say where the gateway and X are, and with what key the back end submits."""
        self.gateway, self.x, self._key = gateway, x, key

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def sell(self, email: str) -> ShopOrder:
        """Take an order, and submit it as a shop's back end does."""
        order = ShopOrder(
            id=f"shop-{len(self.orders) + 1:04}", value=_PRICE, currency="EUR", email=email
        )
        self.orders[order.id] = order
        fields = {"event": "purchase", "conversion_id": order.id}
        fields |= {"value": order.value, "currency": order.currency, "email": order.email}
        self.ask("POST", "/v1/conversions", fields)
        return order

    def ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> bytes:
        """Ask the gateway something as a server; return its answer's body."""
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        with closing(http.client.HTTPConnection(urlsplit(self.gateway).netloc, timeout=30)) as line:
            line.request(method, path, json.dumps(body) if body else None, headers)
            return line.getresponse().read()


class _Pages(BaseHTTPRequestHandler):
    of: DemoShop

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        shop = self.of
        match parts.path:
            case "/":
                self._page(landing(shop.gateway, shop.x))
            case "/mug":
                self._page(mug(shop.gateway, shop.x))
            case "/thanks":
                wanted = parse_qs(parts.query).get("order", [""])[0]
                order = shop.orders.get(wanted)
                if order is None:
                    self._page(unknown(), status=404)
                    return
                self._page(thanks(shop.gateway, shop.x, msgspec.structs.asdict(order)))
            case "/overlap":
                self._page(overlap(json.loads(shop.ask("GET", "/v1/overlap?days=1"))))
            case "/shop.js":
                self._send(200, _SCRIPT, SHOP_JS.encode())
            case _:
                self._page(unknown(), status=404)

    def do_POST(self) -> None:
        if urlsplit(self.path).path != "/order":
            self._page(unknown(), status=404)
            return
        length = min(int(self.headers.get("Content-Length") or 0), _MOST_BODY)
        form = parse_qs(self.rfile.read(length).decode())
        order = self.of.sell(form.get("email", ["shopper@mail.internal"])[0])
        self.send_response(303)
        self.send_header("Location", f"/thanks?order={order.id}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the signature that it calls
        """Say nothing: the demo's own lines are enough."""

    def _page(self, text: str, status: int = 200) -> None:
        self._send(status, _HTML, text.encode())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        shop = self.of
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        # What a careful shop says: no script but its own files, the gateway's and X's.
        self.send_header(
            "Content-Security-Policy",
            f"default-src 'self'; style-src 'unsafe-inline'; script-src 'self' {shop.gateway} "
            f"{shop.x}; connect-src {shop.gateway} {shop.x}; img-src 'self' data: {shop.x} "
            f"{shop.gateway}",
        )
        self.end_headers()
        self.wfile.write(body)
