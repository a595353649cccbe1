"""The deduplication report: conversions of the page and of servers, by id."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from starlette.responses import Response

from twite.console.page import NavigationGroup, PageLocation, PageRequest, PageRoute
from twite.console.scope import EventNames
from twite.domain.destination import Destination
from twite.domain.stats.sightings import ADVICE, MOST_PAIRS, DedupReport, TwoIds, total
from twite.domain.times import MINUTE
from twite.gateway.operations.dedup_report import DEFAULT_DAYS, day_of, first_moment
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.queries import DedupQuery, IdPairsQuery, Queries

PATH: Final = "/console/twins"
# To count takes seconds on a full store: what was counted is shown, and counted anew when old.
_OLD_AFTER: Final = 5 * MINUTE
_WORTH_WAITING: Final = 0.05
_TONES: Final = {
    "both": "ok",
    "pixel_only": "warn",
    "server_only": "wait",
    "blocked": "none",
    "page_and_server": "ok",
    "two_ids": "bad",
    "late": "bad",
}
# These three are apart; the others are of them.
_APART: Final = ("both", "pixel_only", "server_only")


class DedupReportPage:
    """The overlap of pixel and server, as it was counted last."""

    def __init__(
        self, *, destinations: Mapping[str, Destination], sightings: Queries, clock: Clock
    ) -> None:
        self._destinations = destinations
        self._sightings = sightings
        self._clock = clock
        self._name = EventNames(destinations)
        self._counting: asyncio.Task[None] | None = None
        self._counted: tuple[int, Sequence[DedupReport], Sequence[TwoIds]] | None = None

    @property
    def routes(self) -> Sequence[PageRoute]:
        return (
            PageRoute(
                "GET",
                PATH,
                self._show,
                place=PageLocation("Deduplication report", NavigationGroup.LOOK),
            ),
        )

    async def _show(self, visit: PageRequest) -> Response:
        await self._look_again(visit.now)
        counted_at, found, pairs = self._counted or (None, (), ())
        seen = [counts for counts in found if visit.viewer.sees(counts.pixel)]
        whole = total(seen)
        rows = [
            (
                pixel,
                self._name(pixel, event) or event,
                total(
                    [counts for counts in seen if (counts.pixel, counts.event) == (pixel, event)]
                ),
            )
            for pixel, event in sorted({(counts.pixel, counts.event) for counts in seen})
        ]
        return visit.page(
            "dedup_report.html",
            title="Deduplication report",
            whole=whole,
            parts_=[(_said(name), getattr(whole, name), _TONES[name]) for name in _APART],
            spoken=", ".join(f"{getattr(whole, name)} {_said(name)}" for name in _APART),
            counts=[(_said(name), getattr(whole, name), ADVICE[name], _TONES[name])
                    for name in ADVICE],
            rows=rows,
            pairs=[
                (pair.at, self._name(pair.pixel, pair.event) or pair.event, pair)
                for pair in pairs
                if visit.viewer.sees(pair.pixel)
            ],
            names=[(name, _said(name)) for name in ADVICE],
            since=day_of(first_moment(visit.now, DEFAULT_DAYS) // (24 * 60 * MINUTE)),
            counted_at=counted_at,
            any=bool(seen),
        )  # fmt: skip

    async def _look_again(self, now: int) -> None:
        """Count anew where it is time to, and wait for it where that is quick."""
        fresh = self._counted is not None and now - self._counted[0] < _OLD_AFTER
        if not fresh and self._counting is None:
            self._counting = asyncio.create_task(self._count(now))
        if self._counting is not None:
            await asyncio.wait([self._counting], timeout=_WORTH_WAITING)

    async def _count(self, now: int) -> None:
        try:
            since = first_moment(now, DEFAULT_DAYS)
            overlaps = tuple(await self._sightings.answer(DedupQuery(since=since)))
            pairs: Sequence[TwoIds] = ()
            if any(overlap.two_ids for overlap in overlaps):
                pairs = await self._sightings.answer(IdPairsQuery(since=since, limit=MOST_PAIRS))
            self._counted = now, overlaps, pairs
        finally:
            self._counting = None


def _said(name: str) -> str:
    return name.replace("_", " ")
