"""A stand-in for a WooCommerce shop: its REST API v3 on a real socket, as far as orders go."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

KEY, SECRET = "ck_canary_key", "cs_canary_secret"
_PATH = "/wp-json/wc/v3/orders"


class ShopDouble:
    """`orders` may change between requests; `before` is called with the number of each request.

    `answer` replaces the responses by (status, headers, body) if it is set.
    """

    def __init__(self) -> None:
        self.orders: list[dict] = []
        self.requests: list[dict[str, str]] = []
        self.authorizations: list[str | None] = []
        self.before: Callable[[int], None] = lambda _number: None
        self.answer: tuple[int, dict[str, str], bytes] | None = None
        self.url = ""

    def page(self, query: dict[str, str]) -> tuple[bytes, int]:
        """Return the page that a shop would return, and how many there are."""
        assert query["dates_are_gmt"] == "true"
        assert (query["orderby"], query["order"]) == ("modified", "asc")
        found = sorted(
            (
                order
                for order in self.orders
                if order["date_modified_gmt"] > query["modified_after"]
            ),
            key=lambda order: (order["date_modified_gmt"], order["id"]),
        )
        size, number = int(query["per_page"]), int(query["page"])
        start = (number - 1) * size
        return json.dumps(found[start : start + size]).encode(), -(-len(found) // size)


def _expected() -> str:
    return "Basic " + base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()


@contextmanager
def shop_double() -> Iterator[ShopDouble]:
    shop = ShopDouble()

    class Answering(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            address = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(address.query).items()}
            shop.requests.append(query)
            shop.authorizations.append(self.headers["Authorization"])
            shop.before(len(shop.requests))
            if shop.answer is not None:
                self._say(*shop.answer)
            elif self.headers["Authorization"] != _expected():
                self._say(401, {}, b'{"code":"woocommerce_rest_cannot_view"}')
            elif address.path != _PATH:
                self._say(404, {}, b"")
            else:
                body, pages = shop.page(query)
                self._say(200, {"X-WP-TotalPages": str(pages)}, body)

        def _say(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *said: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    shop.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield shop
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def an_order(number: int, changed: str, **more: object) -> dict:
    return {
        "id": number,
        "number": str(number),
        "status": "processing",
        "created_via": "checkout",
        "currency": "EUR",
        "total": "49.90",
        "date_modified_gmt": changed,
        "date_paid_gmt": changed,
        "billing": {"email": f"shopper{number}@example.com"},
        "meta_data": [],
        "line_items": [],
    } | more
