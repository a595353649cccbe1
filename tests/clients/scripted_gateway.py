"""A server that gives scripted answers, for the vectors that all client libraries share."""

import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

VECTORS = json.loads((Path(__file__).parents[2] / "clients/vectors.json").read_text())
KEY = "a-source-key"


class ScriptedGateway:
    """Answers each request by the next part of a script, and keeps the requests and their times.

    An answer is an object of `attempts` in clients/vectors.json. Without one, a request gets 202.
    With `keep`, the connection stays open.
    """

    def __init__(self, answers: list[dict[str, Any]]) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.times: list[float] = []
        self.connections: list[object] = []
        self.ended = threading.Event()
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                gateway.times.append(time.monotonic())
                gateway.connections.append(self.client_address)
                gateway.requests.append((dict(self.headers), body))
                gateway.respond(self, answers.pop(0) if answers else {"status": 202}, body)

            def log_message(self, *_args: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def respond(self, handler: BaseHTTPRequestHandler, answer: dict[str, Any], body: bytes) -> None:
        handler.close_connection = "keep" not in answer
        if "close" in answer:
            handler.connection.shutdown(socket.SHUT_RDWR)
            return
        if "silent" in answer:
            self.ended.wait(60)
            return
        text = answer.get("body", json.dumps(_body(answer, body))).encode()
        handler.send_response(answer["status"])
        for key, name in (("retry_after", "Retry-After"), ("location", "Location")):
            if key in answer:
                handler.send_header(name, answer[key])
        handler.send_header("Content-Length", str(len(text)))
        if handler.close_connection:
            handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(text)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()


def _body(answer: dict[str, Any], body: bytes) -> dict[str, Any]:
    """Return a receipt or an error, as a gateway gives it for this request."""
    if answer["status"] not in {202, 422}:
        return {"errors": [{"path": "", "code": "some_code", "message": "Some message"}]}
    sent = json.loads(body)
    count = len(sent.get("conversions", [sent]))
    rejected = [
        {"index": 0, "errors": [{"path": "value", "code": "invalid", "message": "no number"}]}
    ]
    if "rejected" not in answer:
        rejected = []
    return {
        "receipt": "receipt-1",
        "accepted": count - len(rejected),
        "duplicates": 0,
        "suppressed": 0,
        "rejected": rejected,
    }
