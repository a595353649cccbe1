"""`GET /v1/rejections`: what was refused at intake, with code, path, masked value and reason."""

from collections.abc import Mapping
from typing import Final

import msgspec

from twite.domain.fault import CODES, Fault, MaskedFault
from twite.domain.rejection import KEPT_FOR, Rejection, RejectionQuery
from twite.domain.times import moment, spelled
from twite.gateway.ports.store import Clock, Records
from twite.http.authorization import Requester
from twite.http.responses import HttpRefusal, HttpResponse, error

# So many are told in one answer, the latest.
MOST_TOLD: Final = 1_000


class RejectionView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One rejected conversion. `at` is RFC 3339 in UTC; `index` its place in the request.

    `event` and `conversion_id` are what it came with, masked where they are what is wrong;
    `errors` are those of the answer, each with the `value` that stood there, masked. `pixel`,
    `event` and `conversion_id` are "" where it had none.
    """

    at: str
    source: str
    pixel: str
    door: str
    receipt: str
    index: int
    event: str
    conversion_id: str
    errors: tuple[MaskedFault, ...]


class RejectionList(msgspec.Struct, frozen=True, kw_only=True):
    """The latest first. `more` is whether there are others that were asked for, too."""

    rejections: tuple[RejectionView, ...]
    more: bool


class RejectionsRoute:
    """Answers a source about what it sent, and a program about the pixels of its key."""

    def __init__(self, *, records: Records, clock: Clock) -> None:
        self._records = records
        self._clock = clock

    async def answer(self, asker: Requester, asked: Mapping[str, str]) -> HttpResponse:
        """Raises Refused (400) for a moment or a code that is none."""
        now = self._clock.now()
        wanted = RejectionQuery(
            since=max(now - KEPT_FOR, _since(asked.get("since"), now)),
            code=_code(asked.get("code")),
            name=asked.get("conversion_id"),
            source=asker.source,
            # A source is told all that it sent, also where it named no pixel.
            pixels=None if asker.source else asker.pixels,
            limit=MOST_TOLD + 1,
        )
        found = await self._records.rejections(wanted)
        told = RejectionList(
            rejections=tuple(map(told_rejection, found[:MOST_TOLD])), more=len(found) > MOST_TOLD
        )
        return HttpResponse(status=200, body=_ENCODER.encode(told))


def told_rejection(one: Rejection) -> RejectionView:
    """Return it as it is told."""
    return RejectionView(
        at=spelled(one.at),
        source=one.source,
        pixel=one.pixel,
        door=one.door,
        receipt=one.receipt,
        index=one.index,
        event=one.event,
        conversion_id=one.conversion_id,
        errors=one.faults,
    )


def _since(text: str | None, now: int) -> int:
    if text is None:
        return 0
    # A "+" in a query is a space, where whoever wrote it has not spelled it out.
    read = moment(text.replace(" ", "+"), now=now, path="since")
    if isinstance(read, Fault):
        raise HttpRefusal(error(400, "since", read.message, path="since"))
    return read


def _code(text: str | None) -> str | None:
    if text is not None and text not in CODES:
        raise HttpRefusal(error(400, "code", path="code"))
    return text


_ENCODER: Final = msgspec.json.Encoder()
