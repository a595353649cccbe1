"""Wire the alerts (monitor, alert store, webhook) and the value guards."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from twite.app.http_clients import OnDemandTransport
from twite.app.store_access import open_records
from twite.config.settings import Settings
from twite.domain.alert import Alert
from twite.domain.errors import LedgerUnavailable, SettingsError
from twite.domain.stats.value_guard import UsualAmount
from twite.domain.times import SECOND
from twite.gateway.alerts.monitor import EventListener, Monitor
from twite.gateway.alerts.notifier import Notifier, post, trial
from twite.gateway.delivery.sweeper import BalanceCheck
from twite.gateway.ingest.accept import X_SOURCE
from twite.gateway.ingest.value_guard import ValueGuards
from twite.gateway.ports.events import Observer
from twite.gateway.ports.machine import Clock, Randomness
from twite.gateway.ports.state import StateStore
from twite.gateway.ports.store import Store
from twite.gateway.ports.transport import NoResponse, Response
from twite.machine.system import SystemClock, SystemDisk, SystemRandomness

# the longest a message may take
WEBHOOK_TIMEOUT: Final = 10 * SECOND


class Monitoring:
    """Monitors a store and its senders, from `start` to `stop`."""

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
        self._audit = BalanceCheck(records=store, observer=observer)
        self._monitor = Monitor(
            listener=listener,
            audit=self._audit,
            monitoring_store=store,
            state=store,
            disk=disk_of(settings.store.path),
            clock=clock,
            observer=observer,
            destinations=settings.destinations(),
            sources=(*(source.name for source in settings.sources()), X_SOURCE),
            thresholds=settings.alerts.thresholds,
            new_id=randomness.receipt,
        )
        self._transport = OnDemandTransport(timeout=WEBHOOK_TIMEOUT, connections=2)
        self._notifier = Notifier(
            register=self._monitor.register,
            webhook=settings.alerts.webhook,
            transport=self._transport,
            clock=clock,
            randomness=randomness,
            observer=observer,
            gateway=settings.known_as,
        )
        self._monitor.on_change = self._notifier.wake
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Run the monitor now, and then every minute."""
        await self._monitor.start()
        self._tasks = [
            asyncio.create_task(self._monitor.run()),
            asyncio.create_task(self._notifier.run()),
        ]

    async def stop(self) -> None:
        """Stop, after a final check of the balance.

        Undelivered messages are sent after the next start.
        """
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._tasks = []
        await self._transport.stop()
        await self._audit.once()


def disk_of(path: Path) -> SystemDisk:
    """Return the disk monitor of a store's files."""
    return SystemDisk(
        path.resolve().parent, {"database": path, "log": path.with_name(f"{path.name}-wal")}
    )


async def read_alerts(settings: Settings) -> list[Alert]:
    """Return the open alerts, and resolved ones that the webhook has not received yet.

    Raises StoreUnusable.
    """
    async with open_records(settings) as records:
        return list(await records.load(Alert))


async def send_trial(settings: Settings) -> Response | NoResponse:
    """Send a test message to the webhook and return the response.

    Raises SettingsError if there is no webhook.
    """
    webhook = settings.alerts.webhook
    if webhook is None:
        raise SettingsError(
            place="alerts.webhook",
            message="is missing or cannot be read. Write webhook = "
            '"https://…" or "env:NAME" under [alerts]',
        )
    clock, transport = SystemClock(), OnDemandTransport(timeout=WEBHOOK_TIMEOUT, connections=1)
    message = trial(id_=SystemRandomness().receipt(), now=clock.now(), gateway=settings.known_as)
    try:
        return await post(webhook, message, transport=transport, clock=clock)
    finally:
        await transport.stop()


class ValueGuardSetup:
    """Value guards with their stored norms, and the task that saves updated norms."""

    def __init__(self, guards: ValueGuards, state: StateStore, clock: Clock) -> None:
        self.guards = guards
        self._state = state
        self._task = asyncio.create_task(guards.run(state, clock))

    @classmethod
    async def begin(cls, settings: Settings, *, state: StateStore, clock: Clock) -> Self:
        """Load the norms, and start the task."""
        guards = ValueGuards(
            sources={source.name: source.value_guard for source in settings.sources()},
            pixels={
                destination.pixel: destination.value_guard
                for destination in settings.destinations()
            },
            norms=await state.load(UsualAmount),
        )
        return cls(guards, state, clock)

    async def stop(self) -> None:
        """Store the latest norms."""
        self._task.cancel()
        await asyncio.wait([self._task])
        with suppress(LedgerUnavailable):
            await self.guards.keep(self._state)
