"""`POST /v1/conversions`, `/v1/sgtm`, `/v1/consent`, `GET /v1/source`: with a source key."""

import re
from collections.abc import Awaitable, Callable
from typing import Final, Literal

import msgspec

from twite.domain import fault
from twite.domain.destination import Source
from twite.domain.incoming_request import IncomingRequest
from twite.domain.submission import Endpoint
from twite.domain.times import SECOND
from twite.formats.event_data.conversions import parse_events
from twite.formats.native.answers import ErrorBody, ErrorDetail, NativeReceipt, SourceInfo
from twite.formats.parsed_request import ParsedRequest
from twite.formats.sgtm_tag import read as sgtm
from twite.gateway.ingest.consent_choice import UnusableChoice
from twite.gateway.ingest.receipts import AcceptReceipt
from twite.gateway.ports.tags import EventOrigin
from twite.http.responses import CODES, HttpRefusal, HttpResponse, error
from twite.http.route import HttpRequest, visitor_of

_IDEMPOTENCY_KEY: Final = re.compile(rb"[\x20-\x7e]{1,255}")
_BAD_IDEMPOTENCY_KEY: Final = error(
    400,
    "idempotency_key",
    "Idempotency-Key must have 1 to 255 characters of printable ASCII",
)
_ENCODER: Final = msgspec.json.Encoder()
# No character of a receipt's id needs escaping in JSON, so the id can be inserted as it is.
_TYPICAL: Final = _ENCODER.encode(
    NativeReceipt(receipt="*", accepted=1, duplicates=0, suppressed=0, rejected=())
).split(b"*")
_NO_PIXEL: Final = error(422, "pixel_unknown", fault.CODES["pixel_unknown"], path="pixel")


async def answer(request: HttpRequest, source: Source) -> HttpResponse:
    """Accept the conversions. Raises HttpRefusal (400)."""
    key, keys = request.headers.get(b"idempotency-key"), request.services.keys
    if key is not None and not is_idempotency_key(key):
        raise HttpRefusal(_BAD_IDEMPOTENCY_KEY)
    receipt = await request.services.accept.native(
        source=source,
        body=request.body,
        idempotency_key=None if key is None else keys.without(key).decode("ascii"),
    )
    return receipt_response(receipt)


def is_idempotency_key(key: bytes) -> bool:
    return _IDEMPOTENCY_KEY.fullmatch(key) is not None


def taking(
    endpoint: Endpoint, read: Callable[[HttpRequest, Source], ParsedRequest]
) -> Callable[[HttpRequest, Source], Awaitable[HttpResponse]]:
    """Return a handler for another server format; its responses are those of the native route."""

    async def answer(request: HttpRequest, source: Source) -> HttpResponse:
        found = read(request, source)
        # The address and headers of the request are the server's, not the visitor's.
        seen = IncomingRequest(method=request.method, path=request.path)
        receipt = await request.services.accept.parsed(
            found, source=source, endpoint=endpoint, origin=EventOrigin(request=seen)
        )
        return receipt_response(receipt, ignored=len(found.ignored))

    return answer


def receipt_response(
    receipt: AcceptReceipt, *, ignored: int = 0, status: int | None = None
) -> HttpResponse:
    """Return the response; `ignored` counts events that are not conversions of the source.

    Without a `status`, it says whether anything was taken.
    """
    body = _ENCODER.encode(receipt.as_native(ignored=ignored))
    taken = receipt.accepted or receipt.duplicates or receipt.suppressed or receipt.held or ignored
    return HttpResponse(status=status or (202 if taken else 422), body=body)


def typical_body(receipt: str) -> bytes:
    """Return the body of the response to a request whose only conversion was accepted."""
    return b"%b%b%b" % (_TYPICAL[0], receipt.encode(), _TYPICAL[1])


def read_sgtm(request: HttpRequest, source: Source) -> ParsedRequest:
    """Read the tag's event. Raises HttpRefusal (422) and MalformedRequest."""
    sent = sgtm.read(request.body)
    if sent.pixel is not None and sent.pixel not in source.pixels:
        raise HttpRefusal(_NO_PIXEL)
    return parse_events(
        sent.tagged.events,
        source=source,
        destinations=request.services.destinations,
        # The container authenticates itself, so what it says about its visitor is trusted.
        visitor=visitor_of(request, None),
        repeated=sent.tagged.repeated,
        pixel=sent.pixel,
    )


class ChoiceNoted(msgspec.Struct, frozen=True, kw_only=True):
    """The recorded choice, and how many identifiers of the person it applies to."""

    consent: Literal["granted", "revoked"]
    identifiers: int


async def describe_source(request: HttpRequest, source: Source) -> HttpResponse:
    """Answer with the key's source, and with how long duplicates are detected."""
    info = SourceInfo(source=source.name, dedup_window=request.services.dedup_window // SECOND)
    return HttpResponse(status=200, body=_ENCODER.encode(info))


async def record_choice(request: HttpRequest, source: Source) -> HttpResponse:
    """Record the choice. Raises HttpRefusal, MalformedRequest, LedgerUnavailable."""
    try:
        chosen = await request.services.record_choice.note(source=source, body=request.body)
    except UnusableChoice as unusable:
        raise HttpRefusal(_refusal(unusable)) from None
    noted = ChoiceNoted(
        consent="revoked" if chosen.revoked else "granted", identifiers=chosen.identifiers
    )
    return HttpResponse(status=200, body=_ENCODER.encode(noted))


def _refusal(unusable: UnusableChoice) -> HttpResponse:
    wrong = tuple(
        ErrorDetail(path=fault.path, code=fault.code, message=fault.message)
        for fault in unusable.faults
    ) or (ErrorDetail(path="consent", code="consent_unclear", message=CODES["consent_unclear"]),)
    return HttpResponse(status=422, body=_ENCODER.encode(ErrorBody(errors=wrong)))
