"""Match keys, and the deduplication report."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
from starlette.responses import Response

from twite.console.page import NavigationGroup, PageLocation, PageRequest, PageRoute
from twite.console.scope import EventNames, day_of, scope_of
from twite.domain.destination import Destination
from twite.domain.stats.deduplication import ADVICE, DedupReport, TwoIds, total
from twite.domain.stats.match_keys import FLAWS, FlawCount, Matched, Matching, added
from twite.domain.times import DAY, MINUTE
from twite.gateway.operations.dedup_report import DEFAULT_DAYS, first_moment, read_report
from twite.gateway.operations.dedup_report import day_of as date_of
from twite.gateway.ports.queries import FlawsQuery, MatchQuery, Queries

PATH: Final = "/console/match-keys"
DAYS: Final = (7, 30, 90)
_NONE: Final = Matching()
DEDUP_PATH: Final = "/console/deduplication"
# Counting takes seconds in a large store, so the page shows the last result, and counts again if
# the result is older than this.
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
# These three counts are disjoint; the others are subsets of them.
_APART: Final = ("both", "pixel_only", "server_only")


class DayQuality(msgspec.Struct, frozen=True, kw_only=True):
    day: str
    share: float


class FlawShare(msgspec.Struct, frozen=True, kw_only=True):
    """A flaw of match keys, its frequency, and the gain from fixing it.

    `gain` is the share of conversions, from 0 to 1, that would gain a second key.
    """

    code: str
    means: str
    fix: str
    times: int
    shape: str
    delivery: int | None
    gain: float


class EventQuality(msgspec.Struct, frozen=True, kw_only=True):
    """An event with its match keys, their trend and their flaws."""

    pixel: str
    event: str
    name: str
    matching: Matching
    trend: tuple[DayQuality, ...]
    flaws: tuple[FlawShare, ...]


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class MatchQualityPage:
    """The match quality page: the identifiers of conversions."""

    destinations: Mapping[str, Destination]
    queries: Queries
    names: EventNames

    @property
    def routes(self) -> Sequence[PageRoute]:
        place = PageLocation("Match keys", NavigationGroup.QUALITY)
        return (PageRoute("GET", PATH, self._show, location=place),)

    async def _show(self, request: PageRequest) -> Response:
        scope = scope_of(request)
        days = request.query.number("days")
        days = days if days in DAYS else DAYS[0]
        today = request.now // DAY
        since = today - days + 1
        found = await self.queries.answer(MatchQuery(scope=scope, since=since))
        flaws = await self.queries.answer(FlawsQuery(scope=scope, since=since))
        named = {day: day_of(day) for day in range(since, today + 1)}
        events = self._events(found, flaws, days=named)
        return request.page(
            "matching.html",
            title="Match keys",
            whole=added(event.matching for event in events),
            events=events,
            nowhere=_flaws([flaw for flaw in flaws if not (events and flaw.event)], whole=0),
            days=days,
            choices=DAYS,
            pixels=request.viewer.of(self.destinations),
            scope=scope,
        )

    def _events(
        self, found: Sequence[Matched], flaws: Sequence[FlawCount], *, days: Mapping[int, str]
    ) -> list[EventQuality]:
        grouped: dict[tuple[str, str], dict[int, Matching]] = {}
        for day in found:
            grouped.setdefault((day.pixel, day.event), {})[day.day] = day.matching
        made = []
        for (pixel, event), by_day in grouped.items():
            keys = added(by_day.values())
            own = [flaw for flaw in flaws if (flaw.pixel, flaw.event) == (pixel, event)]
            made.append(
                EventQuality(
                    pixel=pixel,
                    event=event,
                    name=self.names(pixel, event),
                    matching=keys,
                    trend=_trend(by_day, days),
                    flaws=tuple(_flaws(own, whole=keys.conversions)),
                )
            )
        return sorted(made, key=lambda row: -row.matching.conversions)


def _trend(by_day: Mapping[int, Matching], days: Mapping[int, str]) -> tuple[DayQuality, ...]:
    return tuple(
        DayQuality(day=name, share=keys.share)
        for day, name in days.items()
        for keys in (by_day.get(day, _NONE),)
    )


def _flaws(counts: Sequence[FlawCount], *, whole: int) -> list[FlawShare]:
    """Sum flaws by code; the most useful to fix come first."""
    grouped: dict[str, list[FlawCount]] = {}
    for count in counts:
        grouped.setdefault(count.code, []).append(count)
    made = []
    for code, some in grouped.items():
        times = sum(flaw.times for flaw in some)
        means, fix = FLAWS.get(code, (code, ""))
        example = next((flaw for flaw in some if flaw.delivery is not None), some[0])
        made.append(
            FlawShare(
                code=code,
                means=means,
                fix=fix,
                times=times,
                shape=next((flaw.shape for flaw in some if flaw.shape), ""),
                delivery=example.delivery,
                gain=sum(flaw.wins for flaw in some) / whole if whole else 0.0,
            )
        )
    return sorted(made, key=lambda row: (-row.gain, -row.times))


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class DedupReportPage:
    """The page of the deduplication report, as of the last count."""

    queries: Queries
    names: EventNames
    _counting: asyncio.Task[None] | None = field(init=False, default=None)
    _counted: tuple[int, Sequence[DedupReport], Sequence[TwoIds]] | None = field(
        init=False, default=None
    )

    @property
    def routes(self) -> Sequence[PageRoute]:
        place = PageLocation("Deduplication report", NavigationGroup.QUALITY)
        return (PageRoute("GET", DEDUP_PATH, self._show, location=place),)

    async def _show(self, request: PageRequest) -> Response:
        await self._look_again(request.now)
        counted_at, found, pairs = self._counted or (None, (), ())
        seen = [counts for counts in found if request.viewer.sees(counts.pixel)]
        whole = total(seen)
        rows = [
            (
                pixel,
                self.names(pixel, event) or event,
                total(
                    [counts for counts in seen if (counts.pixel, counts.event) == (pixel, event)]
                ),
            )
            for pixel, event in sorted({(counts.pixel, counts.event) for counts in seen})
        ]
        return request.page(
            "dedup_report.html",
            title="Deduplication report",
            whole=whole,
            parts_=[(_said(name), getattr(whole, name), _TONES[name]) for name in _APART],
            spoken=", ".join(f"{getattr(whole, name)} {_said(name)}" for name in _APART),
            counts=[(_said(name), getattr(whole, name), ADVICE[name], _TONES[name])
                    for name in ADVICE],
            rows=rows,
            pairs=[
                (pair.at, self.names(pair.pixel, pair.event) or pair.event, pair)
                for pair in pairs
                if request.viewer.sees(pair.pixel)
            ],
            names=[(name, _said(name)) for name in ADVICE],
            since=date_of(first_moment(request.now, DEFAULT_DAYS) // (24 * 60 * MINUTE)),
            counted_at=counted_at,
            any=bool(seen),
        )  # fmt: skip

    async def _look_again(self, now: int) -> None:
        """Start a new count if the last one is old, and wait a moment in case it is quick."""
        fresh = self._counted is not None and now - self._counted[0] < _OLD_AFTER
        if not fresh and self._counting is None:
            self._counting = asyncio.create_task(self._count(now))
        if self._counting is not None:
            await asyncio.wait([self._counting], timeout=_WORTH_WAITING)

    async def _count(self, now: int) -> None:
        try:
            since = first_moment(now, DEFAULT_DAYS)
            self._counted = now, *await read_report(self.queries, since=since)
        finally:
            self._counting = None


def _said(name: str) -> str:
    return name.replace("_", " ")
