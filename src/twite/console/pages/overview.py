"""The overview page: required actions, the balance, traffic and delivery times."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from starlette.responses import Response

from twite.console.charts import columns
from twite.console.page import NavigationGroup, PageLocation, PageRequest, PageRoute
from twite.console.render import number
from twite.console.scope import ENDS, clock_of, day_of, scope_of
from twite.domain.alert import RULES, Alert
from twite.domain.delivery import State
from twite.domain.destination import Destination
from twite.domain.history import ConversionCounts, total
from twite.domain.pause import Pause
from twite.domain.plural import plural
from twite.domain.stats.backlog import Forecast
from twite.domain.stats.tally import QUARTER, DeliveryTimes, FlowCounts, quantile, together
from twite.domain.times import DAY, HOUR, MINUTE
from twite.gateway.alerts.forecast import LOOK_BACK, forecasts
from twite.gateway.ports.listing import QueryScope
from twite.gateway.ports.queries import DeliveredQuery, ErrorGroup, FlowsQuery, Queries, WaitsQuery
from twite.gateway.ports.state import StateReader

PATH: Final = "/console"


class TimeSpan(msgspec.Struct, frozen=True):
    """A time range of the chart, and the time that each bar covers, both in milliseconds."""

    name: str
    title: str
    length: int
    each: int


SPANS: Final = (
    TimeSpan("hour", "Last hour", HOUR, MINUTE),
    TimeSpan("day", "Last 24 hours", DAY, HOUR),
    TimeSpan("week", "Last 7 days", 7 * DAY, QUARTER),
    TimeSpan("month", "Last 30 days", 30 * DAY, DAY),
)


class ActionNeeded(msgspec.Struct, frozen=True, kw_only=True):
    """A problem that needs a user's action."""

    tone: str
    title: str
    sentence: str
    path: str
    since: int | None = None


class BalanceBar(msgspec.Struct, frozen=True, kw_only=True):
    """One bar of the chart, with its text for screen readers."""

    at: int
    name: str
    flow: FlowCounts
    p50: int | None
    p99: int | None


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class OverviewPage:
    destinations: Mapping[str, Destination]
    queries: Queries
    state: StateReader

    @property
    def routes(self) -> Sequence[PageRoute]:
        place = PageLocation("Overview", NavigationGroup.CONVERSIONS)
        return (PageRoute("GET", PATH, self._show, location=place),)

    async def _show(self, request: PageRequest) -> Response:
        scope = scope_of(request)
        chosen = request.query.first("span", "day")
        span = next((listed for listed in SPANS if listed.name == chosen), SPANS[1])
        accounts = [
            account
            for account in await self.queries.balance()
            if scope.shows(account.pixel) and scope.source in (None, account.source)
        ]
        expected = await self._expected(scope, request.now)
        flows, waits = await self._counted(scope, span, request.now)
        slots = together(waits)
        bars = _bars(flows, waits, span, request.now)
        whole = total(accounts)
        return request.page(
            "overview.html",
            title="Overview",
            needs=await self._needs(scope, accounts, expected),
            whole=whole,
            ends=[(name, getattr(whole, name), tone) for name, tone in ENDS],
            accounts=accounts,
            bars=bars,
            chart=columns([_step(bar) for bar in bars]),
            span=span,
            spans=SPANS,
            delivered=sum(flow.delivered for flow in flows),
            received=sum(flow.received for flow in flows),
            rate=await self._rate(scope, request.now),
            p50=quantile(slots, 0.5),
            p99=quantile(slots, 0.99),
            expected=[forecast for forecast in expected if forecast.pending],
            pixels=request.viewer.of(self.destinations),
            scope=scope,
        )

    async def _rate(self, scope: QueryScope, now: int) -> float:
        """Return recent conversions that X accepted, by minute."""
        since = now // MINUTE * MINUTE - 5 * MINUTE
        flows = await self.queries.answer(FlowsQuery(scope=scope, span=MINUTE, since=since))
        return sum(flow.delivered for flow in flows) / max(1, (now - since) / MINUTE)

    async def _counted(
        self, scope: QueryScope, span: TimeSpan, now: int
    ) -> tuple[Sequence[FlowCounts], Sequence[DeliveryTimes]]:
        since = _first(span, now)
        return (
            await self.queries.answer(FlowsQuery(scope=scope, span=span.each, since=since)),
            await self.queries.answer(WaitsQuery(scope=scope, span=span.each, since=since)),
        )

    async def _expected(self, scope: QueryScope, now: int) -> list[Forecast]:
        return forecasts(
            [
                destination
                for destination in self.destinations.values()
                if scope.shows(destination.pixel)
            ],
            [hour for hour in await self.queries.backlog() if scope.shows(hour.pixel)],
            await self.queries.answer(DeliveredQuery(since=now - LOOK_BACK)),
            now=now,
            paused=[pause.pixel for pause in await self.state.load(Pause) if not pause.event],
        )

    async def _needs(
        self, scope: QueryScope, accounts: Sequence[ConversionCounts], expected: Sequence[Forecast]
    ) -> list[ActionNeeded]:
        alerts = [
            raised
            for raised in await self.state.load(Alert)
            if raised.resolved_at is None
            # The kind, not the name, shows what it is about: a source may be named like a pixel.
            and (
                scope.shows(raised.subject)
                if RULES[raised.kind].about_pixel
                else scope.seen is None
            )
        ]
        found = [_of_alert(alert) for alert in alerts]
        residue = total(accounts).balance
        if residue:
            found.append(
                ActionNeeded(
                    tone="bad",
                    title=f"{plural(residue, 'conversion is', 'conversions are')} unaccounted for",
                    sentence="This is an error in Twite. Do not rely on the "
                    "counts until the cause is known.",
                    path=PATH,
                )
            )
        found += [
            ActionNeeded(
                tone="bad",
                title=f"{plural(forecast.misses, 'conversion')} of {forecast.pixel} will be late",
                sentence="At the current rate, these conversions will miss X's 48-hour deadline.",
                path=f"/console/conversions?state=queued&pixel={forecast.pixel}",
            )
            for forecast in expected
            if forecast.misses
        ]
        found += [_of_group(group) for group in await self.queries.group(scope)]
        return sorted(found, key=lambda need: need.tone != "bad")


def _of_alert(alert: Alert) -> ActionNeeded:
    rule = RULES[alert.kind]
    title = f"{rule.title}: {alert.subject}"
    return ActionNeeded(
        tone="bad" if rule.urgent else "warn",
        title=title[:1].upper() + title[1:],
        sentence=alert.reason,
        path="/console/dead" if alert.kind.value in {"dead_letters", "conversions_held"} else "",
        since=alert.opened_at,
    )


def _of_group(error_group: ErrorGroup) -> ActionNeeded:
    dead = error_group.state is State.DEAD
    return ActionNeeded(
        tone="bad" if dead else "warn",
        title=f"{error_group.deliveries} {'refused by X' if dead else 'held'}: {error_group.pixel}",
        sentence=error_group.reason,
        path="/console/dead",
        since=error_group.first_at,
    )


def _first(span: TimeSpan, now: int) -> int:
    """Return the start of the first bar; the last bar is the current time span."""
    return now // span.each * span.each - span.length + span.each


def _bars(
    flows: Sequence[FlowCounts], waits: Sequence[DeliveryTimes], span: TimeSpan, now: int
) -> list[BalanceBar]:
    """Return the counts as bars, including empty ones."""
    by_flow = {flow.at: flow for flow in flows}
    by_waits = {wait.at: wait.slots for wait in waits}
    made = []
    for at in range(_first(span, now), now + 1, span.each):
        took = by_waits.get(at, {})
        made.append(
            BalanceBar(
                at=at,
                name=clock_of(at) if span.each < DAY // 4 else _spelled(at, span),
                flow=by_flow.get(at, FlowCounts(at=at)),
                p50=quantile(took, 0.5),
                p99=quantile(took, 0.99),
            )
        )
    return made


def _step(bar: BalanceBar) -> tuple[str, str, list[tuple[str, int]]]:
    """Return a bar's name, its text for screen readers, and its parts from bottom to top."""
    flow = bar.flow
    idle = flow.duplicate + flow.suppressed
    refused = flow.rejected + flow.dead
    parts = [
        ("ok", flow.delivered),
        ("wait", flow.received - flow.delivered - refused - idle),
        ("bad", refused),
        ("soft", idle),
    ]
    words = (
        f"{bar.name}: {number(flow.received)} received, {number(flow.delivered)} delivered, "
        f"{number(refused)} refused, {number(idle)} duplicate or suppressed"
    )
    return bar.name, words, parts


def _spelled(at: int, span: TimeSpan) -> str:
    day = day_of(at // DAY)
    return day if span.each == DAY else f"{day} {clock_of(at)}"
