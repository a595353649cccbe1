"""Delivery runner: starts and stops the workers of all pixels and tags, and the sweeper."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from twite.domain.destination import RATE_WINDOW, Destination
from twite.gateway.delivery.batch_sender import BatchSender
from twite.gateway.delivery.circuit_breaker import CircuitBreaker
from twite.gateway.delivery.monotonic_clock import MonotonicClock
from twite.gateway.delivery.rate_limit import RateLimit
from twite.gateway.delivery.sweeper import Sweeper
from twite.gateway.delivery.worker import Worker, WorkerConfig
from twite.gateway.delivery.x_client import XClient
from twite.gateway.ports.events import Observer
from twite.gateway.ports.machine import Randomness
from twite.gateway.ports.outbox import DeliveryStore
from twite.gateway.ports.queries import AttemptsQuery
from twite.gateway.ports.state import ClockRecord, Pause, RateLimitWindow
from twite.gateway.ports.tags import TagRule


class TagWorkerFactory(Protocol):
    """Makes a worker for each tag: see `gateway/tags/run/batch_sender.py`."""

    holding: set[int]
    rules: tuple[TagRule, ...]

    def make_worker(
        self, rule: TagRule, *, past: Sequence[tuple[int, int]], pause: Pause | None
    ) -> Worker:
        """Return a tag's worker. `past` are its runs before this start."""


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class DeliveryRunner:
    """The workers of all pixels and tags, and the sweeper."""

    destinations: Sequence[Destination]
    outbox: DeliveryStore
    x_client: XClient
    clock: MonotonicClock
    randomness: Randomness
    observer: Observer
    worker_config: WorkerConfig
    tags: TagWorkerFactory | None = None
    _workers: dict[str, Worker] = field(init=False, default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(init=False, default_factory=set)
    _stopping: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    # The leases in flight in this process: the sweeper must not expire them.
    _holding: set[int] = field(init=False)
    _sweep: Sweeper = field(init=False)

    def __post_init__(self) -> None:
        self._holding = set() if self.tags is None else self.tags.holding
        rules = () if self.tags is None else self.tags.rules
        self._sweep = Sweeper(
            outbox=self.outbox,
            clock=self.clock,
            observer=self.observer,
            wake_all=self.wake_all,
            lease=self.worker_config.lease,
            holding=self._holding,
            cautious=frozenset(
                [destination.pixel for destination in self.destinations if destination.is_cautious]
                + [rule.pixel for rule in rules if rule.is_cautious]
            ),
        )

    def wake(self, pixel: str) -> None:
        """Wake the worker of a pixel, if there is one."""
        worker = self._workers.get(pixel)
        if worker is not None:
            worker.wake()

    def wake_all(self) -> None:
        for worker in self._workers.values():
            worker.wake()

    def send_to(self, destination: Destination) -> None:
        """Start a worker for a new pixel, or give a known pixel other credentials."""
        worker = self._workers.get(destination.pixel)
        if worker is not None:
            worker.use(destination)
        elif not self._stopping.is_set():
            rate_limit = RateLimit(
                limit=destination.rate, clock=self.clock, past=(), pixels=[destination.pixel]
            )
            worker = self._workers[destination.pixel] = self._make_worker(
                destination, rate_limit, ()
            )
            task = asyncio.create_task(worker.run())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def leave(self, pixel: str) -> None:
        """Stop the worker of a pixel. Batches in flight finish; pending deliveries stay queued."""
        worker = self._workers.pop(pixel, None)
        if worker is not None:
            worker.stop()

    async def hold(self, pixel: str, *, who: str) -> bool:
        """Pause a pixel at a user's request; return whether it has a worker.

        Raises LedgerUnavailable.
        """
        worker = self._workers.get(pixel)
        if worker is not None:
            await worker.hold(who)
        return worker is not None

    async def release(self, pixel: str) -> bool:
        """End any pause of a pixel; return whether it has a worker."""
        worker = self._workers.get(pixel)
        if worker is not None:
            await worker.release()
        return worker is not None

    @property
    def trouble(self) -> str | None:
        """The reason why the store cannot be written, or None."""
        return self._sweep.trouble

    async def start(self) -> None:
        """Restore clock, limits and pauses from the store and start. Raises LedgerUnavailable."""
        (timed,) = await self.outbox.load(ClockRecord)
        self.clock.resume(latest=timed.latest, ahead=timed.ahead)
        await self._sweep.once()
        pauses = list(await self.outbox.load(Pause))
        rate_limits = await self._rate_limits(timed.last)
        for destination in self.destinations:
            self._workers[destination.pixel] = self._make_worker(
                destination, rate_limits[destination.meter], pauses
            )
        if self.tags is not None:
            past = await self.outbox.answer(AttemptsQuery(since=self.clock.now() - RATE_WINDOW))
            for rule in self.tags.rules:
                self._workers[rule.pixel] = self.tags.make_worker(
                    rule, past=past.get(rule.pixel, ()), pause=_whole(pauses, rule.pixel)
                )
        for worker in self._workers.values():
            self._tasks.add(asyncio.create_task(worker.run()))
        self._tasks.add(asyncio.create_task(self._sweep.run(self._stopping)))

    async def stop(self, *, within: int) -> bool:
        """Stop claiming, and wait for batches in flight; return whether all ended in time.

        `within` is in milliseconds. Unfinished deliveries stay `sending` and are resent as
        ambiguous after the next start.
        """
        self._stopping.set()
        for worker in self._workers.values():
            worker.stop()
        if not self._tasks:
            return True
        _, unfinished = await asyncio.wait(self._tasks, timeout=within / 1_000)
        for task in unfinished:
            task.cancel()
        if unfinished:
            await asyncio.wait(unfinished)
        return not unfinished

    async def _rate_limits(self, last: int) -> Mapping[str, RateLimit]:
        """Return one rate limit per account, filled with what was sent before this start.

        The time since the `last` moment on record counts as zero: the machine's clock may have
        been moved meanwhile, and sending too early is worse than a little late.
        """
        now = self.clock.now()
        away = max(0, now - last) if last else 0
        since = now - away - RATE_WINDOW
        spent = await self.outbox.answer(AttemptsQuery(since=since))
        past: dict[str, list[tuple[int, int]]] = {}
        limits: dict[str, int] = {}
        for destination in self.destinations:
            past.setdefault(destination.meter, []).extend(
                (at + away, many) for at, many in spent.get(destination.pixel, ())
            )
            limits[destination.meter] = destination.rate
        closed = {
            window.pixel: window.until + away
            for window in await self.outbox.load(RateLimitWindow)
            if window.until > since
        }
        rate_limits = {}
        for name, sent in past.items():
            pixels = [
                destination.pixel for destination in self.destinations if destination.meter == name
            ]
            rate_limit = RateLimit(limit=limits[name], clock=self.clock, past=sent, pixels=pixels)
            until = max((closed.get(pixel, 0) for pixel in pixels), default=0)
            if until:
                rate_limit.obey(left=0, reset=until)
                rate_limit.noted(until)
            rate_limits[name] = rate_limit
        return rate_limits

    def _make_worker(
        self, destination: Destination, rate_limit: RateLimit, pauses: Sequence[Pause]
    ) -> Worker:
        circuit_breaker = CircuitBreaker(
            pixel=destination.pixel,
            state=self.outbox,
            clock=self.clock,
            observer=self.observer,
            pause=_whole(pauses, destination.pixel),
        )
        batch_handler = BatchSender(
            destination=destination,
            delivery_store=self.outbox,
            x_client=self.x_client,
            rate_limit=rate_limit,
            circuit_breaker=circuit_breaker,
            clock=self.clock,
            randomness=self.randomness,
            observer=self.observer,
            lease=self.worker_config.lease,
            in_flight=self.worker_config.in_flight,
            pauses=[pause for pause in pauses if pause.pixel == destination.pixel and pause.event],
        )
        return Worker(
            pixel=destination.pixel,
            outbox=self.outbox,
            batch_handler=batch_handler,
            rate_limit=rate_limit,
            circuit_breaker=circuit_breaker,
            clock=self.clock,
            observer=self.observer,
            worker_config=self.worker_config,
            holding=self._holding,
            cautious=destination.is_cautious,
        )


def _whole(pauses: Iterable[Pause], pixel: str) -> Pause | None:
    """Return the pause of a pixel itself, not of an event of it."""
    return next((pause for pause in pauses if (pause.pixel, pause.event) == (pixel, "")), None)
