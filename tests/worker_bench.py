"""The sending half of a gateway, on a memory store, a fake clock and a scripted X."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

from builders import a_destination, a_submission, an_entry
from fakes import (
    MovingClock,
    Reply,
    ScriptedTransport,
    SeededRandomness,
    conversions_of,
)
from memory_store.store import MemoryStore
from twite.domain.destination import Destination
from twite.domain.errors import LedgerUnavailable
from twite.domain.times import MINUTE
from twite.gateway.delivery import sweeper, worker
from twite.gateway.delivery.monotonic_clock import MonotonicClock
from twite.gateway.delivery.runner import DeliveryRunner
from twite.gateway.delivery.worker import WorkerConfig
from twite.gateway.delivery.x_client import XClient
from twite.gateway.ports.events import GatewayEvent
from twite.gateway.ports.queries import ByConversionId


@contextmanager
def rare_looks() -> Iterator[None]:
    """Make workers and the sweeper look for due deliveries every minute, not every 5 seconds.

    For tests in which hours pass: they need a tenth of the CPU.
    """
    with patch.object(worker, "IDLE", MINUTE), patch.object(sweeper, "LONGEST_REST", MINUTE):
        yield


class Seen:
    def __init__(self) -> None:
        self.notices: list[GatewayEvent] = []

    def see(self, notice: GatewayEvent) -> None:
        self.notices.append(notice)


class FullStore(MemoryStore):
    """A store that writes no pauses while its disk is full."""

    def __init__(self):
        super().__init__()
        self.is_full = False
        self.writes = 0

    async def put(self, records):
        self._write()
        await super().put(records)

    async def delete(self, kind, key):
        self._write()
        await super().delete(kind, key)

    def _write(self):
        if self.is_full:
            raise LedgerUnavailable(reason="disk full", retry_after=1)
        self.writes += 1


class Setting:
    def __init__(
        self,
        *,
        replies: Iterable[Reply] = (),
        destinations: Iterable[Destination] = (),
        worker_config: WorkerConfig | None = None,
        clock: MovingClock | None = None,
    ) -> None:
        self.clock = clock or MovingClock()
        self.store = MemoryStore()
        self.transport = ScriptedTransport(replies)
        self.seen = Seen()
        self.worker_config = worker_config or WorkerConfig()
        self.destinations = tuple(destinations) or (a_destination(),)
        self.run = self.new_run()

    def new_run(self) -> DeliveryRunner:
        randomness = SeededRandomness()
        clock = self.steady = MonotonicClock(self.clock)
        post = XClient(
            transport=self.transport,
            clock=clock,
            randomness=randomness,
            api_url="https://x.example",
            version="12",
        )
        return DeliveryRunner(
            destinations=self.destinations,
            outbox=self.store,
            x_client=post,
            clock=clock,
            randomness=randomness,
            observer=self.seen,
            worker_config=self.worker_config,
        )

    async def record(self, *ids: str, pixel: str = "o8z6j", event: str = "o8z6k") -> None:
        entries = (an_entry(id_, pixel=pixel, event=event, index=i) for i, id_ in enumerate(ids))
        receipt = f"{pixel}-{event}-{ids[0]}"
        await self.store.record(
            a_submission(*entries, receipt=receipt, received_at=self.steady.now())
        )
        self.run.wake(pixel)

    def sent(self) -> list[list[str]]:
        """Return the conversion ids of each request, in order."""
        return [
            [str(conversion["conversion_id"]) for conversion in conversions_of(outbound)]
            for outbound in self.transport.sent
        ]

    async def state(self, conversion_id: str, pixel: str = "o8z6j", event: str = "o8z6k") -> str:
        histories = await self.store.find(
            ByConversionId(pixel=pixel, events=[event], conversion_id=conversion_id)
        )
        return histories[0].state
