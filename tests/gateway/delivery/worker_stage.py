"""A worker with a scripted queue and handler."""

import asyncio

from builders import NOW
from fakes import MovingClock, settled
from twite.domain.blame.batch_size import BatchSize
from twite.domain.blame.evidence import PixelEvidence
from twite.domain.blame.suspects import Suspects
from twite.domain.delivery import Batch, Delivery
from twite.domain.pause import Cause, Pause
from twite.gateway.delivery.requests_in_flight import RequestsInFlight
from twite.gateway.delivery.worker import STORE_PAUSE, BatchHandler, Worker, WorkerConfig

PIXEL, EVENT = "o8z6j", "o8z6k"


class Handler(BatchHandler):
    stopping = False
    separates_events = False

    def __init__(self, clock):
        self.requests = RequestsInFlight(clock=clock, slots=4)
        self.used, self.taken, self.ended, self.returned = [], [], [], []
        self.gate = asyncio.Event()
        self.gate.set()
        self.error = None

    def use(self, destination):
        self.used.append(destination)

    async def take(self, batch):
        self.taken.append(batch.lease)
        try:
            await self.gate.wait()
            if self.error:
                raise self.error
        finally:
            for _ in range(5):
                await asyncio.sleep(0)
            self.ended.append(batch.lease)

    async def give_back(self, batch, deliveries):
        self.returned.append((batch.lease, deliveries))
        if self.error:
            raise self.error


class Current:
    """The current evidence, as a test describes it."""

    is_by_user = probes = wants_another = is_over = False
    noted = {}  # noqa: RUF012

    def __init__(self):
        self.calls, self.claims, self.ended_limits = [], [], 0
        self.events = self.deliveries = frozenset()
        self.evidence = PixelEvidence(pixel=PIXEL, size=BatchSize(most=400, most_bytes=1 << 20))

    def believe(self, **changes):
        self.evidence = self.evidence.but(**changes)

    def suspect(self, *ids):
        self.believe(suspects=Suspects(accepted=1, since=dict.fromkeys(ids, 0)))

    def wait(self):
        return 0

    def claimed(self, batch):
        self.claims.append(batch.lease)

    def skipped_events(self, _requests):
        return self.events

    def skipped(self, _requests):
        return self.deliveries

    def failed_but_one(self):
        return frozenset({3})

    async def end_limits(self):
        self.ended_limits += 1

    async def release(self):
        self.calls.append("release")

    def follow(self, stored, *, noted):
        self.calls.append((stored, noted))
        return self.is_over


class Limit:
    limit = 60_000
    is_closed_by_x = False

    def __init__(self):
        self.lock = asyncio.Lock()
        self.waits = 0
        self.looks = 0
        self.allowed = 10_000
        self.spent = []
        self.spend = self.spent.append

    def wait(self):
        self.looks += 1
        return self.waits

    def left(self):
        return self.allowed


class Stage:
    """A worker with its outbox and observer."""

    def __init__(self, *, cautious=False, clock=None, **config):
        self.clock = clock or MovingClock()
        self.handler, self.current, self.limit = Handler(self.clock), Current(), Limit()
        self.claims, self.queue, self.stored, self.notices = [], [], [], []
        self.skipped, self.probes = [], []
        self.error = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.see = self.notices.append
        self.worker = Worker(
            pixel=PIXEL,
            outbox=self,
            batch_handler=self.handler,
            rate_limit=self.limit,
            current_evidence=self.current,
            clock=self.clock,
            observer=self,
            worker_config=WorkerConfig(**config),
            holding=set(),
            cautious=cautious,
        )

    async def claim_several(self, claim, *, most):
        self.claims.append((claim, most))
        await self.gate.wait()
        if self.error:
            raise self.error
        queued, self.queue = self.queue, []
        return queued

    async def claim(self, claim):
        self.skipped.append((claim.passing, claim.passing_events))
        return self.probes.pop(0) if self.probes else None

    async def put(self, records):
        self.stored += records

    async def start(self):
        self.running = asyncio.create_task(self.worker.run())
        await settled()

    async def stop(self):
        self.gate.set()
        self.handler.gate.set()
        self.worker.stop()
        for _ in range(5):
            await self.clock.advance(STORE_PAUSE)
        await self.running


def batch(lease=1, many=1, size=2, crashes=0):
    deliveries = tuple(
        Delivery(id=n, conversion_id=f"c{n}", body=b"x" * size, received_at=NOW, crashes=crashes)
        for n in range(many)
    )
    return Batch(lease=lease, pixel=PIXEL, event=EVENT, deliveries=deliveries)


def pause(event=""):
    return Pause(pixel=PIXEL, event=event, cause=Cause.EVENT_REFUSED, reason="r", since=NOW)
