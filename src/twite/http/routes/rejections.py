"""`GET /v1/rejections`: conversions refused at intake, with code, path, masked value and reason."""

from typing import Final

import msgspec

from twite.domain.fault import CODES, Fault, MaskedFault
from twite.domain.rejection import KEPT_FOR, Rejection, RejectionQuery
from twite.domain.times import moment, spelled
from twite.gateway.ports.queries import RejectionsQuery
from twite.http.authorization import Requester
from twite.http.responses import HttpRefusal, HttpResponse, error
from twite.http.route import HttpRequest

# how many rejections one response lists, the latest first
MOST_TOLD: Final = 1_000


class RejectionView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One rejected conversion. `at` is RFC 3339 in UTC; `index` its place in the request.

    `event` and `conversion_id` are the submitted values, masked if they are at fault; `errors` are
    those of the response, each with the masked `value`. `pixel`, `event` and `conversion_id` are ""
    if absent.
    """

    at: str
    source: str
    pixel: str
    endpoint: str = msgspec.field(name="door")
    receipt: str
    index: int
    event: str
    conversion_id: str
    errors: tuple[MaskedFault, ...]


class RejectionList(msgspec.Struct, frozen=True, kw_only=True):
    """The latest first. `more` says whether further ones match the query."""

    rejections: tuple[RejectionView, ...]
    more: bool


async def answer(request: HttpRequest, caller: Requester) -> HttpResponse:
    """Answer a source about its own requests, and an API key about its pixels.

    Raises HttpRefusal (400) for an invalid time or code.
    """
    now, asked = request.services.clock.now(), request.query()
    wanted = RejectionQuery(
        since=max(now - KEPT_FOR, _since(asked.get("since"), now)),
        code=_code(asked.get("code")),
        name=asked.get("conversion_id"),
        source=caller.source,
        # A source sees all its rejections, also those that named no pixel.
        pixels=None if caller.source else caller.pixels,
        limit=MOST_TOLD + 1,
    )
    found = await request.services.records.answer(RejectionsQuery(wanted=wanted))
    listed = RejectionList(
        rejections=tuple(map(told_rejection, found[:MOST_TOLD])), more=len(found) > MOST_TOLD
    )
    return HttpResponse(status=200, body=_ENCODER.encode(listed))


def told_rejection(rejection: Rejection) -> RejectionView:
    """Return a rejection as the API shows it."""
    return RejectionView(
        at=spelled(rejection.at),
        source=rejection.source,
        pixel=rejection.pixel,
        endpoint=rejection.endpoint,
        receipt=rejection.receipt,
        index=rejection.index,
        event=rejection.event,
        conversion_id=rejection.conversion_id,
        errors=rejection.faults,
    )


def _since(text: str | None, now: int) -> int:
    if text is None:
        return 0
    # In a query, an unescaped "+" is a space.
    read = moment(text.replace(" ", "+"), now=now, path="since")
    if isinstance(read, Fault):
        raise HttpRefusal(error(400, "since", read.message, path="since"))
    return read


def _code(text: str | None) -> str | None:
    if text is not None and text not in CODES:
        raise HttpRefusal(error(400, "code", path="code"))
    return text


_ENCODER: Final = msgspec.json.Encoder()
