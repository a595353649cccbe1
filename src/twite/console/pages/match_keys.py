"""Match keys: the key coverage of accounts, and of a pixel by day, event and source."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import msgspec
from starlette.responses import Response

from twite.console.account_health import list_filters, listing_path
from twite.console.page import NavigationGroup, PageLocation, PageRequest, PageRoute
from twite.console.row_pages import account_of, matching, overview_path, row_page, typed_name
from twite.console.scope import EventNames
from twite.console.table_view import table_view
from twite.console.time_chart import (
    ChartKind,
    ChartSeries,
    ChartStep,
    TimeChart,
    Unit,
    time_chart,
)
from twite.console.time_range import minute_of
from twite.domain.destination import Destination
from twite.domain.stats.match_keys import FLAWS, FlawCount, Matched, Matching, added
from twite.domain.test_mode import is_test
from twite.domain.times import DAY
from twite.gateway.ports.listing import QueryScope
from twite.gateway.ports.queries import FlawsQuery, MatchByPixelQuery, MatchQuery, Queries

PATH: Final = "/console/match-keys"
DAYS: Final = (7, 30, 90)
MOST_FLAWS: Final = 20
_SORTS: Final[Mapping[str, Callable[["CoverageRow"], Any]]] = {
    "account": lambda row: row.name,
    "conversions": lambda row: row.matching.conversions,
    "coverage": lambda row: row.coverage,
    "two-or-more": lambda row: row.matching.share,
}


class CoverageRow(msgspec.Struct, frozen=True, kw_only=True):
    """The match keys of an account, an event, or a source.

    `path` leads to its own figures, and `conversions_path` to its conversions; "" if no list has
    exactly these. The shares are text: which keys a conversion has is counted, not stored.
    """

    name: str
    pixels: Sequence[str]
    matching: Matching
    path: str = ""
    conversions_path: str = ""

    @property
    def coverage(self) -> float:
        return (
            self.matching.covered / self.matching.conversions if self.matching.conversions else 0.0
        )


class FlawShare(msgspec.Struct, frozen=True, kw_only=True):
    """A flaw of match keys, its frequency, and the gain from fixing it.

    `gain` is the share of conversions, from 0 to 1, that would gain a second key. `path` lists the
    conversions, or the rejections if all were rejected; "" if they named no pixel.
    """

    code: str
    event: str
    means: str
    fix: str
    times: int
    shape: str
    delivery: int | None
    path: str
    gain: float


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class MatchKeysPage:
    """The identifiers of conversions, by account or of one pixel."""

    destinations: Mapping[str, Destination]
    queries: Queries
    names: EventNames

    @property
    def routes(self) -> Sequence[PageRoute]:
        location = PageLocation("Match keys", NavigationGroup.QUALITY)
        return (PageRoute("GET", PATH, self._show, location=location),)

    async def _show(self, request: PageRequest) -> Response:
        days = request.query.number("days")
        days = days if days in DAYS else DAYS[0]
        pixels = request.viewer.of(self.destinations)
        pixel = request.query.first("pixel") or (pixels[0] if len(pixels) == 1 else "")
        if pixel:
            return await self._show_pixel(request, pixel, days)
        return await self._show_accounts(request, days)

    async def _show_accounts(self, request: PageRequest, days: int) -> Response:
        since, viewer = request.now // DAY - days + 1, request.viewer
        account, typed = request.query.first("account"), typed_name(request)
        by_pixel = {
            pixel: keys
            for pixel, keys in (await self.queries.answer(MatchByPixelQuery(since=since))).items()
            if viewer.sees(pixel)
            and not is_test(pixel)
            and (not account or account_of(self.destinations, pixel) == account)
        }
        grouped: dict[str, list[str]] = {}
        for pixel in by_pixel:
            name = pixel if account else account_of(self.destinations, pixel)
            grouped.setdefault(name, []).append(pixel)
        rows = [
            CoverageRow(
                name=name,
                pixels=own,
                matching=added(by_pixel[pixel] for pixel in own),
                path=overview_path(PATH, name, own, days=str(days)),
                conversions_path=_listing(request, name, own, since),
            )
            for name, own in grouped.items()
        ]
        view = table_view(
            request,
            filters=(
                ("account", "Account", account),
                ("q", "Name", typed),
                ("days", "Days", "" if days == DAYS[0] else str(days)),
            ),
            sorts=_SORTS,
            sort="two-or-more",
        )
        found = view.sorted(matching(rows, typed), _SORTS)
        unnamed = await self.queries.answer(
            FlawsQuery(scope=QueryScope(pixels=viewer.pixels, pixel=""), since=since)
        )
        return request.page(
            "quality/match_keys.html",
            title=f"Match keys of account {account}" if account else "Match keys",
            pixel="",
            account=account,
            view=view,
            page=row_page(request, view, found),
            typed_name=typed,
            whole=added(row.matching for row in found),
            whole_path="",
            flaws=_flaws(unnamed, self.names, whole=0, when=""),
            days=days,
            spans=self._spans(request),
        )

    async def _show_pixel(self, request: PageRequest, pixel: str, days: int) -> Response:
        since = request.now // DAY - days + 1
        scope = QueryScope(pixels=request.viewer.pixels, pixel=pixel)
        found = await self.queries.answer(MatchQuery(scope=scope, since=since))
        flaws = await self.queries.answer(FlawsQuery(scope=scope, since=since))
        whole = added(matched.matching for matched in found)
        when = _when(request.zone, since * DAY)
        return request.page(
            "quality/match_keys.html",
            title=f"Match keys of pixel {pixel}",
            pixel=pixel,
            account="",
            whole=whole,
            whole_path=listing_path("matchable", pixel=pixel, when=when),
            chart=_chart(request, found, pixel=pixel, days=range(since, since + days)),
            events=[
                CoverageRow(
                    name=self.names(pixel, event) or event,
                    pixels=[pixel],
                    matching=keys,
                    conversions_path=listing_path(
                        "matchable", pixel=pixel, when=f"{urlencode({'event': event})}&{when}"
                    ),
                )
                for event, keys in _grouped(found, lambda matched: matched.event)
            ],
            sources=[
                CoverageRow(
                    name=source,
                    pixels=[pixel],
                    matching=keys,
                    conversions_path=listing_path(
                        "matchable", pixel=pixel, source=source, when=when
                    ),
                )
                for source, keys in _grouped(found, lambda matched: matched.source)
            ],
            flaws=_flaws(flaws, self.names, whole=whole.conversions, when=when),
            days=days,
            spans=self._spans(request),
        )

    def _spans(self, request: PageRequest) -> list[tuple[int, str]]:
        """Return the choices of days, with their URLs."""
        asked = {name: request.query.first(name) for name in ("pixel", "account", "q")}
        kept = {name: value for name, value in asked.items() if value}
        return [(days, f"{PATH}?{urlencode(kept | {'days': days})}") for days in DAYS]


def _listing(request: PageRequest, account: str, pixels: Sequence[str], since: int) -> str:
    """Return the conversions of pixels since a day; "" without a pixel."""
    filters = list_filters(account, pixels)
    if filters is None:
        return ""
    return listing_path("matchable", **filters, when=_when(request.zone, since * DAY))


def _when(zone: ZoneInfo, since: int, until: int | None = None) -> str:
    """Return the part of a URL that limits conversions to a time."""
    typed = {"from": minute_of(since, zone)}
    typed |= {} if until is None else {"to": minute_of(until, zone)}
    return urlencode(typed, safe=":")


def _grouped(
    found: Iterable[Matched], name_of: Callable[[Matched], str]
) -> list[tuple[str, Matching]]:
    """Return the keys by name, the most conversions first."""
    groups: dict[str, list[Matching]] = {}
    for matched in found:
        groups.setdefault(name_of(matched), []).append(matched.matching)
    rows = [(name, added(some)) for name, some in groups.items()]
    return sorted(rows, key=lambda row: -row[1].conversions)


def _chart(request: PageRequest, found: Sequence[Matched], *, pixel: str, days: range) -> TimeChart:
    by_day: dict[int, list[Matching]] = {}
    for matched in found:
        by_day.setdefault(matched.day, []).append(matched.matching)
    steps = []
    for day in days:
        keys, at = added(by_day.get(day, ())), day * DAY
        shares = (keys.covered, keys.two) if keys.conversions else (None, None)
        steps.append(
            ChartStep(
                at=at,
                until=at + DAY,
                values=tuple(
                    None if count is None else count / keys.conversions for count in shares
                ),
                url=listing_path("matchable", pixel=pixel, when=_when(request.zone, at, at + DAY)),
            )
        )
    return time_chart(
        steps,
        series=[ChartSeries("at least one key", "ok"), ChartSeries("two or more", "wait")],
        kind=ChartKind.LINES,
        unit=Unit.SHARE,
        zone=request.zone,
    )


def _flawed_path(flaw: FlawCount, named: str, when: str) -> str:
    """Return the list of a flaw's conversions, or of rejections with its code.

    Rejections are stored with the event as it was `named`. Those without a pixel have no list: it
    would have those of all pixels.
    """
    is_rejected = flaw.delivery is None
    state = "rejected" if is_rejected else "flawed"
    fields = {"event": named if is_rejected else flaw.event, "reason": flaw.code}
    typed = urlencode({name: value for name, value in fields.items() if value})
    return listing_path(state, pixel=flaw.pixel, when=f"{typed}&{when}") if flaw.pixel else ""


def _flaws(
    counts: Sequence[FlawCount], names: EventNames, *, whole: int, when: str
) -> list[FlawShare]:
    """Sum flaws by event and code; the most useful to fix come first."""
    grouped: dict[tuple[str, str], list[FlawCount]] = {}
    for count in counts:
        grouped.setdefault((count.event, count.code), []).append(count)
    made = []
    for (event, code), some in grouped.items():
        means, fix = FLAWS.get(code, (code, ""))
        named = names(some[0].pixel, event) or event
        example = next((flaw for flaw in some if flaw.delivery is not None), some[0])
        made.append(
            FlawShare(
                code=code,
                event=named or "rejected or unknown",
                means=means,
                fix=fix,
                times=sum(flaw.times for flaw in some),
                shape=next((flaw.shape for flaw in some if flaw.shape), ""),
                delivery=example.delivery,
                path=_flawed_path(example, named, when),
                gain=sum(flaw.wins for flaw in some) / whole if whole else 0.0,
            )
        )
    return sorted(made, key=lambda row: (-row.gain, -row.times))[:MOST_FLAWS]
