"""A monitor on a store that can fail, with a clock that tests advance."""

from itertools import count

from builders import a_destination, a_submission, an_entry
from fakes import MovingClock, SetDisk
from memory_store.store import MemoryStore
from twite.domain.errors import LedgerUnavailable
from twite.domain.times import DAY
from twite.gateway.alerts.checks import Thresholds
from twite.gateway.alerts.monitor import EventListener, Monitor
from twite.gateway.ports.events import Alerted
from twite.gateway.ports.machine import DiskSpace
from twite.observers import Several
from worker_bench import Seen

PIXEL = "o8z6j"
ROOM = DiskSpace(free=50 << 30, files={"database": 1})


class FailingStore(MemoryStore):
    """Fails all operations while `fails` is set, and writes while it is read-only."""

    failing = False
    read_only = False

    async def balance(self):
        self._fail()
        return await super().balance()

    async def backlog(self):
        self._fail()
        return await super().backlog()

    async def load(self, kind, *, prefix=""):
        self._fail()
        return await super().load(kind, prefix=prefix)

    async def put(self, records, **more):
        self._fail(write=True)
        await super().put(records, **more)

    def _fail(self, *, write=False):
        if self.failing or (self.read_only and write):
            raise LedgerUnavailable(reason="disk I/O error", retry_after=1)


class Stage:
    def __init__(self, store=None, clock=None, *, sources=("shop",)):
        self.clock = clock or MovingClock()
        self.store = store or FailingStore()
        self.disk = SetDisk(ROOM)
        self.seen = Seen()
        self.listener = EventListener(self.clock)
        self.observer = Several((self.seen, self.listener))
        names = count(1)
        self.monitor = Monitor(
            listener=self.listener,
            queries=self.store,
            state=self.store,
            disk=self.disk,
            clock=self.clock,
            observer=self.observer,
            destinations=[a_destination()],
            sources=sources,
            thresholds=Thresholds(dead_letters=2, disk_free=1 << 30),
            new_id=lambda: f"alert-{next(names)}",
        )

    def said(self):
        return [
            (notice.phase, notice.alert.kind, notice.alert.subject)
            for notice in self.seen.notices
            if isinstance(notice, Alerted)
        ]

    def open(self):
        return {(alert.kind, alert.subject) for alert in self.monitor.register.alerts()}

    async def receive(self, id_, source="shop"):
        entry, at = an_entry(id_), self.clock.now()
        await self.store.record(
            a_submission(entry, receipt=f"r-{id_}", source=source, received_at=at)
        )

    async def day(self, *ids):
        """Receive conversions from the sources that their ids begin with; check; let a day pass."""
        for id_ in ids:
            await self.receive(id_, source=id_.split("-")[0])
        await self.monitor.look()
        await self.clock.advance(DAY)
