"""`GET /v1/overlap`: the deduplication report, which compares X's pixel and the gateway."""

import re
from typing import Final

import msgspec

from twite.domain.stats.sightings import MOST_DAYS, MOST_PAIRS, TwoIds
from twite.gateway.operations.dedup_report import DEFAULT_DAYS, first_moment, ways_by
from twite.gateway.ports.queries import DedupQuery, IdPairsQuery
from twite.http.authorization import Requester
from twite.http.responses import HttpRefusal, HttpResponse, error
from twite.http.route import HttpRequest

_NUMBER: Final = re.compile(r"[0-9]{1,3}", re.ASCII)


async def answer(request: HttpRequest, caller: Requester) -> HttpResponse:
    """Answer about the visible pixels. Raises HttpRefusal (400) if `days` is out of range."""
    services, days = request.services, request.query().get("days")
    number = DEFAULT_DAYS if days is None else _days(days)
    since = first_moment(services.clock.now(), number)
    found = [
        row
        for row in await services.sightings.answer(DedupQuery(since=since))
        if caller.sees(row.pixel)
    ]
    pairs: list[TwoIds] = []
    if any(row.two_ids for row in found):
        pairs += await services.sightings.answer(IdPairsQuery(since=since, limit=MOST_PAIRS))
    report = ways_by(
        found,
        services.destinations,
        since=since,
        pairs=[pair for pair in pairs if caller.sees(pair.pixel)],
    )
    return HttpResponse(status=200, body=_ENCODER.encode(report))


def _days(text: str) -> int:
    number = int(text) if _NUMBER.fullmatch(text) else 0
    if not 1 <= number <= MOST_DAYS:
        raise HttpRefusal(_WRONG_DAYS)
    return number


_WRONG_DAYS: Final = error(
    400, "days", f"days must be a whole number from 1 to {MOST_DAYS}", path="days"
)
_ENCODER: Final = msgspec.json.Encoder()
