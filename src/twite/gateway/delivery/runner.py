"""Delivery runner: starts and stops the workers of all pixels and tags, and the sweeper."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from twite.domain.destination import RATE_WINDOW, Destination
from twite.domain.errors import TransientError
from twite.domain.pause import Pause, pause_by_user
from twite.gateway.delivery.monotonic_clock import MonotonicClock
from twite.gateway.delivery.pending_tests import PendingTests
from twite.gateway.delivery.pixel_workers import (
    PixelWorkers,
    TagWorkerFactory,
    WorkerRule,
    auth_of,
    worker_settings,
)
from twite.gateway.delivery.rate_limit import GatewayStart, restored_limits
from twite.gateway.delivery.store_follower import Listener, StoreFollower
from twite.gateway.delivery.sweeper import Sweeper
from twite.gateway.delivery.worker import Worker, WorkerConfig
from twite.gateway.delivery.x_client import XClient
from twite.gateway.ports.events import Observer, ProblemPlace, ProblemSeen
from twite.gateway.ports.machine import Randomness, wait_for_event
from twite.gateway.ports.outbox import DeliveryStore
from twite.gateway.ports.ownership import PAUSES, SHARE_OUT_EVERY, Ownership
from twite.gateway.ports.queries import AttemptsQuery
from twite.gateway.ports.state import ClockRecord


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class DeliveryRunner:
    """The workers of all pixels and tags, and the sweeper.

    With `ownership`, only the workers of accounts that this gateway owns run. No request to X lasts
    longer than `longest_request` (ms).
    """

    destinations: Sequence[Destination]
    outbox: DeliveryStore
    x_client: XClient
    clock: MonotonicClock
    randomness: Randomness
    observer: Observer
    worker_config: WorkerConfig
    tags: TagWorkerFactory | None = None
    ownership: Ownership | None = None
    longest_request: int = 0
    # Called when other gateways or commands have changed records: see `News.versions`.
    listeners: dict[str, Listener] = field(init=False)
    _workers: dict[str, Worker] = field(init=False, default_factory=dict)
    # All workers, including those told to stop whose last request has not ended yet.
    _running: dict[asyncio.Task[None], tuple[Worker, str]] = field(init=False, default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(init=False, default_factory=set)
    _joined: dict[str, str] = field(init=False, default_factory=dict)
    _owned: frozenset[str] = field(init=False, default=frozenset())
    _start: GatewayStart = field(init=False, default=GatewayStart())
    # Accounts that another gateway may own only after their last requests have ended.
    _leaving: set[str] = field(init=False, default_factory=set)
    _stopping: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    # The leases in flight in this process. The sweeper must not expire these leases.
    _holding: set[int] = field(init=False)
    _pixels: PixelWorkers = field(init=False)
    _sweep: Sweeper = field(init=False)
    _pending_tests: PendingTests = field(init=False)

    def __post_init__(self) -> None:
        self.listeners = {PAUSES: self._follow_pauses}
        self._holding = set() if self.tags is None else self.tags.holding
        self._pixels = PixelWorkers(
            outbox=self.outbox,
            x_client=self.x_client,
            clock=self.clock,
            randomness=self.randomness,
            observer=self.observer,
            worker_config=self.worker_config,
            holding=self._holding,
        )
        self._sweep = Sweeper(
            outbox=self.outbox,
            clock=self.clock,
            observer=self.observer,
            wake_all=self._wake_workers,
            lease=self.worker_config.lease,
            holding=self._holding,
            cautious=self._cautious(),
        )
        self._pending_tests = PendingTests(
            queries=self.outbox,
            clock=self.clock,
            observer=self.observer,
            accounts=self._accounts,
            start=self._add,
        )

    @property
    def _rules(self) -> Sequence[WorkerRule]:
        return () if self.tags is None else self.tags.rules

    def _cautious(self) -> frozenset[str]:
        """Return the pixels and tags whose ambiguous deliveries are held."""
        return frozenset(
            [destination.pixel for destination in self.destinations if destination.is_cautious]
            + [rule.pixel for rule in self._rules if rule.is_cautious]
        )

    def wake(self, pixel: str) -> None:
        worker = self._workers.get(pixel)
        if worker is not None:
            worker.wake()
        else:
            self._pending_tests.wake(pixel)

    def wake_all(self) -> None:
        self._wake_workers()
        self._pending_tests.look()

    def _wake_workers(self) -> None:
        for worker in self._workers.values():
            worker.wake()

    def send_to(self, destination: Destination) -> None:
        """Start a worker for a new pixel, or replace the credentials of a known pixel."""
        others = [known for known in self.destinations if known.pixel != destination.pixel]
        self.destinations = (*others, destination)
        worker = self._workers.get(destination.pixel)
        if worker is not None:
            worker.use(destination)
        else:
            self._keep(asyncio.create_task(self._add([destination.pixel])))

    def leave(self, pixel: str) -> None:
        """Stop the worker of a pixel. Batches in flight finish; pending deliveries stay queued."""
        self.destinations = [known for known in self.destinations if known.pixel != pixel]
        worker = self._workers.pop(pixel, None)
        if worker is not None:
            worker.stop()

    def replace(self, destinations: Sequence[Destination]) -> None:
        """Send to these pixels instead of the previous ones, after a reload of the settings."""
        before = {known.pixel: known for known in self.destinations}
        for pixel in before.keys() - {destination.pixel for destination in destinations}:
            self.leave(pixel)
        for destination in destinations:
            known = before.get(destination.pixel)
            if known is None or auth_of(known) != auth_of(destination):
                self.send_to(destination)
            if known is not None and worker_settings(known) != worker_settings(destination):
                ending = [self._workers[known.pixel]] if known.pixel in self._workers else []
                self._keep(asyncio.create_task(self._start_again(ending, [known.pixel])))
        self.destinations = tuple(destinations)
        self._sweep.cautious = self._cautious()

    async def _start_again(self, ending: Sequence[Worker], pixels: Sequence[str]) -> None:
        """Start workers once the requests in flight of the previous workers have ended."""
        await self._end(ending)
        await self._add(pixels)

    def replace_tags(self, tags: TagWorkerFactory | None) -> asyncio.Task[None]:
        """Run other tags, after a reload. The task ends with the last run of the previous tags."""
        ending = [self._workers[rule.pixel] for rule in self._rules if rule.pixel in self._workers]
        if tags is not None:
            tags.holding = self._holding
        self.tags = tags
        self._sweep.cautious = self._cautious()
        self._joined = {}  # the longest request may be another one
        started = self._start_again(ending, [rule.pixel for rule in self._rules])
        return self._keep(asyncio.create_task(started))

    async def hold(self, pixel: str, *, who: str) -> bool:
        """Pause a pixel at a user's request. Return whether any gateway has a worker for it.

        Raises LedgerUnavailable.
        """
        worker = self._workers.get(pixel)
        if worker is not None:
            await worker.current_evidence.hold(who)
        elif self._reads_pauses(pixel):
            await self.outbox.put([pause_by_user(pixel, since=self.clock.now(), who=who)])
            return True
        return worker is not None

    async def release(self, pixel: str) -> bool:
        """End any pause of a pixel. Return whether any gateway has a worker for it."""
        reads_pauses = self._reads_pauses(pixel)
        if reads_pauses:
            pauses = await self.outbox.load(Pause)
            keys = [(pixel, pause.event) for pause in pauses if pause.pixel == pixel]
            await self.outbox.delete(Pause, *keys)
        worker = self._workers.get(pixel)
        if worker is not None:
            await worker.release()
        return reads_pauses or worker is not None

    def _reads_pauses(self, pixel: str) -> bool:
        """Whether a worker in another gateway, or one that starts later, reads stored pauses."""
        return pixel in (self._accounts() if self.ownership else self._pending_tests.sleeping())

    @property
    def problem(self) -> str | None:
        """The reason why the store cannot be written, or None."""
        return self._sweep.problem

    async def start(self) -> None:
        """Restore clock, limits and pauses from the store and start. Raises LedgerUnavailable."""
        (timed,) = await self.outbox.load(ClockRecord)
        self.clock.resume(latest=timed.latest, ahead=timed.ahead)
        await self._sweep.once()
        if self.ownership is None:
            self._start = GatewayStart.after(timed.last, now=self.clock.now())
            await self._begin(self._pending_tests.awake(), start=self._start)
        else:
            # This may fail, because another gateway may have stopped with a lock that is needed
            # here.
            rest = await self._try_to_share_out(self.ownership)
            self._keep(asyncio.create_task(self._keep_sharing(self.ownership, rest)))
            self._keep(asyncio.create_task(self._keep_lease(self.ownership)))
            follower = StoreFollower(
                ownership=self.ownership,
                workers=self._workers,
                pending_tests=self._pending_tests,
                listeners=self.listeners,
                clock=self.clock,
                observer=self.observer,
            )
            self._keep(asyncio.create_task(follower.run(self._stopping)))
        self._keep(asyncio.create_task(self._sweep.run(self._stopping)))
        self._keep(asyncio.create_task(self._pending_tests.run(self._stopping)))

    def _accounts(self) -> dict[str, str]:
        """Return the account to which each pixel and tag belongs."""
        return {destination.pixel: destination.meter for destination in self.destinations} | {
            rule.pixel: rule.pixel for rule in self._rules
        }

    async def _begin(self, accounts: Mapping[str, str], *, start: GatewayStart) -> None:
        """Start the workers of some pixels and tags."""
        pauses = list(await self.outbox.load(Pause))
        rate_limits = dict(
            await restored_limits(
                self.outbox, self.clock, self._destinations_of(accounts), start=start
            )
        )
        past: Mapping[str, Sequence[tuple[int, int]]] = {}
        if self.tags is not None:
            past = await self.outbox.answer(AttemptsQuery(since=self.clock.now() - RATE_WINDOW))
        if self._stopping.is_set():
            return  # the gateway is already stopping, so nothing would stop these workers
        # A pixel that a reload has added shares the limit of its account's running workers.
        for worker, account in self._running.values():
            if account in rate_limits and self._workers.get(worker.pixel) is worker:
                worker.rate_limit.share(rate_limits[account].pixels)
                rate_limits[account] = worker.rate_limit
        # A pixel may have been removed meanwhile, or got new credentials.
        workers = [
            self._pixels.make_worker(destination, rate_limits[destination.meter], pauses)
            for destination in self._destinations_of(accounts)
        ]
        if self.tags is not None:
            workers += [
                self.tags.make_worker(rule.pixel, past=past.get(rule.pixel, ()), pauses=pauses)
                for rule in self.tags.rules
                if rule.pixel in accounts
            ]
        for worker in workers:
            if worker.pixel not in self._workers:  # two reloads may add it at the same time
                self._run(worker, accounts[worker.pixel])

    def _destinations_of(self, accounts: Mapping[str, str]) -> Sequence[Destination]:
        return [known for known in self.destinations if known.pixel in accounts]

    async def _add(self, pixels: Collection[str]) -> None:
        """Start the workers of added pixels, as soon as their limits and pauses can be read."""
        # With ownership, the next division of the accounts starts them.
        while self.ownership is None and not self._stopping.is_set():
            try:
                added = {
                    pixel: account
                    for pixel, account in self._pending_tests.awake().items()
                    if pixel in pixels and pixel not in self._workers
                }
                await self._begin(added, start=self._start)
                break
            except Exception as error:  # noqa: BLE001  a pixel without a worker is never sent
                self.observer.see(ProblemSeen.of(ProblemPlace.OUTBOX, error))
            await wait_for_event(self._stopping, self.clock, most=SHARE_OUT_EVERY)

    def _run(self, worker: Worker, account: str) -> None:
        self._workers[worker.pixel] = worker
        task = self._keep(asyncio.create_task(worker.run()))
        self._running[task] = (worker, account)
        task.add_done_callback(self._running.pop)

    def _keep(self, task: asyncio.Task[None]) -> asyncio.Task[None]:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _keep_sharing(self, ownership: Ownership, rest: int) -> None:
        """Divide the accounts among the gateways, repeatedly, until stopped."""
        while not self._stopping.is_set():
            await wait_for_event(self._stopping, self.clock, most=rest)
            rest = await self._try_to_share_out(ownership)

    async def _keep_lease(self, ownership: Ownership) -> None:
        """Renew the lease while the accounts are divided, and workers start, until stopped."""
        while not self._stopping.is_set():
            await wait_for_event(self._stopping, self.clock, most=SHARE_OUT_EVERY)
            with suppress(TransientError):  # the division reports it
                await ownership.renew()

    async def _try_to_share_out(self, ownership: Ownership) -> int:
        """Divide the accounts; return the milliseconds until this should be repeated."""
        try:
            await self._share_out(ownership)
        except Exception as error:  # noqa: BLE001  without a lease, nothing is sent
            self.observer.see(ProblemSeen.of(ProblemPlace.OUTBOX, error))
        else:
            return ownership.next_refresh
        return SHARE_OUT_EVERY

    async def _share_out(self, ownership: Ownership) -> None:
        """Start the workers of accounts that this gateway owns now, and stop those of others."""
        if self._stopping.is_set():
            return
        accounts = self._accounts()
        if accounts != self._joined:
            longest = max([self.longest_request, *(rule.timeout for rule in self._rules)])
            await ownership.join(accounts, longest_request=longest)
            self._joined = accounts
        owned = await ownership.refresh()
        if owned is None:
            await self._end([worker for worker, _ in self._running.values()])
            self._owned, self._joined = frozenset(), {}  # so that it joins again next time
            return
        for account in self._owned - owned - self._leaving:
            self._leaving.add(account)
            self._keep(asyncio.create_task(self._hand_over(ownership, account)))
        self._owned = owned
        idle = {
            pixel: account
            for pixel, account in self._pending_tests.awake().items()
            if account in owned - self._leaving and pixel not in self._workers
        }
        if idle:
            (timed,) = await self.outbox.load(ClockRecord)
            await self._begin(idle, start=GatewayStart.after(timed.last, now=self.clock.now()))
        await self._follow_pauses()

    async def _hand_over(self, ownership: Ownership, account: str) -> None:
        """Release an account to another gateway once the requests in flight have ended."""
        await self._end([worker for worker, name in self._running.values() if name == account])
        while not self._stopping.is_set():
            try:
                await ownership.give_up([account])
                break
            except TransientError as error:
                self.observer.see(ProblemSeen(where=ProblemPlace.OUTBOX, reason=error.reason))
            await wait_for_event(self._stopping, self.clock, most=SHARE_OUT_EVERY)
        self._leaving.discard(account)

    async def _end(self, workers: Sequence[Worker]) -> None:
        """Stop workers, and wait until their requests have ended."""
        for worker in workers:
            worker.stop()
            self._workers.pop(worker.pixel, None)
        running = [task for task, (worker, _) in self._running.items() if worker in workers]
        if running:
            await asyncio.wait(running)

    async def _follow_pauses(self) -> None:
        """Apply pauses that users made or ended through another gateway."""
        noted = [(worker, worker.current_evidence.noted) for worker in self._workers.values()]
        pauses = await self.outbox.load(Pause)
        for worker, before in noted:
            worker.follow(pauses, before)

    async def stop(self, *, within: int) -> bool:
        """Stop claiming, and wait for batches in flight; return whether all ended in time.

        `within` is in milliseconds. Unfinished deliveries stay `sending` and are resent as
        ambiguous after the next start.
        """
        self._stopping.set()
        self._pending_tests.look()
        for worker in self._workers.values():
            worker.stop()
        unfinished: set[asyncio.Task[None]] = set()
        if self._tasks:
            _, unfinished = await asyncio.wait(self._tasks, timeout=within / 1_000)
        for task in unfinished:
            task.cancel()
        if unfinished:
            await asyncio.wait(unfinished)
        if self.ownership is not None:
            with suppress(TransientError):  # the lease ends soon in any case
                await self.ownership.leave()
        return not unfinished
