"""Match keys: what X can match by, event by event, and what spoils the rest."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from starlette.responses import Response

from twite.console.page import NavigationGroup, PageLocation, PageRequest, PageRoute
from twite.console.scope import EventNames, day_of, scope_of
from twite.domain.destination import Destination
from twite.domain.stats.match_keys import FLAWS, FlawCount, Matched, Matching, added
from twite.domain.times import DAY
from twite.gateway.ports.queries import FlawsQuery, MatchQuery, Queries

PATH: Final = "/console/match-keys"
DAYS: Final = (7, 30, 90)


class DayQuality(msgspec.Struct, frozen=True, kw_only=True):
    """A point of the trend."""

    day: str
    share: float
    conversions: int


class FlawShare(msgspec.Struct, frozen=True, kw_only=True):
    """What spoils match keys, how often, and what would be won without it.

    `gain` is how many more of all conversions would have two keys, from 0 to 1: those whose second
    is spoilt so.
    """

    code: str
    means: str
    cure: str
    times: int
    shape: str
    delivery: int | None
    gain: float


class EventQuality(msgspec.Struct, frozen=True, kw_only=True):
    """An event with its keys, its trend and its flaws."""

    pixel: str
    event: str
    name: str
    keys: Matching
    trend: tuple[DayQuality, ...]
    flaws: tuple[FlawShare, ...]


class MatchQualityPage:
    """Which keys conversions carry."""

    def __init__(self, *, destinations: Mapping[str, Destination], tallies: Queries) -> None:
        self._destinations = destinations
        self._tallies = tallies
        self._name = EventNames(destinations)

    @property
    def routes(self) -> Sequence[PageRoute]:
        return (
            PageRoute(
                "GET", PATH, self._show, place=PageLocation("Match keys", NavigationGroup.LOOK)
            ),
        )

    async def _show(self, visit: PageRequest) -> Response:
        scope = scope_of(visit)
        days = visit.query.number("days")
        days = days if days in DAYS else DAYS[0]
        today = visit.now // DAY
        since = today - days + 1
        found = await self._tallies.answer(MatchQuery(scope=scope, since=since))
        flaws = await self._tallies.answer(FlawsQuery(scope=scope, since=since))
        named = {day: day_of(day) for day in range(since, today + 1)}
        events = self._events(found, flaws, days=named)
        return visit.page(
            "matching.html",
            title="Match keys",
            whole=added(event.keys for event in events),
            events=events,
            nowhere=_flaws([flaw for flaw in flaws if not (events and flaw.event)], whole=0),
            days=days,
            choices=DAYS,
            pixels=visit.viewer.of(self._destinations),
            scope=scope,
        )

    def _events(
        self, found: Sequence[Matched], flaws: Sequence[FlawCount], *, days: Mapping[int, str]
    ) -> list[EventQuality]:
        grouped: dict[tuple[str, str], dict[int, Matching]] = {}
        for day in found:
            grouped.setdefault((day.pixel, day.event), {})[day.day] = day.keys
        made = []
        for (pixel, event), by_day in grouped.items():
            keys = added(by_day.values())
            own = [flaw for flaw in flaws if (flaw.pixel, flaw.event) == (pixel, event)]
            made.append(
                EventQuality(
                    pixel=pixel,
                    event=event,
                    name=self._name(pixel, event),
                    keys=keys,
                    trend=_trend(by_day, days),
                    flaws=tuple(_flaws(own, whole=keys.conversions)),
                )
            )
        return sorted(made, key=lambda row: -row.keys.conversions)


def _trend(by_day: Mapping[int, Matching], days: Mapping[int, str]) -> tuple[DayQuality, ...]:
    return tuple(
        DayQuality(day=name, share=keys.share, conversions=keys.conversions)
        for day, name in days.items()
        for keys in (by_day.get(day, _NONE),)
    )


_NONE: Final = Matching()


def _flaws(counts: Sequence[FlawCount], *, whole: int) -> list[FlawShare]:
    """Add flaws up by their codes; the most worthwhile first."""
    grouped: dict[str, list[FlawCount]] = {}
    for count in counts:
        grouped.setdefault(count.code, []).append(count)
    made = []
    for code, some in grouped.items():
        times = sum(flaw.times for flaw in some)
        means, cure = FLAWS.get(code, (code, ""))
        example = next((flaw for flaw in some if flaw.delivery is not None), some[0])
        made.append(
            FlawShare(
                code=code,
                means=means,
                cure=cure,
                times=times,
                shape=next((flaw.shape for flaw in some if flaw.shape), ""),
                delivery=example.delivery,
                gain=sum(flaw.wins for flaw in some) / whole if whole else 0.0,
            )
        )
    return sorted(made, key=lambda row: (-row.gain, -row.times))
