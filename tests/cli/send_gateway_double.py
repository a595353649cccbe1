"""A small fake gateway on a real socket: it records requests and gives preset responses."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = tuple[int, dict]
KEY = "a-key-that-is-long-enough"
# What every receipt has.
RECEIPT = {"receipt": "r", "accepted": 0, "duplicates": 0, "suppressed": 0, "rejected": []}


class GatewayDouble:
    """`script` contains the first responses (None disconnects). Later requests get `usual`."""

    def __init__(self) -> None:
        self.requests: list[list[dict]] = []
        self.script: list[Answer | None] = []
        self.headers: dict[str, str] = {}
        self.judge: Callable[[list[dict]], Answer] = self.usual
        self.url = ""
        self.dedup_window = 7 * 86_400  # seconds
        self._seen: set[tuple[str, str]] = set()

    @property
    def sent(self) -> list[dict]:
        return [conversion for request in self.requests for conversion in request]

    def usual(self, conversions: list[dict]) -> Answer:
        """Accept, count duplicates, refuse the event `unheard`, warn about an invalid email."""
        answer = RECEIPT | {"rejected": []}
        warnings, duplicates = [], []
        for index, conversion in enumerate(conversions):
            if conversion.get("event") == "unheard":
                errors = [{"path": "event", "code": "event_unknown", "message": "no such event"}]
                answer["rejected"].append({"index": index, "errors": errors})
                continue
            if "@" not in conversion.get("email", "@"):
                warning = {"path": "email", "code": "email_unusable", "message": "no address"}
                warnings.append({"index": index, "warnings": [warning]})
            key = (conversion["event"], conversion["conversion_id"])
            answer["duplicates" if key in self._seen else "accepted"] += 1
            duplicates += [index] if key in self._seen else []
            self._seen.add(key)
        taken = answer["accepted"] + answer["duplicates"]
        more = {"warnings": warnings, "duplicate_indexes": duplicates}
        return (202 if taken else 422), answer | {
            name: found for name, found in more.items() if found
        }


@contextmanager
def double() -> Iterator[GatewayDouble]:
    reported = GatewayDouble()

    class Answering(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            about = {"source": "shop", "dedup_window": reported.dedup_window}
            known = self.path == "/v1/source"
            self._answer(200 if known else 404, about if known else {})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            conversions = json.loads(body)["conversions"]
            reported.requests.append(conversions)
            answer = reported.script.pop(0) if reported.script else reported.judge(conversions)
            if answer is None:
                self.close_connection = True
                return
            self._answer(*answer)

        def _answer(self, status: int, said: dict) -> None:
            if self.headers["Authorization"] != f"Bearer {KEY}":
                status, said = 401, {"errors": [{"path": "", "code": "key", "message": "wrong"}]}
            written = json.dumps(said).encode()
            self.send_response(status)
            for name, value in reported.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(written)))
            self.end_headers()
            self.wfile.write(written)

        def log_message(self, *said: object) -> None:
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        reported.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield reported
        finally:
            server.shutdown()
            thread.join()


# Recent, because the gateway's memory of duplicates ends.
YESTERDAY = (datetime.now(UTC) - timedelta(days=1)).isoformat(timespec="seconds")
ROW = "{id},{time},{event},{total},EUR,{email}"
HEADER = "order_id,created_at,event,total,currency,email"
SETTINGS = """
[[pixel]]
id = "o8z6j"
auth = {{ pixel_token = "env:NO_SUCH_TOKEN" }}
events = {{ purchase = "o8z6k" }}
[[source]]
name = "shop"
pixel = "o8z6j"
key = "env:SHOP_KEY"
[server]
listen = "{listen}"
"""


def rows(count, **cells):
    return [row(id=f"o-{number}", **cells) for number in range(1, count + 1)]


def row(**cells):
    usual = {"id": "o-1", "event": "purchase", "total": "1.00", "email": "a@example.com"}
    usual["time"] = YESTERDAY
    return ROW.format_map(usual | cells)


def written(path, lines, encoding="utf-8", packed=bytes):
    path.write_bytes(packed("\n".join([HEADER, *lines]).encode(encoding)))
    return str(path)


def ids(conversions):
    return [conversion["conversion_id"] for conversion in conversions]
