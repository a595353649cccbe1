"""Run a tag's batches concurrently, in the tag's own delivery worker."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field
from hashlib import blake2b
from typing import Final

import msgspec

from twite.domain.delivery import Batch, Delivery, Transition, Trigger
from twite.domain.errors import NotOpened, TransientError
from twite.domain.pause import Pause
from twite.domain.times import SECOND
from twite.gateway.delivery.current_evidence import CurrentEvidence
from twite.gateway.delivery.monotonic_clock import MonotonicClock
from twite.gateway.delivery.rate_limit import RateLimit
from twite.gateway.delivery.requests_in_flight import RequestsInFlight
from twite.gateway.delivery.settler import Settler, fault
from twite.gateway.delivery.worker import BatchHandler, Worker, WorkerConfig
from twite.gateway.ports.events import Attempted, Observer, ProblemPlace, ProblemSeen
from twite.gateway.ports.machine import Randomness
from twite.gateway.ports.outbox import DeliveryStore
from twite.gateway.ports.secret_store import Seal
from twite.tags.ports.tags import ContainerConfig, TagRule, rules_of
from twite.tags.run.outbound import RunContext
from twite.tags.run.outcome import (
    MOST_LOOK_UPS,
    RunOutcome,
    attempt_of,
    transition_of,
)
from twite.tags.run.payload import decided, read
from twite.tags.run.tag_run import TagRun
from twite.tags.runtime.probation import Probations

_GIVING_BACK: Final = 1  # seconds
# The number of batches of a tag in flight.
_BATCHES_AT_ONCE: Final = 2
# Runs are claimed alone or in small groups, so a full batch is not worth waiting for.
_LINGER: Final = 20
_SHORTEST_LEASE: Final = 60 * SECOND


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class TagBatchSender(BatchHandler):
    """Runs and settles one tag's batches."""

    container_config: ContainerConfig
    rule: TagRule
    run_context: RunContext
    delivery_store: DeliveryStore
    current_evidence: CurrentEvidence
    clock: MonotonicClock
    randomness: Randomness
    observer: Observer
    lease: int
    seal: Seal | None
    _settler: Settler = field(init=False)
    _slots: asyncio.Semaphore = field(init=False)
    stopping: bool = field(init=False, default=False)
    _trials: Probations = field(init=False)
    _whose: str = field(init=False)
    separates_events: bool = field(init=False, default=False)
    requests: RequestsInFlight = field(init=False)

    def __post_init__(self) -> None:
        self.requests = RequestsInFlight(clock=self.clock, slots=_BATCHES_AT_ONCE)
        self._settler = Settler(
            delivery_store=self.delivery_store,
            clock=self.clock,
            observer=self.observer,
            lease=self.lease,
        )
        self._slots = asyncio.Semaphore(self.rule.in_flight)
        self._trials = self.run_context.engine_pool.trials
        self._whose = f"tag {self.rule.name}"
        # Few deliveries and one batch at first, so that a tag that hangs delays no other tag.
        self.current_evidence.limit_batches(1)
        self.current_evidence.slow_down(0)

    async def take(self, batch: Batch) -> None:
        """Run a batch and settle each of its deliveries.

        If the store fails, deliveries that have run stay `sending` until their lease expires.
        """
        tasks = [
            asyncio.create_task(self._run_delivery(batch, delivery))
            for delivery in batch.deliveries
        ]
        try:
            await asyncio.wait(tasks)
        except asyncio.CancelledError:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise

    async def give_back(self, batch: Batch, deliveries: Sequence[int], *, wait: int = 0) -> None:
        """Requeue deliveries that did not run. This does not count as an attempt."""
        await self._settler.give_back(batch, deliveries, wait=wait)

    async def _run_delivery(self, batch: Batch, delivery: Delivery) -> None:
        tag_run: TagRun | str = ""
        at = self.clock.now()
        try:
            async with self._slots:
                if self.stopping:
                    await self.give_back(batch, [delivery.id])
                    return
                if rest := self._trials.begin(self._whose):
                    # The delivery was claimed before another delivery of the batch exceeded a
                    # limit.
                    self.current_evidence.slow_down(rest)
                    await self.give_back(batch, [delivery.id], wait=rest)
                    return
                at = self.clock.now()
                began = self.clock.elapsed()
                ran = RunOutcome()
                try:
                    tag_run = self._tag_run(delivery)
                    ran = (
                        RunOutcome(not_run=tag_run)
                        if isinstance(tag_run, str)
                        else await tag_run.run()
                    )
                finally:
                    self._record_cost(tag_run, ran)
            await self._settle(batch, delivery, ran, at=at, took=self.clock.elapsed() - began)
        except TransientError as error:
            self.observer.see(ProblemSeen(where=ProblemPlace.OUTBOX, reason=error.reason))
        except asyncio.CancelledError:
            # The shutdown deadline has passed. Requests that may have been sent stay ambiguous.
            if not (isinstance(tag_run, TagRun) and tag_run.left):
                with suppress(TimeoutError, TransientError):
                    async with asyncio.timeout(_GIVING_BACK):
                        await self.give_back(batch, [delivery.id])
            raise
        except Exception as error:  # noqa: BLE001  every run must be recorded
            self.observer.see(ProblemSeen(where=ProblemPlace.TAG, reason=type(error).__name__))
            await self._count_fault(batch, delivery, error, tag_run, at=at)

    def _record_cost(self, tag_run: TagRun | str, run_outcome: RunOutcome) -> None:
        """Record the cost of a run, and slow down a tag that exceeded a limit."""
        if not isinstance(tag_run, str) and tag_run.lost is not None:
            self._trials.lose(self._whose, tag_run.lost)
        else:
            burned = 0.0 if isinstance(tag_run, str) else tag_run.burned
            spent = run_outcome.is_spent or (isinstance(tag_run, TagRun) and tag_run.spent)
            self._trials.end(self._whose, took=burned, spent=spent)
        self.current_evidence.slow_down(self._trials.rest(self._whose))

    def _tag_run(self, delivery: Delivery) -> TagRun | str:
        """Return the run of the delivery's tag, or the reason why it cannot run."""
        try:
            payload = read(delivery.body, name=self.rule.pixel, seal=self.seal)
        except NotOpened as unopened:
            return str(unopened)
        except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
            return f"the queued payload cannot be read: {wrong}"
        # The seed is secret, and is the same for every run of this delivery. A first turn before
        # the response has its own seed.
        seed = blake2b(f"{self.rule.pixel}\0{delivery.id}".encode(), digest_size=6).digest()
        return TagRun(
            self.run_context,
            container_config=self.container_config,
            rule=self.rule,
            payload=payload,
            trace=self.run_context.trace(payload.preview),
            last_try=delivery.attempts + 1 >= MOST_LOOK_UPS,
            on_fired=lambda: self._record_decision(delivery),
            seed=payload.seed or int.from_bytes(seed) or 1,
        )

    async def _record_decision(self, delivery: Delivery) -> None:
        """Store that the pending triggers matched, because a retry must not evaluate them again.

        Raises LedgerUnavailable.
        """

        def write(name: str, body: bytes) -> bytes | None:
            # If another sender has settled the delivery, `body` is that of the next delivery.
            is_same = name == self.rule.pixel and body == delivery.body
            return decided(body) if is_same else None

        await self.delivery_store.rewrite(write, after=delivery.id - 1, limit=1)

    async def _settle(
        self, batch: Batch, delivery: Delivery, run_outcome: RunOutcome, *, at: int, took: int
    ) -> None:
        tried = attempt_of(run_outcome, delivery.id, pixel=batch.pixel, event=batch.event, at=at)
        transition = transition_of(
            run_outcome,
            delivery.id,
            rule=self.rule,
            tries=delivery.attempts + 1,
            now=self.clock.now(),
            randomness=self.randomness.fraction(),
        )
        unmade = run_outcome.not_run is not None or run_outcome.not_fired is not None
        await self._settler.settle(batch, None if unmade else tried, (transition,))
        most = 2 * self.current_evidence.evidence.size.most
        self.current_evidence.limit_batches(
            1 if run_outcome.passed_a_limit else min(self.rule.in_flight, most)
        )
        if run_outcome.not_fired is not None:
            return
        self.observer.see(
            Attempted(
                pixel=batch.pixel,
                event=batch.event,
                outcome=tried.outcome,
                status=tried.status,
                conversions=1,
                took=took,
                reason="" if run_outcome.succeeded else run_outcome.not_run or run_outcome.reason,
                ambiguous=tried.ambiguous,
                again=int(delivery.ambiguous_since is not None),
            )
        )
        self.run_context.engine_pool.record_run(self.rule.pixel, is_spent=run_outcome.is_spent)
        if run_outcome.undecided and not run_outcome.passed_a_limit:
            return  # deliveries that need no lookup continue
        if run_outcome.succeeded or not (run_outcome.may_pass or run_outcome.passed_a_limit):
            self.current_evidence.record_response()
        else:
            # The tag's other deliveries would also hang, or reach the limits.
            self.current_evidence.record_failure()

    async def _count_fault(
        self,
        batch: Batch,
        delivery: Delivery,
        error: Exception,
        tag_run: TagRun | str,
        *,
        at: int,
    ) -> None:
        left = isinstance(tag_run, TagRun) and tag_run.left
        tried = fault(
            (delivery,), error, pixel=batch.pixel, event=batch.event, at=at, ambiguous=left
        )
        blamed = Transition(
            trigger=Trigger.EXPIRED, deliveries=(delivery.id,), due_at=self.clock.now()
        )
        with suppress(TransientError):
            await self._settler.settle(batch, tried, (blamed,))


@dataclass(slots=True, eq=False, repr=False)
class TagWorkers:
    """Creates the workers of tags. `holding` collects the leases in flight, for the sweeper."""

    container_configs: Sequence[ContainerConfig]
    _: KW_ONLY
    run_context: RunContext
    delivery_store: DeliveryStore
    clock: MonotonicClock
    randomness: Randomness
    observer: Observer
    seal: Seal | None
    _by_pixel: dict[str, tuple[ContainerConfig, TagRule]] = field(init=False)
    holding: set[int] = field(init=False, default_factory=set)
    rules: tuple[TagRule, ...] = field(init=False)

    def __post_init__(self) -> None:
        self._by_pixel = {
            rule.pixel: (config, rule) for config, rule in rules_of(self.container_configs)
        }
        self.rules = tuple(rule for _, rule in self._by_pixel.values())

    def make_worker(
        self, pixel: str, *, past: Sequence[tuple[int, int]], pauses: Sequence[Pause]
    ) -> Worker:
        container_config, rule = self._by_pixel[pixel]
        current_evidence = CurrentEvidence(
            pixel=rule.pixel,
            state=self.delivery_store,
            clock=self.clock,
            randomness=self.randomness,
            observer=self.observer,
            pauses=[pause for pause in pauses if not pause.event],
        )
        # Much longer than most runs. A run that waits even longer, for a setup tag that other runs
        # use, does not lose its claim, which is in `holding`: only when a gateway has ended do its
        # claims expire.
        lease = max(_SHORTEST_LEASE, 3 * rule.timeout)
        batch_handler = TagBatchSender(
            container_config=container_config,
            rule=rule,
            run_context=self.run_context,
            delivery_store=self.delivery_store,
            current_evidence=current_evidence,
            clock=self.clock,
            randomness=self.randomness,
            observer=self.observer,
            lease=lease,
            seal=self.seal,
        )
        return Worker(
            pixel=rule.pixel,
            outbox=self.delivery_store,
            batch_handler=batch_handler,
            rate_limit=RateLimit(limit=rule.rate, clock=self.clock, past=past, pixels=[rule.pixel]),
            current_evidence=current_evidence,
            clock=self.clock,
            observer=self.observer,
            worker_config=WorkerConfig(
                batch=rule.in_flight, in_flight=_BATCHES_AT_ONCE, linger=_LINGER, lease=lease
            ),
            holding=self.holding,
            cautious=rule.is_cautious,
        )
