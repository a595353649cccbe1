"""Monitor: run the alert checks once a minute and after failures, and open and resolve alerts.

A check must never disturb the gateway: data that cannot be read is left out until the next run.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Final, Protocol

from twite.domain.alert import Alert, AlertKind, AlertPhase, Mute
from twite.domain.delivery import State
from twite.domain.destination import Destination
from twite.domain.errors import TwiteError
from twite.domain.history import ConversionCounts
from twite.domain.pause import Pause
from twite.domain.stats.backlog import Forecast
from twite.domain.stats.traffic import KEPT_HOURS, HourlyTraffic, Silence, noted, silence
from twite.domain.times import MINUTE, SECOND
from twite.gateway.alerts.alert_store import AlertStore, CheckResult
from twite.gateway.alerts.checks import (
    CHECKS,
    RULES_WITHIN,
    STORE,
    CheckContext,
    CheckFacts,
    Thresholds,
    of_clock,
    of_gateways,
    of_pauses,
)
from twite.gateway.alerts.forecast import LOOK_BACK, forecasts
from twite.gateway.alerts.webhook_traffic import EXPORT_RUNS, SYNC_ROWS, WebhookCounts
from twite.gateway.delivery.sweeper import BalanceCheck
from twite.gateway.operations.problem_keys import MUTED, muted_deliveries
from twite.gateway.ports.events import (
    Alerted,
    ConditionChanged,
    GatewayEvent,
    Misdated,
    MonitorChecked,
    Observer,
    Paused,
    ProblemPlace,
    ProblemSeen,
    Resumed,
    WebhookAnswered,
)
from twite.gateway.ports.listing import QueryScope
from twite.gateway.ports.machine import Clock, Disk, DiskSpace, wait_for_event
from twite.gateway.ports.ownership import GatewayCondition
from twite.gateway.ports.queries import DeliveredQuery, FailedRulesQuery, Queries
from twite.gateway.ports.state import RateLimitWindow, StateStore

EVERY: Final = MINUTE
# A failed commit no longer counts after this time.
STORE_FAILED_FOR: Final = 15 * SECOND
# The components that report failed writes.
_WRITERS: Final = frozenset({ProblemPlace.LEDGER, ProblemPlace.OUTBOX, ProblemPlace.SWEEP})
# The kinds of changed conditions that only the process itself can detect.
_OWN: Final = frozenset({AlertKind.TEMPLATE_HUNG})
_IMMEDIATE_EVENTS: Final = frozenset({Paused, Resumed, ProblemSeen, Misdated, ConditionChanged})
# The kinds of alerts that are opened by events, not by checks.
_EVENT_DRIVEN: Final = frozenset(AlertKind).difference(*(row.kinds for row in CHECKS))


class _HoursOf(Protocol):
    """Returns the hours of each webhook or sync."""

    async def __call__(
        self, state: StateStore, *, now: int
    ) -> Mapping[str, list[HourlyTraffic]]: ...


class EventListener:
    """An Observer that records the events that may open an alert."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failed: tuple[int, str] | None = None
        self._offset = 0
        # (pixel, event) → pause; `event` is "" if the pixel itself is paused.
        self.pauses: dict[tuple[str, str], Pause] = {}
        self.warned: dict[tuple[AlertKind, str], ConditionChanged] = {}
        self.changed = asyncio.Event()
        self.webhook_counts = WebhookCounts()
        # What the other gateways on the store report; None if there is no other gateway.
        self._others: Sequence[GatewayCondition] | None = None
        self._name = ""

    def see(self, notice: GatewayEvent) -> None:
        """Record an event that matters for alerts, and wake the monitor."""
        if type(notice) not in _IMMEDIATE_EVENTS:
            # Most events do not matter here: every request causes one.
            if type(notice) is WebhookAnswered:
                self.webhook_counts.add(notice.delivery)
            return
        match notice:
            case Paused(pause=pause):
                self.pauses[pause.pixel, pause.event] = pause
            case Resumed(pixel=pixel, event=event):
                self.pauses.pop((pixel, event), None)
            case ProblemSeen(where=where, reason=reason) if where in _WRITERS:
                self._failed = (self._clock.elapsed(), reason)
            case Misdated(offset=offset):
                self._offset = offset
            case ConditionChanged() as change:
                self.warned[change.kind, change.subject] = change
            case _:
                return
        self.changed.set()

    def follow(self, pauses: Sequence[Pause]) -> None:
        """Replace the pauses with those in the store, to which other gateways write, too."""
        stored = {(pause.pixel, pause.event): pause for pause in pauses}
        if stored != self.pauses:
            self.pauses = stored
            self.changed.set()

    def follow_gateways(self, others: Sequence[GatewayCondition] | None, *, name: str) -> None:
        """Replace the conditions of other gateways; `name` is the name of this gateway."""
        if (others, name) != (self._others, self._name):
            self._others, self._name = others, name
            self.changed.set()

    def conditions(self) -> list[GatewayCondition]:
        """Return the conditions that only this gateway can detect."""
        return [
            GatewayCondition(
                kind=result.kind, subject=result.subject, reason=result.reason, bad=result.bad
            )
            for result in self._own()
            if result.bad is not False
        ]

    def readings(self, pixels: Sequence[str]) -> list[CheckResult]:
        return [
            *of_pauses(pixels, self.pauses),
            *(
                self._own()
                if self._others is None
                else of_gateways(self._own(), self._others, name=self._name)
            ),
            *self._of_changes(is_own=False),
        ]

    def _own(self) -> list[CheckResult]:
        return [self._of_commits(), of_clock(self._offset), *self._of_changes(is_own=True)]

    def _of_changes(self, *, is_own: bool) -> list[CheckResult]:
        return [
            CheckResult(
                kind=change.kind, subject=change.subject, bad=change.holds, reason=change.reason
            )
            for change in self.warned.values()
            if (change.kind in _OWN) == is_own
        ]

    def _of_commits(self) -> CheckResult:
        """Whether a commit failed recently."""
        failed = self._failed
        if failed is None or self._clock.elapsed() - failed[0] > STORE_FAILED_FOR:
            return CheckResult(kind=AlertKind.STORE_FAILING, subject=STORE, bad=False)
        reason = (
            f"A commit failed ({failed[1]}); Twite answers requests with 503 until commits succeed"
        )
        return CheckResult(kind=AlertKind.STORE_FAILING, subject=STORE, bad=True, reason=reason)


class Monitor:
    """The monitor. `register` holds the alerts; `on_change` is called when an alert changes.

    Without `disk`, the free space is not checked.
    """

    def __init__(
        self,
        *,
        listener: EventListener,
        queries: Queries,
        state: StateStore,
        disk: Disk | None,
        clock: Clock,
        observer: Observer,
        destinations: Sequence[Destination],
        sources: Collection[str],
        thresholds: Thresholds,
        new_id: Callable[[], str],
    ) -> None:
        self._listener = listener
        self._balance = BalanceCheck(records=queries, observer=observer)
        self._records = queries
        self._state = state
        self._disk = disk
        self._clock = clock
        self._observer = observer
        self.watch(destinations, sources)
        self._thresholds = thresholds
        self._began = clock.now()
        self._hours: dict[str, list[HourlyTraffic]] | None = None
        self.on_change: Callable[[], None] = lambda: None
        self.register = AlertStore(state=state, clock=clock, new_id=new_id, notify=self._on_alert)

    def watch(
        self,
        destinations: Sequence[Destination],
        sources: Collection[str],
        webhooks: Collection[str] = (),
        syncs: Collection[str] = (),
        rules: Collection[str] = (),
        *,
        exports: Collection[str] = (),
    ) -> None:
        """Check these pixels, sources and named tables of the settings from now on."""
        self._destinations = tuple(destinations)
        self._pixels = tuple(destination.pixel for destination in destinations)
        self._sources, self._webhooks = tuple(sources), tuple(webhooks)
        self._syncs, self._exports = tuple(syncs), tuple(exports)
        self._rules = frozenset(rules)

    async def start(self) -> None:
        """Load the alerts and pauses of the last process, and run all checks."""
        try:
            await self.register.load()
            pauses = await self._state.load(Pause)
        except TwiteError as error:
            self._observer.see(ProblemSeen(where=ProblemPlace.ALERTS, reason=str(error)))
            pauses = ()
        for pause in pauses:
            if pause.pixel in self._pixels:
                self._observer.see(Paused(pause=pause))
        await self._safely(self.look)
        if self.register.unsent():
            self.on_change()

    async def run(self) -> None:
        """Run all checks every minute, and react to events, until cancelled.

        If the store does not respond, a check may wait a minute for it, but events are still
        handled.
        """
        await asyncio.gather(self._look_each_minute(), self._follow_events())

    async def _look_each_minute(self) -> None:
        while True:
            await self._clock.sleep(EVERY)
            await self._safely(self.look)

    async def _follow_events(self) -> None:
        while True:
            await wait_for_event(self._listener.changed, self._clock, most=EVERY)
            await self._safely(self.check_events)

    async def check_events(self) -> None:
        self._listener.changed.clear()
        whole = _EVENT_DRIVEN
        if self._disk is None:
            whole = _EVENT_DRIVEN | {AlertKind.DISK_NEARLY_FULL}
        self.register.take(self._listener.readings(self._pixels), whole=whole)
        await self.register.save()

    async def look(self) -> None:
        now = self._clock.now()
        await self._load_replies()
        accounts = await self._balance.once()
        expected, space = await self._forecasts(now), await self._space()
        rule_failures = rate_limit_windows = None
        with suppress(TwiteError):  # another check reports it
            query = FailedRulesQuery(since=now - RULES_WITHIN)
            rule_failures = await self._records.answer(query) if self._rules else ()
            rate_limit_windows = await self._state.load(RateLimitWindow)
        facts = CheckFacts(
            accounts=accounts,
            forecasts=expected,
            space=space,
            silences=None if accounts is None else await self._silences(accounts, now),
            webhook_silences=await self._silences_of(
                self._webhooks, self._listener.webhook_counts.store, now
            ),
            sync_silences=await self._silences_of(self._syncs, SYNC_ROWS.store, now),
            export_silences=await self._silences_of(self._exports, EXPORT_RUNS.store, now),
            rule_failures=rule_failures,
            rate_limit_windows=rate_limit_windows,
        )
        context = CheckContext(
            now=now,
            pixels=self._pixels,
            sources=self._sources,
            webhooks=self._webhooks,
            syncs=self._syncs,
            exports=self._exports,
            rules=self._rules,
            thresholds=self._thresholds,
            muted=await self._muted(now),
        )
        for row in CHECKS:
            fact = getattr(facts, row.fact)
            if fact is not None:
                self.register.take(row.check(fact, context), whole=row.kinds)
        await self.check_events()
        self._observer.see(
            MonitorChecked(
                at=now,
                alerts=tuple(self.register.alerts()),
                forecasts=None if expected is None else tuple(expected),
                space=space,
            )
        )

    async def _load_replies(self) -> None:
        try:
            await self.register.load_replies()
        except TwiteError as error:
            self._observer.see(ProblemSeen(where=ProblemPlace.ALERTS, reason=str(error)))

    async def _muted(self, now: int) -> dict[tuple[str, State], int]:
        """Return the number of deliveries in muted problems by pixel and state."""
        try:
            mutes = await self._state.load(Mute, prefix=MUTED)
            subjects = {mute.subject for mute in mutes if mute.until > now}
            groups = await self._records.group(QueryScope()) if subjects else ()
            return muted_deliveries(groups, subjects)
        except TwiteError as error:
            self._observer.see(ProblemSeen(where=ProblemPlace.ALERTS, reason=str(error)))
            return {}

    async def _safely(self, act: Callable[[], Awaitable[None]]) -> None:
        try:
            await act()
        except Exception as fault:  # noqa: BLE001  a bug must not end the monitoring
            self._observer.see(ProblemSeen(where=ProblemPlace.ALERTS, reason=type(fault).__name__))

    async def _forecasts(self, now: int) -> list[Forecast] | None:
        try:
            backlog = await self._records.backlog()
            delivered = await self._records.answer(DeliveredQuery(since=now - LOOK_BACK))
        except TwiteError as error:
            self._observer.see(ProblemSeen(where=ProblemPlace.ALERTS, reason=str(error)))
            return None
        paused = [pixel for pixel, event in self._listener.pauses if not event]
        return forecasts(self._destinations, backlog, delivered, now=now, paused=paused)

    async def _space(self) -> DiskSpace | None:
        if self._disk is None:
            return None
        try:
            return await self._disk.space()
        except OSError as error:
            self._observer.see(ProblemSeen(where=ProblemPlace.ALERTS, reason=str(error.strerror)))
            return None

    async def _silences(
        self, accounts: Sequence[ConversionCounts], now: int
    ) -> list[Silence | None] | None:
        """Record the traffic since the last check, and return the silence of each source."""
        received: dict[str, int] = {}
        for account in accounts:
            received[account.source] = received.get(account.source, 0) + account.received
        try:
            hours = await self._known_hours()
            changed = noted({source: some[-1] for source, some in hours.items()}, received, now=now)
            if changed:
                await self._state.put(changed)
        except TwiteError as error:
            self._observer.see(ProblemSeen(where=ProblemPlace.ALERTS, reason=str(error)))
            return None
        for hour in changed:
            some = hours.setdefault(hour.source, [])
            some[:] = [old for old in some if hour.hour - KEPT_HOURS <= old.hour < hour.hour]
            some.append(hour)
        return [
            silence(hours.get(source, ()), now=now, since=self._began) for source in self._sources
        ]

    async def _silences_of(
        self, names: Sequence[str], hours_of: "_HoursOf", now: int
    ) -> list[Silence | None] | None:
        """Return the silence of each name. `hours_of` also stores new deliveries."""
        if not names:
            return []
        try:
            hours = await hours_of(self._state, now=now)
        except TwiteError as error:
            self._observer.see(ProblemSeen(where=ProblemPlace.ALERTS, reason=str(error)))
            return None
        return [silence(hours.get(name, ()), now=now, since=self._began) for name in names]

    async def _known_hours(self) -> dict[str, list[HourlyTraffic]]:
        if self._hours is None:
            known: dict[str, list[HourlyTraffic]] = {}
            for hour in await self._state.load(HourlyTraffic):
                known.setdefault(hour.source, []).append(hour)
            self._hours = known
        return self._hours

    def _on_alert(self, alert: Alert, phase: AlertPhase) -> None:
        self._observer.see(Alerted(alert=alert, phase=phase))
        self.on_change()
