"""A tag's vendor: a small HTTP server with preset answers that stores the requests."""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

# Maps the number of earlier requests to a status; None means no response.
Behaviour = Callable[[int], int | None]
HANGING = 3.0  # seconds, longer than the template waits


class Vendor:
    def __init__(self, behaviour: Behaviour = lambda _: 200) -> None:
        self.behaviour = behaviour
        self.came: list[dict] = []
        self.keys: list[str] = []
        self._lock = threading.Lock()
        vendor = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with vendor._lock:
                    status = vendor.behaviour(len(vendor.came))
                    vendor.came.append(body)
                    vendor.keys.append(self.headers.get("x-key", ""))
                if status is None:
                    time.sleep(HANGING)
                    self.close_connection = True
                    return
                said = b'{"said": "thanks"}' if status < 300 else b'{"said": "no thanks"}'
                self.send_response(status)
                self.send_header("content-length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/in"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def count(self) -> int:
        return len(self.came)
