"""Dispatch: one lane a pixel, which claims batches and lets them fly, whatever other lanes do."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import msgspec

from twite.domain.delivery import AMBIGUITY_WINDOW, MOST_BYTES, SETTLED_IN, SUSPECT, Batch
from twite.domain.destination import Destination
from twite.domain.errors import TransientError
from twite.domain.times import MINUTE, SECOND
from twite.gateway.delivery.circuit_breaker import CircuitBreaker
from twite.gateway.delivery.rate_limit import RateLimit
from twite.gateway.ports.events import Observer, Troubled, TroublePlace
from twite.gateway.ports.store import Claim, Clock, DeliveryStore, RateLimitWindow

# After trouble with the store: nothing is lost by waiting.
STORE_PAUSE: Final = 2 * SECOND
# Without news, look again: another process may have put something in.
IDLE: Final = 5 * SECOND
FOREVER: Final = 1 << 62


class WorkerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How a lane goes. Times are milliseconds.

    `linger` is how long what comes after a batch that was not full waits for company; `lease` must
    outlast the slowest request by far.
    """

    batch: int = 500
    in_flight: int = 4
    linger: int = 200
    lease: int = 3 * MINUTE


class BatchHandler(Protocol):
    """What takes a lane's batches to their end: to X, or through a tag's template."""

    stopping: bool
    most: int
    most_bytes: int

    @property
    def failed(self) -> dict[int, str]:
        """What came to nothing since X took anything, and its event: another probes."""
        ...

    def use(self, destination: Destination) -> None:
        """Send with other credentials of the same pixel from now on."""
        ...

    def limits(self) -> Mapping[str, int]:
        """Return how many a batch of an event may hold, where that is fewer than of others."""
        ...

    def passing_events(self) -> frozenset[str]:
        """Return the events of which nothing is claimed now."""
        ...

    def claimed(self, batch: Batch) -> None:
        """Hear that a batch is about to be taken."""
        ...

    async def release(self) -> None:
        """Send of all events again, because a person says so. Raises LedgerUnavailable."""
        ...

    async def take(self, batch: Batch) -> None:
        """Send a batch and settle every delivery of it."""
        ...

    async def give_back(self, batch: Batch, deliveries: Sequence[int]) -> None:
        """Let others send what has not left."""
        ...


class Worker:
    """Sends one pixel's deliveries, or one tag's."""

    def __init__(
        self,
        *,
        pixel: str,
        outbox: DeliveryStore,
        flight: BatchHandler,
        rate_limit: RateLimit,
        circuit_breaker: CircuitBreaker,
        clock: Clock,
        observer: Observer,
        worker_config: WorkerConfig,
        holding: set[int],
        cautious: bool,
    ) -> None:
        """`holding` takes in the leases of what flies; `cautious`: nothing in doubt is claimed."""
        self._holding = holding
        self._cautious = cautious
        self._spent_until = 0
        self._pixel = pixel
        self._outbox = outbox
        self._flight = flight
        self._rate_limit = rate_limit
        self._circuit_breaker = circuit_breaker
        self._clock = clock
        self._began = clock.elapsed()
        self._observer = observer
        self._worker_config = worker_config
        self._news = asyncio.Event()
        self._slots = asyncio.Semaphore(worker_config.in_flight)
        self._flying: set[asyncio.Task[None]] = set()
        self._stopping = False
        # Something landed, or the stop came: all that can open a closed lane before its time.
        self._turned = asyncio.Event()

    def wake(self) -> None:
        """Hear that something may be due."""
        self._news.set()

    def use(self, destination: Destination) -> None:
        """Send with other credentials of the same pixel from now on."""
        self._flight.use(destination)
        self.wake()
        # A closed lane hears no news of submissions: this may open it.
        self._turned.set()

    async def hold(self, who: str) -> None:
        """Send nothing until a person says so. Raises LedgerUnavailable."""
        await self._circuit_breaker.hold(who)

    async def release(self) -> None:
        """Send again. Raises LedgerUnavailable."""
        await self._circuit_breaker.release()
        await self._flight.release()
        self._turned.set()

    def stop(self) -> None:
        """Claim no more; what flies lands."""
        self._stopping = True
        self._flight.stopping = True
        self._news.set()
        self._turned.set()

    async def run(self) -> None:
        """Send until stopped, and return when nothing is in flight."""
        try:
            while not self._stopping:
                await self._turn_or_rest()
            if self._flying:
                await asyncio.wait(self._flying)
        finally:
            # Cancelled: what flies must end before the store and the way to X close beneath it.
            for flying in self._flying:
                flying.cancel()
            if self._flying:
                await asyncio.wait(self._flying)

    async def _turn_or_rest(self) -> None:
        try:
            await self._turn()
        except TransientError as error:
            self._observer.see(Troubled(where=TroublePlace.OUTBOX, reason=error.reason))
            await self._rest(STORE_PAUSE, self._turned)
        except Exception as error:  # noqa: BLE001  a lane that ends is a pixel that nobody sends to
            self._observer.see(Troubled(where=TroublePlace.WORKER, reason=type(error).__name__))
            await self._rest(STORE_PAUSE, self._turned)

    async def _turn(self) -> None:
        """Claim one batch and let it fly, or wait for a reason to."""
        self._news.clear()
        self._turned.clear()
        batch, closed = None, 0
        await self._slots.acquire()
        try:
            # Asked with a slot in hand: while it was waited for, X may have said no.
            closed = self._circuit_breaker.wait() or min(await self._limit_wait(), IDLE)
            if not closed and not self._stopping:
                batch = await self._claim()
        finally:
            if batch is None:
                self._slots.release()
        if batch is None:
            # A closed lane has no use for news of submissions, and there may be thousands.
            await self._rest(closed or IDLE, self._turned if closed else self._news)
            return
        task = asyncio.create_task(self._land(batch))
        self._flying.add(task)
        task.add_done_callback(self._flying.discard)
        if self._circuit_breaker.probes:
            # A probe goes alone: its answer decides.
            await asyncio.wait({task})
        elif len(batch.deliveries) < self._asked_for(batch) and not _is_cut(batch):
            await self._linger()

    async def _claim(self) -> Batch | None:
        async with self._rate_limit.turn:
            left = self._rate_limit.left()
            if not left:
                return None
            batch = await self._wished_for(left)
            if batch is None:
                return None
            self._holding.add(batch.lease)
            if not self._stopping:
                self._rate_limit.spend(len(batch.deliveries))
                self._flight.claimed(batch)
                return batch
        # The stop came while the claim went to the disk.
        try:
            await self._flight.give_back(batch, [delivery.id for delivery in batch.deliveries])
        finally:
            self._holding.discard(batch.lease)
        return None

    async def _wished_for(self, left: int) -> Batch | None:
        """Claim what may go out; where one request at a time probes, another one than before."""
        now = self._clock.now()
        ambiguous_after = FOREVER if self._cautious else now - AMBIGUITY_WINDOW
        limit = 1 if self._circuit_breaker.paused else self._worker_config.batch
        events = self._flight.passing_events()
        wish = Claim(
            pixel=self._pixel,
            now=now,
            lease_until=now + self._worker_config.lease,
            limit=min(limit, left, self._flight.most),
            ambiguous_after=ambiguous_after,
            limits=self._flight.limits(),
            most_bytes=self._flight.most_bytes,
            passing_events=events,
            suspects=self._clock.elapsed() - self._began >= SETTLED_IN,
        )
        failed = self._flight.failed
        if self._circuit_breaker.probes and failed:
            # Another one than before, of another event where there is one.
            passing = frozenset(failed)
            others = events.union(failed.values())
            fresh = msgspec.structs.replace(wish, passing_events=others, passing=passing)
            same = msgspec.structs.replace(wish, passing=passing)
            batch = await self._outbox.claim(fresh) or await self._outbox.claim(same)
            if batch is not None:
                return batch
            failed.clear()
        return await self._outbox.claim(wish)

    def _asked_for(self, batch: Batch) -> int:
        """Return how many a batch of its event could have held."""
        limit = min(self._worker_config.batch, self._flight.most)
        return min(limit, self._flight.limits().get(batch.event, limit))

    async def _limit_wait(self) -> int:
        """Return milliseconds until the limit leaves something; a long wait is written down."""
        wait = self._rate_limit.wait()
        until = self._clock.now() + wait
        if (
            wait > IDLE
            and not self._rate_limit.is_closed_by_x
            and until > self._spent_until + SECOND
        ):
            self._spent_until = until
            reason = (
                f"the limit of {self._rate_limit.limit} conversions in fifteen minutes is spent"
            )
            await self._outbox.close_limits(
                [RateLimitWindow(pixel=self._pixel, until=until, reason=reason)]
            )
        return wait

    async def _land(self, batch: Batch) -> None:
        try:
            await self._flight.take(batch)
        except Exception as error:  # noqa: BLE001  a fault of ours must cost this batch a lease, no more
            self._observer.see(Troubled(where=TroublePlace.BATCH, reason=type(error).__name__))
        finally:
            self._holding.discard(batch.lease)
            self._slots.release()
            self._news.set()
            self._turned.set()

    async def _linger(self) -> None:
        if self._worker_config.linger and not self._stopping:
            await self._clock.sleep(self._worker_config.linger)

    async def _rest(self, ms: int, event: asyncio.Event) -> None:
        """Wait for an event, at most this long."""
        timer = asyncio.ensure_future(self._clock.sleep(ms))
        news = asyncio.ensure_future(event.wait())
        try:
            await asyncio.wait({timer, news}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            news.cancel()


def _is_cut(batch: Batch) -> bool:
    """Whether it is short though more is due at once: a suspect goes alone, or it is large."""
    size = sum(len(delivery.body) for delivery in batch.deliveries)
    return size > MOST_BYTES // 2 or any(
        delivery.crashes >= SUSPECT for delivery in batch.deliveries
    )
