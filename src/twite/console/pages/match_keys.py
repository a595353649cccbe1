"""Match keys: the key coverage of accounts, and of a pixel by day, event and source."""

from asyncio import gather
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response

from twite.console.account_health import list_filters, listing_path
from twite.console.page import NavigationGroup, PageLocation, PageRequest, PageRoute
from twite.console.row_pages import account_of, matching, overview_path, row_page, typed_name
from twite.console.scope import EventNames, known_names
from twite.console.table_view import table_view
from twite.console.time_chart import (
    ChartKind,
    ChartSeries,
    ChartStep,
    TimeChart,
    Unit,
    time_chart,
)
from twite.console.time_range import span_query
from twite.domain.destination import Destination
from twite.domain.stats.match_keys import FLAWS, FlawCount, Matched, Matching, added
from twite.domain.submission import KEPT_FOR, MOST_KEPT
from twite.domain.test_mode import is_test
from twite.domain.times import DAY
from twite.gateway.ports.listing import NONE, QueryScope
from twite.gateway.ports.queries import (
    FlawsQuery,
    FlowsQuery,
    MatchByPixelQuery,
    MatchQuery,
    Queries,
)

PATH: Final = "/console/match-keys"
DAYS: Final = (7, 30, 90)
_KNOWN_DAYS: Final = {"days": [str(each) for each in DAYS]}
MOST_FLAWS: Final = 20
# The days of which all rejections are kept, today included.
REJECTED_DAYS: Final = KEPT_FOR // DAY
_SORTS: Final[Mapping[str, Callable[["CoverageRow"], Any]]] = {
    "account": lambda row: row.name,
    "conversions": lambda row: row.matching.conversions,
    "coverage": lambda row: row.coverage,
    "two-or-more": lambda row: row.matching.share,
}


class CoverageRow(msgspec.Struct, frozen=True, kw_only=True):
    """The match keys of an account, an event, or a source.

    `path` leads to its own figures, and `conversions_path` to its conversions.
    The shares are text: which keys a conversion has is counted, not stored.
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

    `stored` and `rejected` count conversions, and their paths list exactly these. `latest_path`
    lists the latest rejections instead, if not all are kept. `gain` is the share of conversions,
    from 0 to 1, that would gain a second key.
    """

    code: str
    event: str
    means: str
    fix: str
    stored: int
    stored_path: str
    rejected: int
    rejected_path: str
    latest_path: str
    shape: str
    delivery: int | None
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
            known=known_names(request, self.destinations) | _KNOWN_DAYS,
            sorts=_SORTS,
            sort="two-or-more",
            place="page",
        )
        found = view.sorted(matching(rows, typed), _SORTS)
        unnamed = QueryScope(pixels=viewer.pixels, pixel="")
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
            flaws=await self._flaws(request, unnamed, since=since, whole=0),
            days=days,
            rejected_days=REJECTED_DAYS,
            spans=self._spans(request),
        )

    async def _show_pixel(self, request: PageRequest, pixel: str, days: int) -> Response:
        since = request.now // DAY - days + 1
        scope = QueryScope(pixels=request.viewer.pixels, pixel=pixel)
        found = await self.queries.answer(MatchQuery(scope=scope, since=since))
        whole = added(matched.matching for matched in found)
        when = span_query(since * DAY, None, request.zone)
        return request.page(
            "quality/match_keys.html",
            title=f"Match keys of pixel {pixel}",
            view=table_view(
                request,
                filters=(
                    ("pixel", "Pixel", pixel),
                    ("days", "Days", "" if days == DAYS[0] else str(days)),
                ),
                known=known_names(request, self.destinations) | _KNOWN_DAYS,
                others=("account", "q"),
            ),
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
            flaws=await self._flaws(request, scope, since=since, whole=whole.conversions),
            days=days,
            rejected_days=REJECTED_DAYS,
            spans=self._spans(request),
        )

    async def _flaws(
        self, request: PageRequest, scope: QueryScope, *, since: int, whole: int
    ) -> list[FlawShare]:
        """Return the flaws of a pixel since a day; rejections, however, are not kept as long."""
        kept_since = max(since, request.now // DAY - REJECTED_DAYS + 1)
        stored, kept, flows = await gather(
            self.queries.answer(FlawsQuery(scope=scope, since=since)),
            self.queries.answer(FlawsQuery(scope=scope, since=kept_since)),
            self.queries.answer(FlowsQuery(scope=scope, span=DAY, since=kept_since * DAY)),
        )
        rows = [
            _flaw_share(
                next((each for each in stored if (each.event, each.code) == key), None),
                next((each for each in kept if (each.event, each.code) == key), None),
                pixel=scope.pixel or NONE,
                name=self.names(scope.pixel or "", key[0]),
                whole=whole,
                whens=(
                    span_query(since * DAY, None, request.zone),
                    span_query(kept_since * DAY, None, request.zone),
                ),
                is_whole=sum(flow.rejected for flow in flows) <= MOST_KEPT,
            )
            for key in {(each.event, each.code) for each in (*stored, *kept)}
        ]
        found = [row for row in rows if row.stored or row.rejected]
        found.sort(key=lambda row: (-row.gain, -row.stored - row.rejected, row.code, row.event))
        return found[:MOST_FLAWS]

    def _spans(self, request: PageRequest) -> list[tuple[int, str]]:
        """Return the choices of days, with their URLs."""
        asked = {name: request.query.first(name) for name in ("pixel", "account", "q")}
        kept = {name: value for name, value in asked.items() if value}
        return [(days, f"{PATH}?{urlencode(kept | {'days': days})}") for days in DAYS]


def _listing(request: PageRequest, account: str, pixels: Sequence[str], since: int) -> str:
    """Return the conversions of pixels since a day."""
    when = span_query(since * DAY, None, request.zone)
    return listing_path("matchable", **list_filters(account, pixels), when=when)


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
                url=listing_path(
                    "matchable", pixel=pixel, when=span_query(at, at + DAY, request.zone)
                ),
            )
        )
    return time_chart(
        steps,
        series=[ChartSeries("at least one key", "ok"), ChartSeries("two or more", "wait")],
        kind=ChartKind.LINES,
        unit=Unit.SHARE,
        zone=request.zone,
    )


def _flaw_share(
    stored_count: FlawCount | None,
    kept_count: FlawCount | None,
    *,
    pixel: str,
    name: str,
    whole: int,
    whens: tuple[str, str],
    is_whole: bool,
) -> FlawShare:
    """Return the row of a flaw: of stored conversions, and of the rejected ones that are kept.

    `whens` are the parts of their URLs about time.
    """
    flaw = stored_count or kept_count
    if flaw is None:
        raise ValueError("a flaw that nothing has")
    means, fix = FLAWS.get(flaw.code, (flaw.code, ""))
    typed = urlencode({"event": flaw.event or NONE, "reason": flaw.code})
    stored_path, rejected_path = (
        listing_path(state, pixel=pixel, when=f"{typed}&{when}")
        for state, when in zip(("flawed", "rejected"), whens, strict=True)
    )
    return FlawShare(
        code=flaw.code,
        event=name or flaw.event or "not in the settings",
        means=means,
        fix=fix,
        stored=stored_count.times if stored_count else 0,
        stored_path=stored_path,
        rejected=kept_count.rejected if kept_count else 0,
        rejected_path=rejected_path if is_whole else "",
        latest_path="" if is_whole else rejected_path,
        shape=flaw.shape,
        delivery=flaw.delivery,
        gain=flaw.wins / whole if whole else 0.0,
    )
