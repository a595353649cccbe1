"""Map exceptions to HTTP responses: no exception leaves the application as it is."""

import traceback
from typing import Final

from twite.domain.errors import (
    LedgerFull,
    LedgerUnavailable,
    MalformedRequest,
    NameTaken,
    TemplateRests,
    TemplatesBusy,
)
from twite.gateway.ports.events import Observer, Troubled
from twite.gateway.tags.clients.conversation import ClientFailed
from twite.http.responses import HttpRefusal, HttpResponse, again, error

# Refusals that a repeated request would meet again: the client should drop what it sent.
FOR_GOOD: Final = frozenset({400, 409, 413, 415, 422})


def answer_to(fault: Exception, *, where: str, observer: Observer) -> HttpResponse:
    """Return the response. `where` names the route; unexpected errors go to the observer, once.

    Only kind and place of an unexpected error are reported: its words could hold personal data.
    """
    match fault:
        case HttpRefusal():
            answer = fault.answer
        case MalformedRequest(code=code, message=message, path=path):
            answer = error(413 if code == "too_many" else 400, code, message, path=path)
        case NameTaken():
            answer = error(409, "idempotency_key_reused")
        case LedgerFull(retry_after=seconds):
            answer = again(429, "ledger_full", seconds)
        case LedgerUnavailable(retry_after=seconds):
            answer = again(503, "ledger_unavailable", seconds)
        case TemplateRests(template=name, retry_after=seconds):
            answer = again(503, "template_rests", seconds, of=name)
        case TemplatesBusy(retry_after=seconds):
            answer = again(429, "too_busy", seconds)
        case ClientFailed(late=late):
            answer = error(504, "client_late") if late else error(502, "client_failed")
        case RecursionError() | UnicodeError():
            answer = error(400, "body_unreadable")
        case _:
            answer = _unexpected(fault, where, observer)
    return answer


def _unexpected(fault: Exception, where: str, observer: Observer) -> HttpResponse:
    frames = traceback.extract_tb(fault.__traceback__)
    place = f" in {frames[-1].name}, line {frames[-1].lineno}" if frames else ""
    observer.see(Troubled(where=where, reason=f"{type(fault).__name__}{place}"))
    return error(500, "unexpected")
