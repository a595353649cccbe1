"""A shop that serves the pages that a test defines, with a gateway and an emulated X."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from gateway_processes import Gateway

from twite.domain.times import spelled
from twite_emulator.process import Emulator

# Browsers resolve *.localhost to this machine, and treat it as a secure context.
HOST = "shop.localhost"
GATEWAY_HOST = "t.shop.localhost"
# Without https, and not a local name.
PLAIN_HOST = "shop.example"

STUB = "window.twite = window.twite || function () { (twite.q = twite.q || []).push(arguments); };"
# X's base code, rewritten.
X_STUB = """
  window.twq = window.twq || function () {
    twq.exe ? twq.exe.apply(twq, arguments) : twq.queue.push(arguments);
  };
  twq.version = '1.1'; twq.queue = twq.queue || [];
  var tag = document.createElement('script'); tag.async = true; tag.src = '%s';
  document.head.appendChild(tag);
  twq('config', 'o8z6j');
"""
SOURCES = """
[[source]]
name = "page"
write_key = "page-key"
origins = ["{origin}", "{plain}"]
pixel = "o8z6j"
region = "GB"
[[source]]
name = "asking"
origins = ["{origin}"]
pixel = "o8z6j"
consent = "required"
[[source]]
name = "hiding"
origins = ["{origin}"]
pixel = "o8z6j"
cookie = {{ http_only = true, days = 30 }}
[[source]]
name = "elsewhere"
origins = ["https://elsewhere.example"]
pixel = "o8z6j"
[[source]]
name = "testing"
origins = ["{origin}"]
pixel = "o8z6j"
test_until = "{until}"
"""
# A value from each field that value rules read. A conversion names its rule in `search`.
VALUES = {
    "value": "multiply(value, `3`)",
    "currency": "length(currency)",
    "quantity": "multiply(quantity, `7`)",
    "contents": "sum(contents[].multiply(price, quantity))",
    "lines": "sum(contents[].sum([length(id), length(name), length(group), length(type)]))",
    "description": "length(description)",
    "search": "length(search)",
    "url": "length(url)",
    "tax": "subtract(value, tax)",
    "shipping": "subtract(value, shipping)",
    "new_customer": "multiply(value, new_customer && `2` || `1`)",
}


class Shop:
    """Pages by path. `asked` lists the requested paths."""

    def __init__(self) -> None:
        self._pages: dict[str, tuple[str, dict[str, str]]] = {}
        self.asked: list[str] = []
        shop = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                shop.asked.append(self.path)
                found = shop._pages.get(urlsplit(self.path).path)
                text, headers = found or ("", {})
                self.send_response(200 if found else 404)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self._server.daemon_threads = True
        self.origin = f"http://{HOST}:{self._server.server_port}"
        self.plain_origin = f"http://{PLAIN_HOST}:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def clear(self) -> None:
        self._pages.clear()
        self.asked.clear()

    def page(self, path: str, body: str, *, head: str = "", **headers: str) -> None:
        text = f"<!doctype html><html><head><title>A shop</title>{head}</head><body>{body}</body>"
        said = {name.replace("_", "-"): value for name, value in headers.items()}
        self._pages[path] = text, {"content-type": "text/html; charset=utf-8", **said}

    def file(self, path: str, text: str, kind: str = "text/javascript") -> None:
        self._pages[path] = text, {"content-type": kind}


class ShopSite:
    """Shop, gateway and emulator, and the page snippets with their addresses."""

    def __init__(self, shop: Shop, gateway: Gateway, emulator: Emulator) -> None:
        self.shop = shop
        self.gateway = gateway
        self.emulator = emulator

    @property
    def gateway_url(self) -> str:
        return f"http://{GATEWAY_HOST}:{urlsplit(self.gateway.url).port}"

    @property
    def pixel_url(self) -> str:
        return f"{self.emulator.url}/uwt.js"

    def tag(self, source: str = "page", **attributes: str) -> str:
        """Twite's script tag, with attributes like data_pixel."""
        written = " ".join(
            f"{name.replace('_', '-')}='{value}'" for name, value in attributes.items()
        )
        address = f"{self.gateway_url}/twite.js?s={source}"
        return f"<script>{self.stub()}</script><script async src='{address}' {written}></script>"

    def stub(self) -> str:
        """Queue calls until the script has loaded, and load X's script from the emulator."""
        return f"{STUB} twite('config', {{pixel_url: '{self.pixel_url}'}});"

    def x_tag(self) -> str:
        """X's base code, which loads the emulator's stand-in."""
        return f"<script>{self.x_stub()}</script>"

    def x_stub(self) -> str:
        return X_STUB % self.pixel_url

    def counted(self, conversion_id: str, event: str = "o8z6k") -> dict[str, int]:
        """How often X received the conversion by API and by pixel, and how often X counted it."""
        pixels = self.emulator.counted(ids=True)["pixels"]
        found = pixels.get("o8z6j", {}).get("events", {}).get(event, {}).get("ids", {})
        tally = found.get(conversion_id, {"api": 0, "pixel": 0, "counted": 0})
        return {name: tally[name] for name in ("api", "pixel", "counted")}

    def sent(self) -> list[dict[str, object]]:
        """The conversions that X received by API, in order."""
        entries = self.emulator.received(bodies=True)["entries"]
        return [load for entry in entries for load in json.loads(entry["body"])["conversions"]]

    def today(self) -> str:
        return time.strftime("%Y-%m-%d", time.gmtime())

    def hits(self) -> list[dict[str, object]]:
        """The event calls to X's script, in order."""
        hits = [hit["parameters"] for hit in self.emulator.hits()["hits"]]
        return [json.loads(hit["event"]) for hit in hits if hit["txn_id"] != "o8z6j"]


def _rules() -> str:
    """One rule for each expression of VALUES."""
    return "".join(
        f'[[value_rule]]\nname = "{name}"\nwhen = "search == \'rule {name}\'"\nvalue = "{value}"\n'
        for name, value in VALUES.items()
    )


@contextmanager
def running_site(
    folder: Path,
    shop: Shop,
    emulator: Emulator,
    *,
    extra: str = "",
    changes: Mapping[str, str] | None = None,
) -> Iterator[ShopSite]:
    gateway = Gateway(folder, emulator.url)
    until = spelled(int((time.time() + 86_400) * 1000))
    sources = SOURCES.format(origin=shop.origin, plain=shop.plain_origin, until=until)
    settings = gateway.config.read_text() + sources + _rules() + extra
    for before, after in (changes or {}).items():
        settings = settings.replace(before, after)
    gateway.config.write_text(settings)
    with gateway:
        yield ShopSite(shop, gateway, emulator)
