"""Responses to GA4 tags, the Measurement Protocol and Stape's Data Tag."""

from typing import Final
from uuid import UUID

import msgspec

from twite.domain.submission import Endpoint
from twite.domain.times import SECOND
from twite.formats.event_data.conversions import Tagged
from twite.formats.event_data.values import first_text
from twite.formats.native.answers import ErrorBody, ErrorDetail
from twite.formats.parsed_request import Event
from twite.gateway.ingest.accept import AcceptReceipt
from twite.http.responses import JSON, HttpResponse
from twite.http.routes.beacon import GIF

_NEVER_KEPT: Final = (b"cache-control", b"no-store")
_GA4: Final = HttpResponse(
    status=200, body=b"", headers=((b"content-type", b"text/plain"), _NEVER_KEPT)
)
_MEASUREMENT_PROTOCOL: Final = HttpResponse(status=204, body=b"", headers=(_NEVER_KEPT,))
_IMAGE: Final = HttpResponse(
    status=200, body=GIF, headers=((b"content-type", b"image/gif"), _NEVER_KEPT)
)


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """Stape's Data Tag gets this about an event. `timestamp` is in seconds. [seen DC]"""

    timestamp: int
    unique_event_id: str


def told(
    door: Endpoint, receipt: AcceptReceipt, tagged: Tagged, *, method: str, now: int
) -> HttpResponse:
    """Return the response that the tag expects, or 422 if nothing was accepted."""
    taken = receipt.accepted or receipt.duplicates or receipt.suppressed or receipt.held
    if receipt.rejected and not taken:
        return _refused(receipt)
    if door is Endpoint.GA4:
        return _GA4
    if door is Endpoint.MEASUREMENT_PROTOCOL:
        return _MEASUREMENT_PROTOCOL
    if method == "GET":
        return _IMAGE
    names = [_named(event, place, receipt, now) for place, event in enumerate(tagged.events)]
    body = _ENCODER.encode(names if tagged.listed else names[0])
    return HttpResponse(status=200, body=body, headers=(JSON, _NEVER_KEPT))


def _refused(receipt: AcceptReceipt) -> HttpResponse:
    errors = tuple(
        ErrorDetail(path=fault.path, code=fault.code, message=fault.message)
        for refusal in receipt.rejected
        for fault in refusal.errors
    )
    return HttpResponse(status=422, body=_ENCODER.encode(ErrorBody(errors=errors)))


def _named(event: Event, place: int, receipt: AcceptReceipt, now: int) -> Named:
    """Return the event's own id, or one in Stape's form: milliseconds and nine digits."""
    own = first_text(event, ("unique_event_id",))
    digits = (UUID(receipt.receipt).int + place) % 1_000_000_000
    return Named(timestamp=now // SECOND, unique_event_id=own or f"{now}_{digits:09d}")


_ENCODER: Final = msgspec.json.Encoder()
