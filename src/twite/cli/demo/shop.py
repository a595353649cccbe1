"""The demo's shop: a few pages with the first-party script, and a back end.

The back end submits the same orders as the pages. The shop is a separate server on loopback, as in
production: the gateway knows only the shop's origin.
"""

import http.client
import json
from collections.abc import Callable, Mapping
from contextlib import closing
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import MappingProxyType
from typing import Final, Self
from urllib.parse import parse_qs, urlsplit

import msgspec
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from twite.domain.errors import TwiteError

_HTML: Final = "text/html; charset=utf-8"
_SCRIPT: Final = "text/javascript; charset=utf-8"
_MOST_BODY: Final = 10_000
_LOOK_SECONDS: Final = 0.05  # how often the server checks whether it must stop
_PRICE: Final = "24.95"
_TEMPLATES: Final = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
_TITLES: Final = {
    "/": "A small shop",
    "/mug": "Mug, EUR 24.95",
    "/thanks": "Thank you",
    "/deduplication": "Deduplication report",
}


def _page(path: str, **values: object) -> str:
    return _TEMPLATES.get_template("shop.html").render(
        path=path, title=_TITLES.get(path, "Page not found"), **values
    )


class DemoFailed(TwiteError):
    """A step of the demo failed, so that its counts would mean nothing."""


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
    """Send a request with a JSON body, if any; return the body of the response.

    Raises DemoFailed if the request is refused.
    """
    kind = {"Content-Type": "application/json"}
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)) as connection:
        connection.request(method, path, json.dumps(body) if body else None, {**kind, **headers})
        response = connection.getresponse()
        answer = response.read()
    if response.status >= HTTPStatus.BAD_REQUEST:
        text = answer.decode(errors="replace")
        raise DemoFailed(
            f"the demo stopped, because {url} refused {method} {path.partition('?')[0]}: "
            f"{response.status} {text[:300]}"
        )
    return answer


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
        self._answered(self._get)

    def do_POST(self) -> None:
        self._answered(self._post)

    def _answered(self, answer: Callable[[], None]) -> None:
        try:
            answer()
        except (DemoFailed, OSError):
            self._page("", status=502)

    def _get(self) -> None:
        parts = urlsplit(self.path)
        shop = self.shop
        order = shop.orders.get(parse_qs(parts.query).get("order", [""])[0])
        match parts.path:
            case "/" | "/mug":
                self._page(parts.path)
            case "/thanks" if order is not None:
                self._page(parts.path, order=msgspec.structs.asdict(order))
            case "/deduplication":
                report = send(shop.gateway, "GET", "/v1/deduplication?days=1", headers=shop.headers)
                self._page(parts.path, report=json.loads(report))
            case "/shop.js":
                script = _TEMPLATES.get_template("shop.js")
                pixel_url = Markup(json.dumps(f"{shop.x}/uwt.js"))  # noqa: S704  JavaScript
                self._send(200, _SCRIPT, script.render(pixel_url=pixel_url))
            case _:
                self._page("", status=404)

    def _post(self) -> None:
        if urlsplit(self.path).path != "/order":
            self._page("", status=404)
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

    def _page(self, path: str, status: int = 200, **values: object) -> None:
        self._send(status, _HTML, _page(path, gateway=self.shop.gateway, **values))

    def _send(self, status: int, kind: str, text: str) -> None:
        shop, body = self.shop, text.encode()
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
