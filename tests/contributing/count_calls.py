"""Count the Python calls of a gateway, in all its threads.

The gateway is `twite serve` of the package in a folder, with an SQLite store. Clients and X run in
other threads of the same process. Prints JSON: for each way, the calls of functions of the package,
including resumed coroutines, and the number of their files. Each way is counted for several shops,
and the lowest count stands, because now and then a timer adds calls.
"""

import argparse
import http.client
import json
import os
import shutil
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import CodeType, FrameType
from urllib.parse import quote

ACCEPTED = (200, 202, 204)
CLICK_ID = "2-3k9x0abcd1efgh2ijkl3mnop4q"
BROWSER = "Mozilla/5.0 (X11; Linux x86_64)"
KEY = "key-of-the-shop"
SETTINGS = """
[server]
listen = "127.0.0.1:0"
trusted_proxies = ["127.0.0.1/32"]
metrics_key = "key-of-the-metrics"
[store]
url = "sqlite:twite.db"
[x]
api_url = "http://127.0.0.1:{port}"
in_flight = 1
timeout = "1m"
[log]
level = "error"
"""
SHOP = """
[[pixel]]
id = "o8z{number}"
auth = {{ pixel_token = "token-of-the-pixel" }}
events = {{ purchase = "o9z{number}" }}
[[source]]
name = "shop-{number}"
key = "{key}-{number}"
origins = ["https://shop-{number}.example"]
pixel = "o8z{number}"
region = "GB"
"""
# Longer than what the gateway does after an answer.
AFTER_SECONDS = 0.5


class CallCounter:
    """Counts calls of functions in files below a folder, in threads that start after `install`."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._codes: list[CodeType] | None = None

    def install(self) -> None:
        threading.setprofile(self._called)
        sys.setprofile(self._called)

    def counted(self, act: Callable[[], object]) -> tuple[int, int]:
        """Run `act`, and return the number of calls in it and shortly after it, and of files."""
        time.sleep(AFTER_SECONDS)
        self._codes = codes = []
        act()
        time.sleep(AFTER_SECONDS)
        self._codes = None
        return len(codes), len({code.co_filename for code in codes})

    def _called(self, frame: FrameType, event: str, _argument: object) -> None:
        codes = self._codes
        if event == "call" and codes is not None:
            code = frame.f_code
            if code.co_filename.startswith(self._folder):
                codes.append(code)


class X(ThreadingHTTPServer):
    """Answers each request with `status`, once `may_answer` is set.

    It does not answer a pixel that has had a 423, because retries would be counted, too.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _XHandler)
        self.status = 200
        self.asked = threading.Semaphore(0)
        self.answered = threading.Semaphore(0)
        self.may_answer = threading.Event()
        self.locked: set[str] = set()


class _XHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: X

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.release()
        self.server.may_answer.wait()
        if self.server.status == 423:
            if self.path in self.server.locked:
                threading.Event().wait()
            self.server.locked.add(self.path)
        count = len(sent["conversions"])
        answer: dict[str, object] = {"errors": [{"code": "LOCKED", "message": "Locked"}]}
        if self.server.status == 200:
            answer = {"data": {"conversions_processed": count, "debug_id": "1"}, "errors": []}
        body = json.dumps(answer).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.server.answered.release()

    def log_message(self, *_arguments: object) -> None:
        """Print nothing."""


class Clients:
    """Send to the gateway as the servers and the pages of the shops do, on one connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port)
        self._sent = 0

    def post(self, shop: int) -> None:
        self._sent += 1
        conversion = {
            "event": "purchase",
            "conversion_id": f"order-{self._sent}",
            "value": "49.90",
            "currency": "EUR",
            "email": f"shopper{self._sent}@shop.alt",
            "phone": "+442079460018",
            "twclid": CLICK_ID,
            "ip": "203.0.113.7",
            "user_agent": BROWSER,
            "url": "https://shop.example/thanks",
            "contents": [{"id": "SKU-1", "name": "Mug", "price": "24.95", "quantity": 2}],
        }
        headers = {"Authorization": f"Bearer {KEY}-{shop}", "Content-Type": "application/json"}
        self._request("/v1/conversions", json.dumps(conversion), headers)

    def send_purchase(self, shop: int) -> None:
        self._sent += 1
        value = f"&en=purchase&cu=EUR&epn.value=49.90&ep.transaction_id=ga4-{self._sent}"
        self._send_hit(shop, value)

    def send_page_view(self, shop: int) -> None:
        self._send_hit(shop, "&en=page_view")

    def _send_hit(self, shop: int, said: str) -> None:
        page = quote(f"https://shop-{shop}.example/thanks?twclid={CLICK_ID}")
        headers = {
            "Origin": f"https://shop-{shop}.example",
            "User-Agent": BROWSER,
            "X-Forwarded-For": "203.0.113.7",
        }
        path = f"/g/collect?v=2&tid=G-1&cid=1.2&sid=3&_p=4&_s=5&dl={page}{said}"
        self._request(path, "", headers)

    def _request(self, path: str, body: str, headers: dict[str, str]) -> None:
        self._connection.request("POST", path, body, headers)
        answer = self._connection.getresponse()
        said = answer.read()
        if answer.status not in ACCEPTED:
            raise SystemExit(f"{path}: {answer.status} {said.decode()}")


def count(counter: CallCounter, note: Path, x: X, shops: range) -> dict[str, tuple[int, int]]:
    while not note.exists():
        time.sleep(0.05)
    clients = Clients(int(json.loads(note.read_text())["url"].rpartition(":")[2]))

    def lowest(act: Callable[[int], None]) -> tuple[int, int]:
        return min(counter.counted(partial(act, shop)) for shop in shops)

    def deliver(shop: int) -> None:
        clients.post(shop)
        x.answered.acquire()

    # While X has not answered a pixel's first request, the gateway sends it no other.
    for shop in shops:
        clients.post(shop)
        x.asked.acquire()
    found = {
        "POST": lowest(clients.post),
        "GA4 page view": lowest(clients.send_page_view),
        "GA4 purchase": lowest(clients.send_purchase),
    }
    x.may_answer.set()
    for _ in range(2 * len(shops)):
        x.answered.acquire()
    found["POST and a 200 of X"] = lowest(deliver)
    x.status = 423
    found["POST and a 423 of X"] = lowest(deliver)
    return found


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("src", type=Path)
    asked.add_argument("--shops", type=int, default=5)
    chosen = asked.parse_args()
    src = str(chosen.src.resolve())
    shops = range(chosen.shops)
    sys.path.insert(0, src)
    folder = Path(tempfile.mkdtemp(prefix="twite-calls-"))
    x = X()
    threading.Thread(target=x.serve_forever, daemon=True).start()
    config = folder / "twite.toml"
    tables = [SHOP.format(number=number, key=KEY) for number in shops]
    config.write_text(SETTINGS.format(port=x.server_port) + "".join(tables))
    counter = CallCounter(src)

    def run() -> None:
        code = 1
        try:
            print(json.dumps(count(counter, folder / "twite.db.gateway", x, shops)), flush=True)
            code = 0
        except BaseException:  # noqa: BLE001 - the process ends
            traceback.print_exc()
        shutil.rmtree(folder)
        os._exit(code)

    threading.Thread(target=run, daemon=True).start()
    counter.install()
    from twite.__main__ import main as twite  # noqa: PLC0415 - of the package in SRC

    sys.argv[1:] = ["serve", "--config", str(config)]
    twite()


if __name__ == "__main__":
    main()
