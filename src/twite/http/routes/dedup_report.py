"""`GET /v1/overlap`: the deduplication report, which compares X's pixel and the gateway."""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from twite.domain.destination import Destination
from twite.domain.stats.sightings import MOST_DAYS, MOST_PAIRS, TwoIds
from twite.gateway.operations.dedup_report import DEFAULT_DAYS, first_moment, ways_by
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.queries import Sightings
from twite.http.authorization import Requester
from twite.http.responses import HttpRefusal, HttpResponse, error

_NUMBER: Final = re.compile(r"[0-9]{1,3}", re.ASCII)


class DedupReportRoute:
    """Answers a source about the pixels for which it may submit."""

    def __init__(
        self, *, sightings: Sightings, destinations: Mapping[str, Destination], clock: Clock
    ) -> None:
        self._sightings = sightings
        self._destinations = destinations
        self._clock = clock

    async def answer(self, asker: Requester, days: str | None) -> HttpResponse:
        """Raises HttpRefusal (400) if `days` is not a number in range."""
        number = DEFAULT_DAYS if days is None else _days(days)
        since = first_moment(self._clock.now(), number)
        found = [row for row in await self._sightings.overlap(since=since) if asker.sees(row.pixel)]
        pairs: list[TwoIds] = []
        if any(row.two_ids for row in found):
            pairs += await self._sightings.pairs(since=since, limit=MOST_PAIRS)
        told = ways_by(
            found,
            self._destinations,
            since=since,
            pairs=[pair for pair in pairs if asker.sees(pair.pixel)],
        )
        return HttpResponse(status=200, body=_ENCODER.encode(told))


def _days(text: str) -> int:
    number = int(text) if _NUMBER.fullmatch(text) else 0
    if not 1 <= number <= MOST_DAYS:
        raise HttpRefusal(_WRONG_DAYS)
    return number


_WRONG_DAYS: Final = error(
    400, "days", f"days must be a whole number from 1 to {MOST_DAYS}", path="days"
)
_ENCODER: Final = msgspec.json.Encoder()
