"""Wire the alerts: the monitor that runs each minute, the alert store, and the webhook."""

import asyncio
from pathlib import Path
from typing import Final

from twite.config.settings import Settings
from twite.domain.times import SECOND
from twite.gateway.alerts.monitor import EventListener, Monitor
from twite.gateway.alerts.notifier import Notifier
from twite.gateway.delivery.sweeper import BalanceCheck
from twite.gateway.ingest.accept import X_SOURCE
from twite.gateway.ports.events import Observer
from twite.gateway.ports.machine import Clock, Randomness
from twite.gateway.ports.store import Store
from twite.machine.disk import SystemDisk
from twite.senders.http import HttpTransport

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
        self._lookout = Monitor(
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
        self._transport = HttpTransport(timeout=WEBHOOK_TIMEOUT, connections=2)
        self._notifier = Notifier(
            register=self._lookout.register,
            webhook=settings.alerts.webhook,
            transport=self._transport,
            clock=clock,
            randomness=randomness,
            observer=observer,
            gateway=settings.known_as,
        )
        self._lookout.told = self._notifier.wake
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Run the monitor once, and then each minute."""
        await self._transport.start()
        await self._lookout.start()
        self._tasks = [
            asyncio.create_task(self._lookout.run()),
            asyncio.create_task(self._notifier.run()),
        ]

    async def stop(self) -> None:
        """Check the balance a last time. Undelivered messages are sent after the next start."""
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
