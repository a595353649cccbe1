"""Wire the alerts (monitor, alert store, webhook) and the value guards."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, Self

from twite.app.http_clients import OnDemandTransport
from twite.app.store_access import StateOnDemand, open_records
from twite.config.settings import Settings
from twite.domain.alert import Alert, AlertKind, AlertReplies
from twite.domain.destination import X_SOURCE, Destination
from twite.domain.errors import LedgerUnavailable, SettingsError
from twite.domain.pause import Pause
from twite.domain.stats.value_guard import UsualAmount
from twite.domain.times import SECOND
from twite.gateway.alerts.alert_store import read_replies
from twite.gateway.alerts.checks import STORE
from twite.gateway.alerts.monitor import EVERY, EventListener, Monitor
from twite.gateway.alerts.notifier import Notifier, post, trial
from twite.gateway.delivery.sweeper import BalanceCheck
from twite.gateway.ingest.value_guard import ValueGuards
from twite.gateway.ports.events import (
    ConditionChanged,
    MonitorStopped,
    Observer,
    ProblemPlace,
    ProblemSeen,
)
from twite.gateway.ports.machine import Clock, Randomness
from twite.gateway.ports.ownership import LEASE_IS_OVER, Ownership
from twite.gateway.ports.state import R, StateStore
from twite.gateway.ports.store import Store
from twite.gateway.ports.transport import NoResponse, Response
from twite.machine.system import SystemClock, SystemDisk, SystemRandomness

# the maximum duration of a message
WEBHOOK_TIMEOUT: Final = 10 * SECOND
# How soon a gateway notices that it is the leader, and the leader notices a pause by another
# gateway.
_LOOK_FOR_THE_LEAD: Final = 2 * SECOND
_Names = Collection[str]
_Watched = tuple[Sequence[Destination], _Names, _Names, _Names, _Names]


class Monitoring:
    """Monitors a store and its senders, from `start` to `stop`.

    If several gateways share the store, only their leader monitors it. The leader also follows the
    pauses that the others set; they report to it the conditions that only they can see.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        store: Store,
        listener: EventListener,
        clock: Clock,
        randomness: Randomness,
        observer: Observer,
    ) -> None:
        self._settings = settings
        self._store = store
        self._listener = listener
        self._clock = clock
        self._randomness = randomness
        self._observer = observer
        self._transport = OnDemandTransport(timeout=WEBHOOK_TIMEOUT, connections=2)
        self._monitor: Monitor | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._leading: list[asyncio.Task[None]] = []
        self._counts_due = 0

    async def start(self) -> None:
        """Run the monitor now, and then every minute."""
        if self._store.ownership is None:
            await self._begin()
        else:
            self._leading = [asyncio.create_task(self._lead(self._store.ownership))]

    def use(self, settings: Settings) -> None:
        """Monitor the pixels and sources of reloaded settings."""
        self._settings = settings
        if self._monitor is not None:
            self._monitor.watch(*_watched(settings), exports=_exports(settings))

    async def stop(self) -> None:
        """Stop, after a final check of the balance.

        Undelivered messages are sent after the next start.
        """
        await _ended(self._leading)
        await _ended(self._tasks)
        await self._transport.stop()
        await BalanceCheck(records=self._store, observer=self._observer).once()

    async def _lead(self, ownership: Ownership) -> None:
        """Monitor the store while this gateway is the leader."""
        while True:
            ownership.report(self._listener.conditions())
            if not ownership.is_leader:
                if self._tasks:
                    await _ended(self._tasks)
                    self._observer.see(MonitorStopped())
                await self._store_webhook_counts()
            elif not self._tasks:
                # Another gateway may have changed the alerts, so they are loaded again.
                await self._begin()
            else:
                self._listener.follow_gateways(ownership.reported(), name=ownership.name)
                with suppress(LedgerUnavailable):  # the workers report the failure
                    self._listener.follow(await self._store.load(Pause))
            await self._clock.sleep(_LOOK_FOR_THE_LEAD)

    async def _store_webhook_counts(self) -> None:
        """Store this gateway's deliveries, once a minute, so that the leader sees them."""
        now = self._clock.now()
        if self._settings.webhooks and now >= self._counts_due:
            self._counts_due = now + EVERY
            with suppress(LedgerUnavailable):  # they are stored later
                await self._listener.webhook_counts.store(self._store, now=now)

    async def _begin(self) -> None:
        settings = self._settings
        ownership = self._store.ownership
        state: StateStore = self._store
        if ownership is not None:
            state = _LeadersState(self._store, ownership)
            self._listener.follow_gateways(ownership.reported(), name=ownership.name)
        destinations, sources, *others = _watched(settings)
        monitor = self._monitor = Monitor(
            listener=self._listener,
            queries=self._store,
            state=state,
            # A database server's disk cannot be measured: see store.size_limit.
            disk=None if settings.store.url.server else disk_of(settings.store.path),
            clock=self._clock,
            observer=self._observer,
            destinations=destinations,
            sources=sources,
            thresholds=settings.alerts.thresholds,
            new_id=self._randomness.receipt,
        )
        monitor.watch(destinations, sources, *others, exports=_exports(settings))
        notifier = Notifier(
            alert_store=monitor.register,
            webhook=settings.alerts.webhook,
            transport=self._transport,
            clock=self._clock,
            randomness=self._randomness,
            observer=self._observer,
            gateway=settings.known_as,
        )
        monitor.on_change = notifier.wake
        await monitor.start()
        self._tasks += [asyncio.create_task(monitor.run()), asyncio.create_task(notifier.run())]


def _watched(settings: Settings) -> _Watched:
    """Return the pixels, sources, webhooks, syncs and value rules to monitor."""
    sources = (*(source.name for source in settings.sources()), X_SOURCE)
    webhooks = [webhook.name for webhook in settings.webhooks]
    rules = [rule.name for rule in settings.value_rules]
    syncs = [sync.name for sync in settings.syncs]
    return settings.destinations(), sources, webhooks, syncs, rules


def _exports(settings: Settings) -> Sequence[str]:
    return [export.name for export in settings.exports]


class _LeadersState(StateOnDemand):
    """Implements StateStore for the leader.

    It refuses to write if the lease has expired, because another gateway may be the leader now.
    """

    def __init__(self, store: StateStore, ownership: Ownership) -> None:
        @asynccontextmanager
        async def checked() -> AsyncIterator[StateStore]:
            if not ownership.may_send():
                raise LedgerUnavailable(reason=LEASE_IS_OVER, retry_after=SECOND)
            yield store

        super().__init__(checked)
        self._store = store

    async def load(self, kind: type[R], *, prefix: str = "") -> Sequence[R]:
        return await self._store.load(kind, prefix=prefix)


async def _ended(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel tasks, wait for their end, and forget them."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
    tasks.clear()


def report_opened(store: Store, observer: Observer) -> None:
    """Report the problems found when the store was opened, and open the alerts about them."""
    alerts = {AlertKind.STORE_RESTORED: store.notices, AlertKind.WEAK_DURABILITY: store.weak}
    for kind, sentences in alerts.items():
        for sentence in sentences:
            observer.see(ProblemSeen(where=ProblemPlace.STORE, reason=sentence))
        if sentences:
            observer.see(ConditionChanged(kind=kind, subject=STORE, reason="; ".join(sentences)))


def disk_of(path: Path) -> SystemDisk:
    """Return the disk monitor of a store's files."""
    return SystemDisk(
        path.resolve().parent, {"database": path, "log": path.with_name(f"{path.name}-wal")}
    )


async def read_alerts(settings: Settings) -> tuple[list[Alert], AlertReplies]:
    """Return the open alerts and the latest resolved ones, and what users replied to them.

    Raises StoreUnusable.
    """
    async with open_records(settings) as records:
        return list(await records.load(Alert)), await read_replies(records)


async def send_trial(settings: Settings) -> Response | NoResponse:
    """Send a test message to the webhook and return the response.

    Raises SettingsError if there is no webhook.
    """
    webhook = settings.alerts.webhook
    if webhook is None:
        raise SettingsError(
            "alerts.webhook",
            'is missing or cannot be read. Set webhook = "https://…" or "env:NAME" under [alerts]',
        )
    clock, transport = SystemClock(), OnDemandTransport(timeout=WEBHOOK_TIMEOUT, connections=1)
    message = trial(id_=SystemRandomness().receipt(), now=clock.now(), gateway=settings.known_as)
    try:
        return await post(webhook, message, transport=transport, clock=clock)
    finally:
        await transport.stop()


class ValueGuardSetup:
    """Value guards with the stored usual amounts, and the task that saves updated ones."""

    def __init__(self, guards: ValueGuards, state: StateStore, clock: Clock) -> None:
        self.guards = guards
        self._state = state
        self._task = asyncio.create_task(guards.run(state, clock))

    @classmethod
    async def begin(cls, settings: Settings, *, state: StateStore, clock: Clock) -> Self:
        """Load the usual amounts, and start the task."""
        guards = ValueGuards(
            sources={source.name: source.value_guard for source in settings.sources()},
            pixels={
                destination.pixel: destination.value_guard
                for destination in settings.destinations()
            },
            usual_amounts=await state.load(UsualAmount),
        )
        return cls(guards, state, clock)

    async def stop(self) -> None:
        """Store the latest usual amounts."""
        self._task.cancel()
        await asyncio.wait([self._task])
        with suppress(LedgerUnavailable):
            await self.guards.keep(self._state)
