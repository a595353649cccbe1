"""The world of one trial: gateway processes on one store, clients, X, and time."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from builders import a_source
from simulator.checks import duration_text
from simulator.clock import TrialClock
from simulator.judge import Judge
from simulator.randomness import TrialChance
from simulator.records import Key
from simulator.scenario import Crash, Happening, Jump, Offer, Replay, Scenario, Stop
from simulator.store import MortalStore, Span, StoreData
from simulator.x import SimulatedX, SpanTransport
from twite.domain.delivery import State
from twite.domain.destination import RATE_WINDOW
from twite.domain.errors import TransientError
from twite.domain.history import History, total
from twite.domain.times import HOUR, MINUTE, SECOND
from twite.gateway.delivery.monotonic_clock import MonotonicClock
from twite.gateway.delivery.runner import DeliveryRunner
from twite.gateway.delivery.x_client import XClient
from twite.gateway.ingest.accept import Accept
from twite.gateway.ports import outbox
from twite.gateway.ports.events import GatewayEvent, ProblemSeen
from twite.gateway.ports.queries import AtRest, ByConversionId

_ALL: Final = 100_000
_TIGHT: Final = 1_000
_CANCELLING: Final = 20
_STOP_WITHIN: Final = 60 * SECOND
_WITH_CAUSE: Final = frozenset({State.HELD, State.DEAD, State.SUPPRESSED})


class World:
    """Runs a scenario, then continues until no delivery is left to send."""

    def __init__(
        self,
        *,
        scenario: Scenario,
        store_data: StoreData,
        clock: TrialClock,
        tell: Callable[[str], None],
    ) -> None:
        self.clock = clock
        self.judge = Judge(
            clock=clock, destinations=scenario.destinations, worker_config=scenario.worker_config
        )
        self.spans = 0
        self._scenario = scenario
        self._store_data = store_data
        self._tell = tell
        meters = {destination.pixel: destination.meter for destination in scenario.destinations}
        self._x = SimulatedX(clock=clock, judge=self.judge, mischief=scenario, meters=meters)
        self._span = Span(0)
        self._steady = MonotonicClock(clock)
        self._accept: Accept | None = None
        self._run: DeliveryRunner | None = None
        self._back_at = 0
        # Tasks that outlive a process: the world itself, and the clients.
        self._outside: set[asyncio.Task[object]] = set()
        clock.shift = scenario.shift
        if min(destination.rate for destination in scenario.destinations) < _TIGHT:
            # A worker that waits for its limit polls like one that waits for nothing.
            clock.leap = MINUTE

    async def play(self) -> None:
        """Run the scenario. It stops at the first finding."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._unexpected)
        me = asyncio.current_task()
        assert me is not None
        self._outside.add(me)
        self._boot()
        for at, happening in self._scenario.timeline():
            if not await self._pass(at):
                return
            self.say(str(happening)[:300])
            await self._happen(happening)
            await self._weigh()
        self._scenario.still()
        self._span.steps = None
        self.say("all trouble is over")
        await self._drain()
        await self._end(crashed=False)

    def say(self, text: str) -> None:
        """Write the next line of the log."""
        self._tell(f"{duration_text(self.clock.elapsed())}  {text}")

    def see(self, notice: GatewayEvent) -> None:
        """Watch the gateway."""
        self.say(str(notice))
        if isinstance(notice, ProblemSeen) and notice.where not in {"outbox", "sweep", "ledger"}:
            self.judge.fail("no_fault_of_ours", notice.reason)

    async def _happen(self, happening: Happening) -> None:
        match happening:
            case Offer():
                for key, poison, suppressed in zip(
                    happening.keys, happening.poison, happening.suppressed, strict=True
                ):
                    self.judge.offered(key, poison=poison, suppressed=suppressed)
                client: asyncio.Task[object] = asyncio.create_task(self._submit(happening))
                self._outside.add(client)
                client.add_done_callback(self._outside.discard)
            case Crash(steps=steps):
                self._span.steps = steps
            case Stop():
                await self._stop()
            case Jump(by=by):
                self.clock.shift += by
                self.clock.watch()
                self.judge.jumped()
            case Replay():
                await self._replay()

    async def _pass(self, until: int) -> bool:
        """Let time pass; return whether all checks hold."""
        clock = self.clock
        while not self.judge.findings:
            await clock.quiet()
            if self._span.over:
                await self._end(crashed=True)
            elif self._run is None and clock.elapsed() >= self._back_at:
                self._boot()
            elif clock.elapsed() >= until:
                return not self.judge.findings
            else:
                back = until if self._run is not None else max(self._back_at, clock.elapsed())
                clock.move(clock.next_moment(min(until, back)))
        return False

    def _boot(self) -> None:
        self.spans += 1
        span = self._span = Span(self.spans)
        self.say(f"process {span.number} starts")
        steady = self._steady = MonotonicClock(self.clock)
        store = MortalStore(
            store_data=self._store_data,
            span=span,
            clock=self.clock,
            time=steady,
            mischief=self._scenario,
            witness=self.judge,
        )
        randomness = TrialChance(f"process {span.number}")
        post = XClient(
            transport=SpanTransport(x=self._x, span=span),
            clock=steady,
            randomness=randomness,
            api_url="https://x.example",
            version="12",
        )
        run = self._run = DeliveryRunner(
            destinations=self._scenario.destinations,
            outbox=store,
            x_client=post,
            clock=steady,
            randomness=randomness,
            observer=self,
            worker_config=self._scenario.worker_config,
        )
        accept = Accept(
            intake=store,
            clock=steady,
            randomness=randomness,
            destinations={
                destination.pixel: destination for destination in self._scenario.destinations
            },
            salt=b"trial",
            wake=run.wake,
            observer=self,
            wall_clock=self.clock,
        )
        self.clock.watch()
        self.clock.beat()
        self._starting = asyncio.create_task(self._start(run, accept, span))

    async def _start(self, run: DeliveryRunner, accept: Accept, span: Span) -> None:
        try:
            await run.start()
        except TransientError:
            span.over = True
        else:
            self._accept = accept
        self.clock.beat()

    async def _end(self, *, crashed: bool) -> None:
        """Kill the process: nothing of it continues."""
        span, self._span = self._span, Span(0)
        span.over = True
        self._accept = self._run = None
        if crashed:
            self.judge.ended(span)
        for _ in range(_CANCELLING):
            # A dying process that tries to release something gets no answer from the store.
            tasks = asyncio.all_tasks() - self._outside
            for task in tasks:
                task.cancel()
            await asyncio.sleep(0)
        await asyncio.gather(*(asyncio.all_tasks() - self._outside), return_exceptions=True)
        await self._store_data.reopen(crashed=crashed)
        away = self._scenario.away()
        self._back_at = self.clock.elapsed() + away
        self.say(f"process {span.number} {'dies' if crashed else 'has stopped'}, for {away} ms")

    async def _stop(self) -> None:
        """Stop cleanly: in-flight requests finish. Time passes meanwhile."""
        run, span = self._run, self._span
        if run is None or self._accept is None:
            return
        self._accept = None
        stopping = asyncio.create_task(run.stop(within=_STOP_WITHIN))
        while not stopping.done() and not span.over and not self.judge.findings:
            await self.clock.quiet()
            if not stopping.done():
                self.clock.watch()
                self.clock.move(self.clock.next_moment(self.clock.elapsed() + MINUTE))
        if not span.over:
            self.judge.troubled()
            await self._end(crashed=False)

    async def _submit(self, offer: Offer) -> None:
        """Act as a client: repeat the submission until it is acknowledged."""
        source = a_source(pixel=offer.pixel)
        while True:
            accept = self._accept
            if accept is not None:
                asked = asyncio.create_task(accept.native(source=source, body=offer.body))
                await asyncio.wait({asked})
                self.clock.beat()
                if not asked.cancelled() and not isinstance(asked.exception(), TransientError):
                    asked.result()
                    break
            await self.clock.sleep(7 * SECOND)
        for key in offer.keys:
            self.judge.acknowledged(key)

    async def _replay(self) -> None:
        histories = await self._store_data.do(
            lambda store: store.find(AtRest(pixel=None, limit=_ALL))
        )
        self._require_causes(histories)
        held = [live for live in histories if live.state is State.HELD]
        for letter in held:
            self.judge.replayed((letter.pixel, letter.event, letter.conversion_id))
        ids, now = [letter.delivery for letter in held], self._steady.now()
        await self._store_data.do(
            lambda store: store.move(outbox.Replay(deliveries=ids, sure=ids), now=now)
        )
        if self._run is not None:
            self._run.wake_all()
        self.say(f"a person replays {len(ids)}")

    async def _drain(self) -> None:
        """After the faults: deliver everything queued, and release everything held."""
        for _ in range(2):
            if not await self._pass(self.clock.elapsed() + self._patience()):
                return
            pending = await self._weigh()
            if pending:
                self.judge.fail("drained", f"{pending} are still pending")
                return
            await self._replay()
        if await self._pass(self.clock.elapsed() + self._patience()):
            await self._weigh()
            await self._settle_up()

    def _patience(self) -> int:
        """Return how long draining may take, by the tightest limit and X's last reset.

        Bisects send conversions more than once.
        """
        tightest = min(destination.rate for destination in self._scenario.destinations)
        return HOUR + RATE_WINDOW * (2 + 2 * len(self.judge.truths) // tightest)

    async def _weigh(self) -> int:
        """Check the balance and the pixel without faults; return the number pending."""
        account = total(await self._store_data.do(lambda store: store.balance()))
        if account.balance != 0:
            self.judge.fail("balance", str(account))
        if self._scenario.calm is not None:
            self.judge.check_prompt(self._scenario.calm)
        return account.pending

    async def _settle_up(self) -> None:
        """Look up each acknowledged conversion."""
        for key, truth in self.judge.truths.items():
            if truth.acknowledged_at is None:
                self.judge.fail("drained", f"{key} was never acknowledged")
                continue
            states = await self._states(key)
            if len(states) != 1:
                self.judge.fail("nothing_lost", f"{key} is in {len(states)} states")
            elif states[0] is State.DELIVERED and truth.poison:
                self.judge.fail("poison_is_not_delivered", f"{key}")
            elif states[0] is State.DELIVERED and not truth.ever_taken:
                self.judge.fail("delivered_is_at_x", f"{key} is not")
            elif truth.suppressed or truth.poison:
                right = {State.SUPPRESSED} if truth.suppressed else {State.DEAD, State.HELD}
                if states[0] not in right:
                    self.judge.fail("nothing_lost", f"{key} is {states[0]}")
            elif states[0] is not State.DELIVERED:
                self.judge.fail("drained", f"{key} is {states[0]} though nothing is wrong with it")

    async def _states(self, key: Key) -> list[State]:
        pixel, event, conversion_id = key
        histories = await self._store_data.do(
            lambda store: store.find(
                ByConversionId(pixel=pixel, events=[event], conversion_id=conversion_id)
            )
        )
        self._require_causes(histories)
        # A copy whose key has moved to a later copy is marked; only the later one counts for the
        # conversion. A repeated denial is recorded again.
        states = [live.state for live in histories if live.superseded_by is None]
        return states[:1] if set(states) == {State.SUPPRESSED} else states

    def _require_causes(self, histories: Sequence[History]) -> None:
        for history in histories:
            if history.state in _WITH_CAUSE and history.cause is None:
                self.judge.fail("cause", f"{history.conversion_id} is {history.state}")

    def _unexpected(self, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        del loop
        self.judge.fail(
            "no_fault_of_ours", f"{context.get('message')}: {context.get('exception')!r}"
        )
