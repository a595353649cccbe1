"""Settings → what watches a gateway: the look of each minute, alerts, and the webhook."""

import asyncio
from pathlib import Path
from typing import Final

from twite.assembly.settings import Settings
from twite.domain.times import SECOND
from twite.gateway.accept import X_SOURCE
from twite.gateway.audit import Audit
from twite.gateway.lookout import Ears, Lookout
from twite.gateway.notices import Observer
from twite.gateway.ports import Chance, Clock
from twite.gateway.tell import Teller
from twite.machine.disk import SystemDisk
from twite.senders.http import HttpTransport
from twite.stores.sqlite import SQLiteStore

# The longest a message may take.
WEBHOOK_TIMEOUT: Final = 10 * SECOND


class Watching:
    """Watches a store and what sends from it, from `start` to `stop`."""

    def __init__(
        self,
        settings: Settings,
        *,
        store: SQLiteStore,
        ears: Ears,
        clock: Clock,
        chance: Chance,
        observer: Observer,
    ) -> None:
        self._audit = Audit(records=store, observer=observer)
        self._lookout = Lookout(
            ears=ears,
            audit=self._audit,
            outlook=store,
            alarms=store,
            outbox=store,
            disk=disk_of(settings.store.path),
            clock=clock,
            observer=observer,
            destinations=settings.destinations(),
            sources=(*(source.name for source in settings.sources()), X_SOURCE),
            thresholds=settings.alerts.thresholds,
            new_id=chance.receipt,
        )
        self._transport = HttpTransport(timeout=WEBHOOK_TIMEOUT, connections=2)
        self._teller = Teller(
            register=self._lookout.register,
            webhook=settings.alerts.webhook,
            transport=self._transport,
            clock=clock,
            chance=chance,
            observer=observer,
            gateway=settings.known_as,
        )
        self._lookout.told = self._teller.wake
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Look once, and go on looking."""
        await self._transport.start()
        await self._lookout.start()
        self._tasks = [
            asyncio.create_task(self._lookout.run()),
            asyncio.create_task(self._teller.run()),
        ]

    async def stop(self) -> None:
        """Look at the balance a last time. What is not told yet is told after the next start."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._tasks = []
        await self._transport.stop()
        await self._audit.once()


def disk_of(path: Path) -> SystemDisk:
    """Return the disk of a store, with its files."""
    return SystemDisk(
        path.resolve().parent, {"database": path, "log": path.with_name(f"{path.name}-wal")}
    )
