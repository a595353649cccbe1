"""The first page: accounts by health, open alerts, traffic and delivery times.

A viewer of one pixel sees that pixel's overview instead of accounts.
"""

from asyncio import gather
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response

from twite.console.account_health import (
    NO_PIXEL,
    REFUSED_URGENT,
    REFUSED_WARNS,
    AccountHealth,
    CountedRow,
    Health,
    PixelFigures,
    added_flows,
    health_of,
    listing_path,
)
from twite.console.delivery_times import DeliveryTimesReader
from twite.console.overview_charts import (
    QUANTILES,
    SPANS,
    TimeSpan,
    latency_chart,
    traffic_chart,
)
from twite.console.page import NavigationGroup, PageLocation, PageRequest, PageRoute
from twite.console.render import number
from twite.console.row_pages import account_of, matching, overview_path, row_page, typed_name
from twite.console.scope import ENDS, known_names, scope_of
from twite.console.table_view import table_view
from twite.console.time_chart import TimeChart
from twite.console.time_range import minute_of, named
from twite.console.visible_alerts import ShownCause, alerts_path, shown_causes, visible
from twite.domain.alert import Alert
from twite.domain.destination import Destination
from twite.domain.history import ConversionCounts, total
from twite.domain.pause import Pause
from twite.domain.stats.backlog import BacklogHour, Forecast
from twite.domain.stats.tally import FlowCounts, quantile, together
from twite.domain.test_mode import is_test
from twite.domain.times import HOUR, MINUTE
from twite.gateway.alerts.alert_store import read_replies
from twite.gateway.alerts.forecast import LOOK_BACK, forecasts
from twite.gateway.ports.listing import QueryScope
from twite.gateway.ports.queries import (
    CountedSinceQuery,
    DeliveredQuery,
    FlowsByPixelQuery,
    FlowsQuery,
    Queries,
    WaitsQuery,
)
from twite.gateway.ports.state import StateReader

PATH: Final = "/console"
# The most accounts without traffic that are listed, folded. The filter finds the others.
MOST_IDLE: Final = 100
MOST_CAUSES: Final = 5
# By column: how to sort by it. The default is by health, the worst first.
_SORTS: Final[Mapping[str, Callable[[AccountHealth], Any]]] = {
    "account": lambda account: account.name,
    "conversions": lambda account: account.flow_today.conversions,
    "delivered": lambda account: account.flow_today.delivered,
    "refused": lambda account: account.refused,
    "held": lambda account: account.held,
    "pending": lambda account: account.pending,
}


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class HomePage:
    destinations: Mapping[str, Destination]
    queries: Queries
    state: StateReader
    delivery_times: DeliveryTimesReader = field(init=False)

    def __post_init__(self) -> None:
        self.delivery_times = DeliveryTimesReader(self.queries)

    @property
    def routes(self) -> Sequence[PageRoute]:
        location = PageLocation("Home", NavigationGroup.CONVERSIONS)
        return (PageRoute("GET", PATH, self._show, location=location),)

    async def _show(self, request: PageRequest) -> Response:
        scope, by_pixel = self._scope(request)
        chosen = request.query.first("span", "day")
        span = next((listed for listed in SPANS if listed.name == chosen), SPANS[1])
        # Reads begin together: each wait for the store's thread costs more than most of them.
        counted, causes, today, (backlog, paused, expected), (since, rate), charts = await gather(
            self._counts(scope),
            self._causes(request, scope),
            self.queries.answer(FlowsByPixelQuery(span=HOUR, since=_since_midnight(request))),
            self._backlog(scope, request.now),
            gather(
                self.queries.answer(CountedSinceQuery(scope=scope)), self._rate(scope, request.now)
            ),
            self._charts(request, scope, span),
        )
        counts = [each for each in counted if is_test(each.source) == is_test(scope.pixel or "")]
        # Lists have tests, too, unless they are left out.
        when = "test=without" if len(counts) < len(counted) else ""
        accounts = self._accounts(
            request, scope, counts, causes, traffic=today, backlog=backlog, by_pixel=by_pixel
        )
        traffic, latency, slots = charts
        rows = _rows(request, accounts, known_names(request, self.destinations))
        # The notice of the view says which pixel or account does not exist, or is hidden.
        is_unknown = bool(_asked(request) and rows["view"].problems and not accounts)
        whole, pixels = total(counts), sorted({each.pixel for each in counts if each.pixel})
        pixel = scope.pixel or (pixels[0] if len(pixels) == 1 else "")
        return request.page(
            "home.html",
            title=_title(request),
            causes=causes[:MOST_CAUSES],
            further_causes=max(0, len(causes) - MOST_CAUSES),
            alerts_path=alerts_path(_asked(request)),
            whole=whole,
            ends=[
                (name, getattr(whole, name), tone, _all_path(request, scope, name, pixel, when))
                for name, tone in ENDS
            ],
            balance=[(name, getattr(whole, name), tone) for name, tone in ENDS],
            spoken=", ".join(f"{number(getattr(whole, name))} {name}" for name, _ in ENDS),
            all_path=_all_path(request, scope, "", pixel, when),
            copies_path=_all_path(request, scope, "duplicate", pixel, when),
            dead_path=_all_path(request, scope, "dead", pixel, when),
            held_path=_all_path(request, scope, "held", pixel, when),
            pending_path=_all_path(request, scope, "pending", pixel, when),
            problems_path=_problems_path(request),
            since=since,
            by_pixel=by_pixel,
            view_pixel=pixel if by_pixel and pixel in request.viewer.of(self.destinations) else "",
            view_account="" if is_unknown else request.query.first("account"),
            is_alone=by_pixel and len(accounts) <= 1,
            sources=_source_rows(counts) if len(pixels) == 1 and len(counts) > 1 else [],
            listing_path=listing_path,
            traffic=traffic,
            latency=latency,
            span=span,
            spans=[(listed, _span_path(request, listed)) for listed in SPANS],
            rate=rate,
            quantiles=[(round(part * 100), quantile(slots, part)) for part in QUANTILES],
            paused=paused,
            expected=[forecast for forecast in expected if forecast.pending],
            thresholds=(REFUSED_WARNS, REFUSED_URGENT),
            is_unknown=is_unknown,
            **rows,
        )

    def _scope(self, request: PageRequest) -> tuple[QueryScope, bool]:
        """Return what the page is about, and whether its rows are pixels instead of accounts."""
        scope = msgspec.structs.replace(scope_of(request, self.destinations), source=None)
        is_chosen = bool(scope.pixel or request.query.first("account"))
        return scope, is_chosen or len(request.viewer.of(self.destinations)) <= 1

    def _accounts(
        self,
        request: PageRequest,
        scope: QueryScope,
        counts: Sequence[ConversionCounts],
        causes: Sequence[ShownCause],
        *,
        traffic: Mapping[str, FlowCounts],
        backlog: Sequence[BacklogHour],
        by_pixel: bool,
    ) -> list[AccountHealth]:
        since = _since_midnight(request)
        typed = {"from": minute_of(since, request.zone)}
        when = "when=today" if since == _midnight(request) else urlencode(typed, safe=":")
        oldest: dict[str, int] = {}
        for hour in backlog:
            oldest[hour.pixel] = min(oldest.get(hour.pixel, hour.oldest), hour.oldest)
        by_counts: dict[str, list[ConversionCounts]] = {}
        for each in counts:
            by_counts.setdefault(each.pixel, []).append(each)
        names = {*self.destinations, *by_counts, *traffic}
        figures = [
            _figures(pixel, traffic, by_counts.get(pixel, ()), oldest.get(pixel))
            for pixel in sorted(names)
            if scope.shows(pixel) and is_test(pixel) == is_test(scope.pixel or "")
        ]
        return health_of(
            figures,
            causes,
            now=request.now,
            name_of=(lambda pixel: pixel or NO_PIXEL) if by_pixel else self._account_of,
            path_of=_account_path,
            when=when,
        )

    def _account_of(self, pixel: str) -> str:
        return account_of(self.destinations, pixel) or NO_PIXEL

    async def _counts(self, scope: QueryScope) -> list[ConversionCounts]:
        return [
            each
            for each in await self.queries.balance()
            if scope.shows(each.pixel) and scope.source in (None, each.source)
        ]

    async def _causes(self, request: PageRequest, scope: QueryScope) -> list[ShownCause]:
        found, replies = await gather(self.state.load(Alert), read_replies(self.state))
        alerts = [alert for alert in visible(found, scope.seen) if alert.resolved_at is None]
        return shown_causes(
            alerts,
            replies,
            pixels=self.destinations.keys(),
            now=request.now,
            filters=_asked(request),
        )

    async def _rate(self, scope: QueryScope, now: int) -> float:
        """Return recent conversions that X accepted, by minute."""
        since = now // MINUTE * MINUTE - 5 * MINUTE
        flows = await self.queries.answer(FlowsQuery(scope=scope, span=MINUTE, since=since))
        return sum(flow.delivered for flow in flows) / max(1, (now - since) / MINUTE)

    async def _charts(
        self, request: PageRequest, scope: QueryScope, span: TimeSpan
    ) -> tuple[TimeChart, TimeChart, Mapping[int, int]]:
        """Return the charts of traffic and delivery times, and all delivery times by slot."""
        since = request.now // span.each * span.each - span.length + span.each
        flows, waits = await gather(
            self.queries.answer(FlowsQuery(scope=scope, span=span.counted, since=since)),
            self.delivery_times.read(
                WaitsQuery(scope=scope, span=span.counted, since=since), now=request.now
            ),
        )
        steps = range(since, request.now + 1, span.each)
        return (
            traffic_chart(request, scope, flows, steps),
            latency_chart(request, scope, waits, steps),
            together(waits),
        )

    async def _backlog(
        self, scope: QueryScope, now: int
    ) -> tuple[Sequence[BacklogHour], list[str], list[Forecast]]:
        backlog, delivered, pauses = await gather(
            self.queries.backlog(),
            self.queries.answer(DeliveredQuery(since=now - LOOK_BACK)),
            self.state.load(Pause),
        )
        paused = [pause.pixel for pause in pauses if not pause.event]
        expected = forecasts(
            [each for each in self.destinations.values() if scope.shows(each.pixel)],
            [hour for hour in backlog if scope.shows(hour.pixel)],
            delivered,
            now=now,
            paused=paused,
        )
        return backlog, paused, expected


def _midnight(request: PageRequest) -> int:
    return named("today", zone=request.zone, now=request.now).since or 0


def _since_midnight(request: PageRequest) -> int:
    """Return since when today is counted: a full hour of UTC, unlike some zones' midnight."""
    return _midnight(request) // HOUR * HOUR


def _figures(
    pixel: str,
    traffic: Mapping[str, FlowCounts],
    counts: Sequence[ConversionCounts],
    oldest: int | None,
) -> PixelFigures:
    whole = total(counts)
    return PixelFigures(
        pixel=pixel,
        flow_today=traffic.get(pixel, FlowCounts(at=0)),
        pending=whole.pending,
        held=whole.held,
        dead=whole.dead,
        oldest=oldest,
    )


def _source_rows(counts: Sequence[ConversionCounts]) -> list[CountedRow]:
    return [CountedRow(counts=each, in_source=each.source, in_pixel=each.pixel) for each in counts]


def _title(request: PageRequest) -> str:
    pixel, account = request.query.first("pixel"), request.query.first("account")
    if pixel:
        return f"Pixel {pixel}"
    return f"Account {account}" if account else "Home"


def _rows(
    request: PageRequest, accounts: Sequence[AccountHealth], known: Mapping[str, Collection[str]]
) -> dict[str, Any]:
    """Return the values for the table: the rows of one page, and accounts without traffic."""
    typed = typed_name(request)
    found = matching(accounts, typed)
    view = table_view(
        request,
        filters=(
            ("pixel", "Pixel", request.query.first("pixel")),
            ("account", "Account", request.query.first("account")),
            ("q", "Name", typed),
            ("span", "Time range of the charts", ""),
        ),
        known={**known, "span": [span.name for span in SPANS]},
        sorts=_SORTS,
        place="page",
    )
    active = [account for account in found if account.health is not Health.IDLE]
    if view.sort:
        active = view.sorted(active, _SORTS)
    idle = [account for account in found if account.health is Health.IDLE]
    return {
        "view": view,
        "typed_name": typed,
        "page": row_page(request, view, active),
        "idle": idle[:MOST_IDLE],
        "idle_accounts": len(idle),
        "all_accounts": len(accounts),
        "in_total": _in_total(request, found) if len(active) > 1 else None,
    }


def _in_total(request: PageRequest, accounts: Sequence[AccountHealth]) -> AccountHealth:
    """Return the sum of the accounts. No list has exactly those that a name finds."""
    account = request.query.first("account")
    return AccountHealth(
        name="Total",
        path="",
        filters=None if typed_name(request) else {"account": account},
        figures=[figures for each in accounts for figures in each.figures],
        flow_today=added_flows(each.flow_today for each in accounts),
        reasons=(),
        when=accounts[0].when,
    )


def _all_path(request: PageRequest, scope: QueryScope, name: str, pixel: str, when: str) -> str:
    """Return the list behind a count of all conversions. `when` is as in `listing_path`."""
    if not pixel:
        return listing_path(name, account=request.query.first("account"), when=when)
    return listing_path(name, pixel=pixel if scope.seen is not None else "", when=when)


def _problems_path(request: PageRequest) -> str:
    asked = urlencode(_asked(request))
    return "/console/problems" + (f"?{asked}" if asked else "")


def _asked(request: PageRequest) -> dict[str, str]:
    """Return the pixel and the account that the page is about."""
    asked = {name: request.query.first(name) for name in ("pixel", "account")}
    return {name: value for name, value in asked.items() if value}


def _account_path(name: str, pixels: Sequence[str]) -> str:
    return "" if pixels == [""] else overview_path(PATH, name, pixels)


def _span_path(request: PageRequest, span: TimeSpan) -> str:
    return f"{PATH}?{urlencode(_asked(request) | {'span': span.name})}"
