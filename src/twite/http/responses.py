"""HTTP responses, and conversion of exceptions to `{"errors": [{"path", "code", "message"}]}`."""

import traceback
from collections.abc import Iterable
from typing import Final, Protocol

import msgspec
from starlette.types import Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from twite.domain.errors import (
    ClientFailed,
    LedgerUnavailable,
    MalformedRequest,
    NameTaken,
    QueueFull,
    StoreUnusable,
    TemplatePaused,
    TemplatesBusy,
)
from twite.formats.native.answers import ErrorBody, ErrorDetail
from twite.gateway.ports.events import Observer, ProblemSeen

EXTENSION: Final = "twite.connection"
_HEADS: Final = {
    status: STATUS_LINE[status] + b"content-type: application/json\r\ncontent-length: "
    for status in (200, 202, 400, 422)
}
# The error codes for whole requests, besides the codes of Malformed. The reference page lists them;
# a test compares the two.
CODES: Final[dict[str, str]] = {
    "body_unreadable": "the body cannot be read as JSON in UTF-8",
    "body_too_large": "the body is too large",
    "client_failed": "a client template claimed the request, but sent no response",
    "client_late": "the client template that claimed the request did not respond in time",
    "code": "the value is not an error code of conversions",
    "consent_unclear": "the signals contain neither a denial nor a grant",
    "content_type": "the Content-Type is not JSON",
    "conversion_unknown": "there is no conversion with this id, or this source may not see it",
    "days": "the number of days is outside the range of this route",
    "encoding_malformed": "the body does not match its Content-Encoding",
    "encoding_unknown": "unsupported Content-Encoding",
    "filter": "the list has no such filter",
    "format": "the format is neither json nor csv",
    "headers_too_large": "the request's headers are too large",
    "host": "an HTTP/1.1 request has exactly one Host header, which names a host",
    "http_malformed": "the bytes are not an HTTP/1.1 request",
    "idempotency_key": "the Idempotency-Key is empty, too long or not printable ASCII",
    "idempotency_key_reused": "a different request used this Idempotency-Key",
    "key_missing": "the request contains no key",
    "key_scope": "the key does not have the scope of this route",
    "key_wrong": "the key is not in the configuration",
    "ledger_unavailable": "the commit failed; the request was not stored",
    "method": "the route does not support this method",
    "not_ready": "the gateway cannot accept conversions now",
    "origin_missing": "the request has no Origin or Referer",
    "origin_wrong": "pages from this origin may not post to this source",
    "parameter_unknown": "the route has no such query parameter",
    "queue_full": "the write queue is full",
    "route": "the gateway has no route with this path",
    "secret_key_missing": "no secret key, or not the key that encrypted the credentials",
    "since": "not a time, such as 2026-11-24T10:00:00.000Z, today or 2h",
    "source_unclear": "the request names no source, or a source without origins",
    "template_paused": "the client template for this request exceeded a limit and is paused",
    "signature_late": "the signature is genuine, but its time is too far from now",
    "signature_wrong": "no secret of this webhook fits the signature and the body",
    "too_busy": "too many concurrent requests",
    "too_fast": "too many requests from this address, or from pages of this source",
    "too_many_connections": "too many open connections",
    "too_slow": "the request did not arrive in time",
    "unexpected": "internal error; the request was not stored",
    "webhook_unknown": "no [[webhook]] has this name",
}
JSON: Final = (b"content-type", b"application/json")
JSON_ALONE: Final = (JSON,)
AGAIN_SECONDS: Final = 1
_ENCODER: Final = msgspec.json.Encoder()
# When to try again after a failed read. The process usually ends, and is started again.
_UNREADABLE_FOR: Final = 5  # seconds
# A retry would be refused with the same status: the client should drop the request.
FOR_GOOD: Final = frozenset({400, 409, 413, 415, 422})


class Connection(Protocol):
    """uvicorn's object for a connection. `active` is the current request."""

    active: RequestResponseCycle | None


def cycle_of(scope: Scope) -> RequestResponseCycle | None:
    """Return uvicorn's object for the request; None if another server runs the application."""
    extension = scope.get("extensions", {}).get(EXTENSION)
    if extension is None:
        return None
    connection: Connection = extension["connection"]
    return connection.active


def write_whole(cycle: RequestResponseCycle, status: int, body: bytes) -> bool:
    """Send a JSON response.

    Return False without sending if the fast path does not apply. uvicorn processes a response
    message by message and writes it in two parts, which is a quarter of the cost of a small
    request.
    """
    if status not in _HEADS or cycle.flow.write_paused:
        return False
    if cycle.disconnected:
        return True
    transport = cycle.transport
    last = b"" if cycle.keep_alive else b"connection: close\r\n"
    transport.write(head_of(status, len(body), cycle.default_headers, last) + body)
    cycle.response_started = cycle.response_complete = True
    if not cycle.keep_alive:
        transport.close()
    cycle.on_response()
    return True


def head_of(
    status: int, length: int, headers: Iterable[tuple[bytes, bytes]], last: bytes = b""
) -> bytes:
    """Return the head of a JSON response with a body of `length` bytes.

    `headers` are the server's; `last` is one more header line.
    """
    rest = b"".join([b"%b: %b\r\n" % header for header in headers])
    return b"%b%d\r\n%b%b\r\n" % (_HEADS[status], length, rest, last)


class HttpResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A complete response. `headers` follow length and type; `code` is the error code."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = JSON_ALONE
    code: str = ""


class HttpRefusal(Exception):
    """An exception that ends a request; `answer` is the response."""

    def __init__(self, response: HttpResponse) -> None:
        super().__init__(response.status)
        self.answer = response


class ClientGone(Exception):
    """The client closed the connection before its request was complete."""


def error(
    status: int,
    code: str,
    message: str | None = None,
    *,
    path: str = "",
    headers: Iterable[tuple[bytes, bytes]] = (),
) -> HttpResponse:
    """Build a response with one error; the message defaults to the code's meaning."""
    wrong = ErrorDetail(path=path, code=code, message=message or CODES[code])
    return HttpResponse(
        status=status,
        body=_ENCODER.encode(ErrorBody(errors=(wrong,))),
        headers=(JSON, *headers),
        code=code,
    )


def again(status: int, code: str, seconds: int = AGAIN_SECONDS, *, of: str = "") -> HttpResponse:
    """Build a response that asks for a retry after some seconds.

    `of` names what is limited.
    """
    named = f"{of}: " if of else ""
    return error(
        status,
        code,
        f"{named}{CODES[code]}: try again in {seconds} s",
        headers=((b"retry-after", b"%d" % seconds),),
    )


async def send_answer(scope: Scope, send: Send, response: HttpResponse) -> None:
    """Send a response with its Content-Length."""
    cycle = cycle_of(scope)
    body = response.body
    if (
        cycle is not None
        and response.headers is JSON_ALONE
        and scope["method"] != "HEAD"
        and write_whole(cycle, response.status, body)
    ):
        return
    await send(
        {
            "type": "http.response.start",
            "status": response.status,
            "headers": [*response.headers, *_length(response)],
        }
    )
    await send({"type": "http.response.body", "body": body})


def _length(response: HttpResponse) -> tuple[tuple[bytes, bytes], ...]:
    """RFC 9110, 8.6: a response that cannot have a body has no Content-Length."""
    return (
        () if response.status in {204, 304} else ((b"content-length", b"%d" % len(response.body)),)
    )


NO_ROUTE: Final = error(404, "route", "no such route; /v1/openapi.json lists all routes")


def answer_to(fault: Exception, *, where: str, observer: Observer) -> HttpResponse:
    """Return the response to an exception.

    `where` names the route; unexpected errors are reported once to the observer. The report has
    only the type and place of an error, because its text could contain personal data.
    """
    match fault:
        case HttpRefusal():
            answer = fault.answer
        case MalformedRequest(code=code, message=message, path=path):
            answer = error(413 if code == "too_many" else 400, code, message, path=path)
        case NameTaken():
            answer = error(409, "idempotency_key_reused")
        case QueueFull() | LedgerUnavailable() | StoreUnusable():
            answer = _of_store(fault, where, observer)
        case TemplatePaused(template=name, retry_after=seconds):
            answer = again(503, "template_paused", seconds, of=name)
        case TemplatesBusy(retry_after=seconds):
            answer = again(429, "too_busy", seconds)
        case ClientFailed(late=late):
            answer = error(504, "client_late") if late else error(502, "client_failed")
        case RecursionError() | UnicodeError():
            answer = error(400, "body_unreadable")
        case _:
            answer = _unexpected(fault, where, observer)
    return answer


def _of_store(
    fault: QueueFull | LedgerUnavailable | StoreUnusable, where: str, observer: Observer
) -> HttpResponse:
    match fault:
        case QueueFull(retry_after=seconds):
            return again(429, "queue_full", seconds)
        case LedgerUnavailable(retry_after=seconds):
            return again(503, "ledger_unavailable", seconds)
        case StoreUnusable(reason=reason, fix=fix):
            # A read failed: the file is damaged, or the disk does not read it.
            observer.see(ProblemSeen(where=where, reason=f"the store is unusable: {reason}. {fix}"))
            return again(503, "ledger_unavailable", _UNREADABLE_FOR)


def _unexpected(fault: Exception, where: str, observer: Observer) -> HttpResponse:
    frames = traceback.extract_tb(fault.__traceback__)
    place = f" in {frames[-1].name}, line {frames[-1].lineno}" if frames else ""
    observer.see(ProblemSeen(where=where, reason=f"{type(fault).__name__}{place}"))
    return error(500, "unexpected")
