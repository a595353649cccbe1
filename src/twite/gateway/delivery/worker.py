"""Delivery worker: one per pixel or tag. It claims batches from the queue and sends them."""

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec

from twite.domain.blame.circuit_breaker import PROBE_EVERY
from twite.domain.delivery import AMBIGUITY_WINDOW, MOST_BYTES, SETTLED_IN, SUSPECT, Batch
from twite.domain.destination import Destination
from twite.domain.errors import TransientError
from twite.domain.pause import Pause
from twite.domain.times import MINUTE, SECOND
from twite.gateway.delivery.current_evidence import CurrentEvidence
from twite.gateway.delivery.rate_limit import RateLimit
from twite.gateway.delivery.requests_in_flight import RequestsInFlight
from twite.gateway.ports.events import Observer, ProblemPlace, ProblemSeen
from twite.gateway.ports.machine import Clock, wait_for_event
from twite.gateway.ports.outbox import Claim, DeliveryStore
from twite.gateway.ports.state import RateLimitWindow

# The pause after the store has failed.
STORE_PAUSE: Final = 2 * SECOND
# Check the queue after this time even without a wake-up, as another process may have added to it.
IDLE: Final = 5 * SECOND
# While only probes are sent, look for conversions of other events this rarely.
LOOK_EVERY: Final = SECOND // 5
FOREVER: Final = 1 << 62
# A request costs as much CPU time as about ten conversions in it. So the workers of a process send
# a request that is not full at most this often (ms), unless one would wait for LONGEST_LINGER.
SPACING: Final = 1
# If the process is so busy that its timers are late by so much (ms), the spacing grows by 1 ms for
# each _LATER, up to this.
TOLERATED: Final = 5
_LATER: Final = 5
LONGEST_SPACING: Final = 4
LONGEST_LINGER: Final = 2 * SECOND


class LingeringWorkers:
    """The workers that linger now, and how late their timers are: the mean of about a second."""

    def __init__(self) -> None:
        self.count = 0
        self._late = 0.0
        self._at = 0

    def record(self, late: int, *, now: int) -> None:
        """Record that a timer was late, in milliseconds."""
        self._late += (late - self._late) * min(1.0, (now - self._at) / SECOND)
        self._at = now

    def wait(self, least: int) -> int:
        """Return how long each of them waits for a fuller batch."""
        later = max(0.0, self._late - TOLERATED) / _LATER
        return max(
            least, min(round(self.count * min(SPACING + later, LONGEST_SPACING)), LONGEST_LINGER)
        )


class WorkerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Batch size, concurrency and timing of a worker. Times are milliseconds.

    `linger` is the least wait after a batch that was not full, so that the next one is fuller. With
    the same `lingering`, many busy workers wait longer, up to LONGEST_LINGER. `lease` must be much
    longer than the slowest request.
    """

    batch: int = 500
    in_flight: int = 4
    linger: int = 200
    lease: int = 3 * MINUTE
    lingering: LingeringWorkers = msgspec.field(default_factory=LingeringWorkers)


class BatchHandler(Protocol):
    """Sends the batches of a worker: to X, or through a tag's template.

    With `separates_events`, other events are sent while the bad ones are probed.
    """

    stopping: bool
    separates_events: bool
    requests: RequestsInFlight

    def use(self, destination: Destination) -> None:
        del destination

    async def take(self, batch: Batch) -> None:
        """Send a batch and settle each of its deliveries."""

    async def give_back(self, batch: Batch, deliveries: Sequence[int]) -> None:
        """Return unsent deliveries to the queue."""


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class Worker:
    """Sends the deliveries of one pixel or tag.

    `holding` collects the leases in flight. With `cautious`, ambiguous deliveries are not claimed.
    """

    pixel: str
    outbox: DeliveryStore
    batch_handler: BatchHandler
    rate_limit: RateLimit
    current_evidence: CurrentEvidence
    clock: Clock
    observer: Observer
    worker_config: WorkerConfig
    holding: set[int]
    cautious: bool
    _began: int = field(init=False)
    # The leases of batches that were claimed as probes.
    _probes: set[int] = field(init=False, default_factory=set)
    _news: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    # Set when a batch is done, and on changes such as a shutdown: ends a wait for the breaker.
    _reopened: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _tasks: set[asyncio.Task[None]] = field(init=False, default_factory=set)
    _stopping: bool = field(init=False, default=False)
    _spent_until: int = field(init=False, default=0)
    # How many conversions the last claim could have had, before the limits of the evidence.
    _opening: int = field(init=False, default=0)
    # Whether the worker waits for conversions, and whether another process has queued some.
    is_idle: bool = field(init=False, default=False)
    _is_called: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._began = self.clock.elapsed()
        self.batch_handler.requests.freed = self._reopened.set

    def skipped_events(self) -> frozenset[str]:
        """Return the events that the next claim must skip: paused and full ones."""
        return self.current_evidence.skipped_events(self.batch_handler.requests)

    def wake(self) -> None:
        self._news.set()

    def wake_for_other(self) -> None:
        """Wake up, because another process has queued something.

        If there is nothing to claim after all, the worker becomes `is_idle` only at its next check.
        """
        self._is_called = True
        self.wake()

    def use(self, destination: Destination) -> None:
        self.batch_handler.use(destination)
        self.wake()
        # A paused worker ignores ordinary wake-ups, but new credentials may end the pause.
        self._reopened.set()

    async def release(self) -> None:
        """Resume after a pause. Raises LedgerUnavailable."""
        await self.current_evidence.release()
        self._news.set()
        self._reopened.set()

    def follow(self, stored: Collection[Pause], noted: Mapping[str, Pause]) -> None:
        """Apply pauses that a user made or ended through another gateway on the same store.

        `stored` contains all pauses; `noted` are those of this worker that were certainly in the
        store before they were read.
        """
        if self.current_evidence.follow(stored, noted=noted):
            self._news.set()
            self._reopened.set()

    def stop(self) -> None:
        """Stop claiming. Batches in flight finish."""
        self._stopping = True
        self.batch_handler.stopping = True
        self._news.set()
        self._reopened.set()

    async def run(self) -> None:
        """Send until stopped, then wait for batches in flight."""
        try:
            while not self._stopping:
                await self._run_once()
            if self._tasks:
                await asyncio.wait(self._tasks)
        finally:
            # If cancelled, batches in flight must end before the store and the transport close.
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)

    async def _run_once(self) -> None:
        try:
            await self._claim_and_handle()
        except Exception as error:  # noqa: BLE001  a pixel without its worker is stuck
            is_store = isinstance(error, TransientError)
            where = ProblemPlace.OUTBOX if is_store else ProblemPlace.WORKER
            self.observer.see(ProblemSeen.of(where, error))
            await wait_for_event(self._reopened, self.clock, most=STORE_PAUSE)

    async def _claim_and_handle(self) -> None:
        """Claim batches and start sending them, or wait until a batch may be due."""
        self._news.clear()
        self._reopened.clear()
        current = self.current_evidence
        closed = PROBE_EVERY if current.is_by_user else min(await self._limit_wait(), IDLE)
        batches = () if closed or self._stopping else await self._claim()
        if not batches:
            await current.end_limits()  # a claim ends only those of queued conversions
            await self._wait(closed)
            return
        self._is_called = False
        for batch in batches:
            task = asyncio.create_task(self._handle(batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        last = batches[-1]
        if current.probes:
            self._probes.update(batch.lease for batch in batches)
        elif len(last.deliveries) < self._asked_for(last) and not _is_cut(last):
            await self._linger()

    async def _wait(self, closed: int) -> None:
        """Wait until a batch may be due. `closed` is the time until anything may be sent."""
        current = self.current_evidence
        if closed or (current.probes and not self.batch_handler.separates_events):
            await wait_for_event(self._reopened, self.clock, most=closed or current.wait() or IDLE)
        elif current.probes:
            # Thousands of conversions may arrive for the events that are only probed.
            await wait_for_event(self._news, self.clock, most=min(current.wait() or IDLE, IDLE))
            if self._news.is_set():
                await wait_for_event(self._reopened, self.clock, most=LOOK_EVERY)
        elif not any(self._openings()):
            most = self.batch_handler.requests.until_slow()
            await wait_for_event(self._reopened, self.clock, most=most)
        else:
            self.is_idle, self._is_called = not self._is_called, False
            try:
                await wait_for_event(self._news, self.clock, most=IDLE)
            finally:
                self.is_idle = False

    def _openings(self) -> Iterator[tuple[int, frozenset[str]]]:
        """Yield (conversions in the next request, events to skip) for each possible claim.

        While X answers badly, each event may send one request. The events that X has answered
        badly are only probed, one request at a time, because each response affects the next.
        """
        requests, current = self.batch_handler.requests, self.current_evidence
        size, evidence = self.worker_config.batch, current.evidence
        if current.probes:
            if self.batch_handler.separates_events:
                yield from requests.openings_beside(size, failing=evidence.failing)
            if self._probes or current.wait():
                return
        yield from requests.openings(size, troubled=evidence.suspects.troubled)

    async def _claim(self) -> Sequence[Batch]:
        async with self.rate_limit.lock:
            left = self.rate_limit.left()
            if not left:
                return ()
            batches = await self._claim_at_most(left)
            self.holding.update(batch.lease for batch in batches)
            if not self._stopping:
                for batch in batches:
                    self.rate_limit.spend(len(batch.deliveries))
                    self.batch_handler.requests.began(batch)
                    self.current_evidence.claimed(batch)
                return batches
        # Shutdown began while the claim was written.
        failures = await asyncio.gather(*map(self._give_back, batches), return_exceptions=True)
        for failure in filter(None, failures):
            raise failure
        return ()

    async def _give_back(self, batch: Batch) -> None:
        try:
            await self.batch_handler.give_back(
                batch, [delivery.id for delivery in batch.deliveries]
            )
        finally:
            self.holding.discard(batch.lease)

    async def _claim_at_most(self, left: int) -> Sequence[Batch]:
        """Claim for the first opening with due deliveries: at most `left` for all free slots.

        A half-open breaker probes with a new delivery each time.
        """
        requests, now = self.batch_handler.requests, self.clock.now()
        evidence = self.current_evidence.evidence
        usual = Claim(
            pixel=self.pixel,
            now=now,
            lease_until=now + self.worker_config.lease,
            limit=min(evidence.breaker.size_of_probe(self.worker_config.batch), evidence.size.most),
            ambiguous_after=FOREVER if self.cautious else now - AMBIGUITY_WINDOW,
            limits=evidence.limits(),
            most_bytes=evidence.size.most_bytes,
            passing_events=self.skipped_events(),
            passing=self.current_evidence.skipped(requests),
            suspects=self.clock.elapsed() - self._began >= SETTLED_IN,
        )
        suspects = evidence.suspects.known()
        for most, others in self._openings():
            self._opening = most
            claim = msgspec.structs.replace(
                usual,
                limit=min(usual.limit, most, left),
                passing_events=usual.passing_events | others,
            )
            if others:
                batch = await self._claim_passing(claim, suspects)
            elif self.current_evidence.probes:
                batch = await self._claim_probe(claim, suspects)
            else:
                # Only usual batches are claimed together, because none of them can take the
                # others' responses into account, and only one batch of suspects may be in flight.
                is_usual = not (claim.limits or claim.passing or claim.passing_events or suspects)
                slots = min(requests.free(), left // claim.limit) if is_usual else 1
                if batches := await self.outbox.claim_several(claim, most=max(1, slots)):
                    return batches
                continue
            if batch is not None:
                return (batch,)
        return ()

    async def _claim_probe(self, claim: Claim, suspects: frozenset[int]) -> Batch | None:
        current = self.current_evidence
        failed = current.evidence.failed
        if not (failed or suspects):
            return await self.outbox.claim(claim)
        # Choose a delivery that was not among the last probes.
        batch = await self._claim_passing(claim, suspects.union(failed)) if failed else None
        if batch is not None or current.wants_another:
            return batch
        passing = suspects.union(current.failed_but_one())
        return await self._claim_passing(claim, passing) or await self.outbox.claim(claim)

    async def _claim_passing(self, claim: Claim, deliveries: frozenset[int]) -> Batch | None:
        return await self.outbox.claim(msgspec.structs.replace(claim, passing=deliveries))

    def _asked_for(self, batch: Batch) -> int:
        """Return the maximum batch size that was in force for its event."""
        evidence = self.current_evidence.evidence
        limit = min(self._opening, evidence.size.most)
        return min(limit, evidence.limits().get(batch.event, limit))

    async def _limit_wait(self) -> int:
        """Return the milliseconds until the rate limit allows more; a long wait is stored."""
        wait = self.rate_limit.wait()
        until = self.clock.now() + wait
        if (
            wait > IDLE
            and not self.rate_limit.is_closed_by_x
            and until > self._spent_until + SECOND
        ):
            self._spent_until = until
            reason = (
                f"the rate limit of {self.rate_limit.limit} conversions in 15 minutes is used up"
            )
            await self.outbox.put([RateLimitWindow(pixel=self.pixel, until=until, reason=reason)])
        return wait

    async def _handle(self, batch: Batch) -> None:
        try:
            await self.batch_handler.take(batch)
        except Exception as error:  # noqa: BLE001  a bug may cost only this batch its lease
            self.observer.see(ProblemSeen.of(ProblemPlace.BATCH, error))
        finally:
            self.holding.discard(batch.lease)
            self._probes.discard(batch.lease)
            self.batch_handler.requests.ended(batch)
            self._news.set()
            self._reopened.set()

    async def _linger(self) -> None:
        least, lingering = self.worker_config.linger, self.worker_config.lingering
        if not least:
            return
        waited = 0
        lingering.count += 1
        try:
            while waited < (wait := lingering.wait(least)) and not self._stopping:
                began, step = self.clock.elapsed(), min(least, wait - waited)
                await self.clock.sleep(step)
                now = self.clock.elapsed()
                lingering.record(now - began - step, now=now)
                waited += now - began
        finally:
            lingering.count -= 1


def _is_cut(batch: Batch) -> bool:
    """Whether the queue may hold more despite a short batch: it contains a suspect, or is large."""
    size = sum(len(delivery.body) for delivery in batch.deliveries)
    return size > MOST_BYTES // 2 or any(
        delivery.crashes >= SUSPECT for delivery in batch.deliveries
    )
