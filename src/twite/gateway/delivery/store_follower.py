"""Several gateways on one store: find out soon what another gateway or a command has written."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from twite.domain.errors import TransientError
from twite.gateway.delivery.pending_tests import PendingTests
from twite.gateway.delivery.worker import Worker
from twite.gateway.ports.events import Observer, ProblemPlace, ProblemSeen
from twite.gateway.ports.machine import Clock, wait_for_event
from twite.gateway.ports.ownership import SHARE_OUT_EVERY, Ownership

Listener = Callable[[], Awaitable[None]]


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class StoreFollower:
    """Wakes idle workers of this gateway, and calls listeners when records have changed.

    `workers` are those of this gateway, by pixel. Each listener is called when the version of its
    kind in `News.versions` has changed, and once after the start.
    """

    ownership: Ownership
    workers: Mapping[str, Worker]
    pending_tests: PendingTests
    listeners: Mapping[str, Listener]
    clock: Clock
    observer: Observer
    _seen: dict[str, int] = field(init=False, default_factory=dict)

    async def run(self, stopping: asyncio.Event) -> None:
        """Follow the store until told to stop."""
        while not stopping.is_set():
            try:
                await self.once()
                rest = self.ownership.next_news
            except TransientError:
                rest = SHARE_OUT_EVERY  # the renewal of the lease reports the error
            except Exception as fault:  # noqa: BLE001  a failure must not end the loop
                self.observer.see(ProblemSeen.of(ProblemPlace.OUTBOX, fault))
                rest = SHARE_OUT_EVERY
            await wait_for_event(stopping, self.clock, most=rest)

    async def once(self) -> None:
        """Read the changes, and report them. A listener that failed is called again next time."""
        idle = {
            pixel: worker.skipped_events()
            for pixel, worker in self.workers.items()
            if worker.is_idle
        }
        sleeping = self.pending_tests.sleeping()
        news = await self.ownership.news(dict.fromkeys(sleeping, frozenset[str]()) | idle)
        if news.ready & sleeping:
            self.pending_tests.look()
        for pixel in news.ready & idle.keys() & self.workers.keys():
            self.workers[pixel].wake_for_other()
        for kind, listener in self.listeners.items():
            version = news.versions.get(kind, 0)
            if self._seen.get(kind) != version:
                await listener()
                self._seen[kind] = version
