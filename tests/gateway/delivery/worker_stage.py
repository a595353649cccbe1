"""A worker with a scripted queue and handler."""

import asyncio

from builders import NOW
from fakes import MovingClock, settled
from twite.domain.delivery import Batch, Delivery
from twite.domain.pause import Cause, Pause
from twite.gateway.delivery.batch_handler import BatchHandler
from twite.gateway.delivery.in_flight import RequestsInFlight
from twite.gateway.delivery.worker import STORE_PAUSE, Worker, WorkerConfig

PIXEL, EVENT = "o8z6j", "o8z6k"


class Handler(BatchHandler):
    stopping = False
    pauses = None
    most = 400
    most_bytes = 1 << 20
    failed = {}  # noqa: RUF012

    def __init__(self, clock):
        self.requests = RequestsInFlight(clock=clock, slots=4)
        self.used, self.noted, self.taken, self.ended, self.returned = [], [], [], [], []
        self.gate = asyncio.Event()
        self.gate.set()
        self.error = None

    def use(self, destination):
        self.used.append(destination)

    def claimed(self, batch):
        self.noted.append(batch.lease)

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


class Breaker:
    by_user = probes = wants_another = is_over = False
    noted = None

    def __init__(self):
        self.calls = []

    def size_of_probe(self, most):
        return most

    def wait(self):
        return 0

    async def hold(self, who):
        self.calls.append(who)

    async def release(self):
        self.calls.append("release")

    def follow(self, pause, *, noted):
        self.calls.append((pause, noted))
        return self.is_over


class Pauses:
    def __init__(self):
        self.noted = {EVENT: pause(EVENT)}
        self.calls = []

    async def release(self):
        self.calls.append("release")

    def follow(self, stored, *, noted):
        self.calls.append((list(stored), noted))


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
    """Also the outbox and the observer."""

    def __init__(self, *, cautious=False, clock=None, **config):
        self.clock = clock or MovingClock()
        self.handler, self.breaker, self.limit = Handler(self.clock), Breaker(), Limit()
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
            circuit_breaker=self.breaker,
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
