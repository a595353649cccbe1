"""A fake vendor on loopback: it responds like the vendors' conversion APIs, and judges requests.

Requests of tags are redirected here; `X-Forwarded-Host` names the host that the tag meant.
"""

import json
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

from twite.tags.vendors.vendor_checks import KnownPerson, VendorRequest, query_of
from twite.tags.vendors.vendor_rules import problems_of, vendor_of


@dataclass(frozen=True)
class JudgedRequest:
    """A request that the vendor received; `vendor` is "" for a host without rules."""

    request: VendorRequest
    vendor: str
    problems: tuple[str, ...]
    status: int


class FakeVendor:
    """Accepts requests in a thread. A request with problems gets 400 with the problems.

    `person` is the person of the events in plain text: their hashes must be right.
    """

    def __init__(self, person: KnownPerson | None = None) -> None:
        self.person = person or KnownPerson()
        self.asked: list[JudgedRequest] = []
        vendor = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # the name that http.server requires
                vendor._answer(self)

            do_POST = do_PUT = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        headers = {name.lower(): value for name, value in handler.headers.items()}
        sent = handler.rfile.read(int(headers.get("content-length", "0")))
        request = VendorRequest(
            host=headers.get("x-forwarded-host", headers.get("host", "")).partition(":")[0],
            method=handler.command,
            path=parts.path,
            query=query_of(parts.query),
            headers=headers,
            body=_json(sent),
        )
        rules = vendor_of(request)
        problems = [*problems_of(request, self.person)]
        text = f"{parts.query} {sent.decode('utf-8', 'replace')}"
        if not problems and any(digest in text for digest in self.person.useless_hashes()):
            problems.append("the hash is that of a phone number that is not in E.164 form")
        status = 400 if problems else 200 if rules is None else rules.status
        self.asked.append(
            JudgedRequest(request, "" if rules is None else rules.name, tuple(problems), status)
        )
        answer = {"error": problems} if problems else {} if rules is None else rules.answer
        body = json.dumps(answer).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)


def _json(sent: bytes) -> Any:  # noqa: ANN401  # any JSON
    try:
        return json.loads(sent) if sent else None
    except ValueError:
        return None
