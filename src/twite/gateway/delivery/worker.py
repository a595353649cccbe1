"""Delivery worker: one per pixel or tag. It claims batches from the queue and sends them."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec

from twite.domain.delivery import AMBIGUITY_WINDOW, MOST_BYTES, SETTLED_IN, SUSPECT, Batch
from twite.domain.destination import Destination
from twite.domain.errors import TransientError
from twite.domain.times import MINUTE, SECOND
from twite.gateway.delivery.circuit_breaker import CircuitBreaker, EventPauses
from twite.gateway.delivery.rate_limit import RateLimit
from twite.gateway.delivery.suspects import SLOW, RequestsInFlight
from twite.gateway.ports.events import Observer, Troubled, TroublePlace
from twite.gateway.ports.machine import Clock, wait_for_event
from twite.gateway.ports.outbox import Claim, DeliveryStore
from twite.gateway.ports.state import Pause, RateLimitWindow

# The pause after the store has failed.
STORE_PAUSE: Final = 2 * SECOND
# The maximum number of requests of a pixel in flight, including hanging ones.
MOST_AT_ONCE: Final = 64
# Check the queue after this time even without a wake-up, as another process may have added to it.
IDLE: Final = 5 * SECOND
FOREVER: Final = 1 << 62


class WorkerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Batch size, concurrency and timing of a worker. Times are milliseconds.

    `linger` is the wait after a batch that was not full, so that the next batch becomes fuller.
    `lease` must be much longer than the slowest request.
    """

    batch: int = 500
    in_flight: int = 4
    linger: int = 200
    lease: int = 3 * MINUTE


class BatchHandler(Protocol):
    """Sends the batches of a worker: to X, or through a tag's template.

    The methods with a default matter only for pixels; handlers of tags inherit the defaults.
    """

    stopping: bool
    requests: RequestsInFlight

    @property
    def pauses(self) -> EventPauses | None:
        """The event pauses; None for a tag, which has none."""

    @property
    def most(self) -> int:
        """How many conversions the next batch may hold."""

    @property
    def most_bytes(self) -> int:
        """How many bytes of conversions the next batch may hold."""

    @property
    def failed(self) -> dict[int, str]:
        """The deliveries (id → event) that failed since X last accepted one.

        They are not used as probes.
        """

    def failed_but_one(self) -> frozenset[int]:
        """Return the failed deliveries except one, which may be retried."""
        return frozenset()

    def use(self, destination: Destination) -> None:
        """Replace the credentials of the pixel."""
        del destination

    def limits(self) -> Mapping[str, int]:
        """Return the maximum batch size by event, for events whose limit is lower than usual."""
        return {}

    def passing_events(self) -> frozenset[str]:
        """Return the events that the next claim must skip."""
        return frozenset()

    def passing(self) -> frozenset[int]:
        """Return the deliveries that the next claim must skip."""
        return frozenset()

    def suspects(self) -> frozenset[int]:
        """Return the deliveries whose result says little about the pixel.

        They are not used as probes.
        """
        return frozenset()

    def claimed(self, batch: Batch) -> None:
        """Record that a batch was claimed."""
        del batch

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
    circuit_breaker: CircuitBreaker
    clock: Clock
    observer: Observer
    worker_config: WorkerConfig
    holding: set[int]
    cautious: bool
    _began: int = field(init=False)
    _leases_in_flight: set[int] = field(init=False, default_factory=set)
    _news: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    # Set when a batch is done, and on changes such as a shutdown: ends a wait for the breaker
    # early.
    _reopened: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _tasks: set[asyncio.Task[None]] = field(init=False, default_factory=set)
    _stopping: bool = field(init=False, default=False)
    _spent_until: int = field(init=False, default=0)
    # Whether the worker waits for conversions, and whether another process has queued some.
    is_idle: bool = field(init=False, default=False)
    _is_called: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._began = self.clock.elapsed()
        self.batch_handler.requests.freed = self._reopened.set

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

    async def hold(self, who: str) -> None:
        """Pause until a user resumes the pixel. Resume after a pause. Raises LedgerUnavailable."""
        await self.circuit_breaker.hold(who)

    async def release(self) -> None:
        """Raises LedgerUnavailable."""
        await self.circuit_breaker.release()
        if self.batch_handler.pauses is not None:
            await self.batch_handler.pauses.release()
        self._reopened.set()

    def noted(self) -> tuple[Pause | None, Mapping[str, Pause]]:
        """Return the pauses that are certainly in the store: of the pixel, and of its events."""
        events = self.batch_handler.pauses
        return self.circuit_breaker.noted, {} if events is None else events.noted

    def follow(
        self, stored: Collection[Pause], noted: tuple[Pause | None, Mapping[str, Pause]]
    ) -> None:
        """Apply pauses that a user made or ended through another gateway on the same store.

        `stored` contains all pauses; `noted` is the result of `noted` before they were read.
        """
        whole, of_events = noted
        keys = {(pause.pixel, pause.event): pause for pause in stored}
        is_over = self.circuit_breaker.follow(keys.get((self.pixel, "")), noted=whole)
        if self.batch_handler.pauses is not None:
            self.batch_handler.pauses.follow(keys.values(), noted=of_events)
        if is_over or of_events:
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
        except TransientError as error:
            self.observer.see(Troubled(where=TroublePlace.OUTBOX, reason=error.reason))
            await wait_for_event(self._reopened, self.clock, most=STORE_PAUSE)
        except Exception as error:  # noqa: BLE001  a pixel without its worker is stuck
            self.observer.see(Troubled(where=TroublePlace.WORKER, reason=type(error).__name__))
            await wait_for_event(self._reopened, self.clock, most=STORE_PAUSE)

    async def _claim_and_handle(self) -> None:
        """Claim batches and start sending them, or wait until a batch may be due."""
        self._news.clear()
        self._reopened.clear()
        batches: Sequence[Batch] = ()
        most = self._room()
        if not most:
            await wait_for_event(self._reopened, self.clock, most=SLOW)
            return
        # Check the breaker only when a slot is free, because a refusal may have arrived meanwhile.
        closed = self.circuit_breaker.wait() or min(await self._limit_wait(), IDLE)
        if not closed and not self._stopping:
            batches = await self._claim(most)
        if not batches:
            # A paused worker ignores wake-ups for new conversions, as there may be thousands.
            event = self._reopened if closed else self._news
            self.is_idle, self._is_called = not (closed or self._is_called), False
            try:
                await wait_for_event(event, self.clock, most=closed or IDLE)
            finally:
                self.is_idle = False
            return
        self._is_called = False
        tasks = [asyncio.create_task(self._handle(batch)) for batch in batches]
        for task in tasks:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        last = batches[-1]
        if self.circuit_breaker.probes:
            # Wait for the response to the probe, because it decides what is sent next.
            await asyncio.wait(tasks)
        elif len(last.deliveries) < self._asked_for(last) and not _is_cut(last):
            await self._linger()

    def _room(self) -> int:
        """Return how many conversions the next request may hold; 0 while all slots are in use.

        A hanging request uses no slot. While X does not respond to any request, conversions are
        sent one by one, because one conversion in each batch may make X hang.
        """
        if self._free_slots() > 0:
            return self.worker_config.batch
        many, slow = len(self._leases_in_flight), self.batch_handler.requests.slow()
        return 1 if slow == many < 2 * self.worker_config.in_flight else 0

    def _free_slots(self) -> int:
        many, slots = len(self._leases_in_flight), self.worker_config.in_flight
        used = many - self.batch_handler.requests.without_slot(slots)
        return min(slots - used, MOST_AT_ONCE - many)

    async def _claim(self, most: int) -> Sequence[Batch]:
        async with self.rate_limit.lock:
            left = self.rate_limit.left()
            if not left:
                return ()
            batches = await self._claim_at_most(min(left, most), left)
            self.holding.update(batch.lease for batch in batches)
            if not self._stopping:
                for batch in batches:
                    self._leases_in_flight.add(batch.lease)
                    self.rate_limit.spend(len(batch.deliveries))
                    self.batch_handler.claimed(batch)
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

    async def _claim_at_most(self, most: int, left: int) -> Sequence[Batch]:
        """Claim at most `most` deliveries per request, and at most `left` for all free slots.

        A half-open breaker probes with a new delivery each time.
        """
        now = self.clock.now()
        ambiguous_after = FOREVER if self.cautious else now - AMBIGUITY_WINDOW
        limit = self.circuit_breaker.size_of_probe(self.worker_config.batch)
        events = self.batch_handler.passing_events()
        claim = Claim(
            pixel=self.pixel,
            now=now,
            lease_until=now + self.worker_config.lease,
            limit=min(limit, most, self.batch_handler.most),
            ambiguous_after=ambiguous_after,
            limits=self.batch_handler.limits(),
            most_bytes=self.batch_handler.most_bytes,
            passing_events=events,
            passing=self.batch_handler.passing(),
            suspects=self.clock.elapsed() - self._began >= SETTLED_IN,
        )
        failed, suspects = self.batch_handler.failed, self.batch_handler.suspects()
        if not self.circuit_breaker.probes:
            # Only usual batches are claimed together, because none of them can take the others'
            # responses into account, and only one batch of suspects may be in flight.
            is_usual = not (claim.limits or claim.passing or events or suspects)
            slots = min(self._free_slots(), left // claim.limit) if is_usual else 1
            return await self.outbox.claim_several(claim, most=max(1, slots))
        batch = await self._claim_probe(claim, failed, suspects)
        return () if batch is None else (batch,)

    async def _claim_probe(
        self, claim: Claim, failed: Mapping[int, str], suspects: frozenset[int]
    ) -> Batch | None:
        if not (failed or suspects):
            return await self.outbox.claim(claim)
        events = claim.passing_events
        # Choose a delivery that was not among the last probes, and another event if possible.
        passing = suspects.union(failed)
        probes = [(events.union(failed.values()), passing), (events, passing)]
        for passing_events, passed in probes if failed else []:
            batch = await self._claim_passing(claim, passing_events, passed)
            if batch is not None:
                return batch
        if self.circuit_breaker.wants_another:
            return None
        passing = suspects.union(self.batch_handler.failed_but_one())
        batch = await self._claim_passing(claim, events, passing)
        return batch or await self.outbox.claim(claim)

    async def _claim_passing(
        self, claim: Claim, events: frozenset[str], deliveries: frozenset[int]
    ) -> Batch | None:
        return await self.outbox.claim(
            msgspec.structs.replace(claim, passing_events=events, passing=deliveries)
        )

    def _asked_for(self, batch: Batch) -> int:
        """Return the maximum batch size that was in force for its event."""
        limit = min(self.worker_config.batch, self.batch_handler.most)
        return min(limit, self.batch_handler.limits().get(batch.event, limit))

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
            self.observer.see(Troubled(where=TroublePlace.BATCH, reason=type(error).__name__))
        finally:
            self.holding.discard(batch.lease)
            self._leases_in_flight.discard(batch.lease)
            self._news.set()
            self._reopened.set()

    async def _linger(self) -> None:
        if self.worker_config.linger and not self._stopping:
            await self.clock.sleep(self.worker_config.linger)


def _is_cut(batch: Batch) -> bool:
    """Whether the queue may hold more despite a short batch: it contains a suspect, or is large."""
    size = sum(len(delivery.body) for delivery in batch.deliveries)
    return size > MOST_BYTES // 2 or any(
        delivery.crashes >= SUSPECT for delivery in batch.deliveries
    )
