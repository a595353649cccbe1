"""A store whose calls fail, or whose caller crashes before, during or after them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum, auto
from typing import Any, Protocol, TypeVar

from memory_store.store import MemoryStore
from simulator.clock import TrialClock
from twite.domain.delivery import Batch, Settlement
from twite.domain.errors import LedgerUnavailable
from twite.domain.people.users import AuditEvent
from twite.domain.submission import Recorded, Submission
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.outbox import (
    Claim,
    HoldRejected,
    Move,
    MoveResult,
    SweepRequest,
    SweepResult,
)
from twite.gateway.ports.queries import Query
from twite.gateway.ports.state import R, RateLimitWindow, StateKey, StateRecord
from twite.gateway.ports.store import Store

T = TypeVar("T")


class CallFault(Enum):
    """The outcome of one call."""

    NONE = auto()
    REFUSED = auto()  # the call fails, and nothing was done
    UNKNOWN = auto()  # the call fails, although it was carried out
    DIES_BEFORE = auto()  # the process ends just before the call
    DIES_AFTER = auto()  # the process ends just after the call, before the caller gets the result


class StoreData(Protocol):
    """A store's data, which outlives the processes."""

    async def do(self, act: Callable[[Store], Awaitable[T]]) -> T:
        """Run the call on the store to its end."""
        ...

    async def reopen(self, *, crashed: bool) -> None:
        """Reopen the store after its owner crashed or stopped."""
        ...

    async def close(self) -> None:
        """Release everything."""
        ...


class MemoryStoreData:
    """A MemoryStore or a subclass."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        self._store = store or MemoryStore()

    async def do(self, act: Callable[[Store], Awaitable[T]]) -> T:
        return await act(self._store)

    async def reopen(self, *, crashed: bool) -> None:  # noqa: ARG002 a crash and a stop are the same for a memory store
        await self._store.restart()

    async def close(self) -> None:
        await self._store.close()


class Span:
    """One process's life. After its end, calls never return."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.over = False
        # Crashes after this many more steps, if set.
        self.steps: int | None = None

    async def step(self) -> None:
        """Pass a point at which the process can crash."""
        if self.steps is not None:
            self.steps -= 1
            if self.steps < 0:
                self.over = True
        if self.over:
            await self.end()

    async def end(self) -> None:
        """End here."""
        self.over = True
        await asyncio.get_running_loop().create_future()


class StoreMischief(Protocol):
    """Decides the faults of calls."""

    def on_call(self, name: str) -> tuple[CallFault, int, int]:
        """Return the outcome of a call, and its delays before and after in milliseconds."""
        ...


class Witness(Protocol):
    """Observes what a store has really done, whatever its caller learns."""

    def claimed(self, batch: Batch) -> None: ...

    def settled(self, settlement: Settlement) -> None: ...

    def doubted(self, deliveries: Sequence[int]) -> None: ...

    def noted(self, closures: Sequence[RateLimitWindow]) -> None: ...

    def troubled(self) -> None: ...


class MortalStore:
    """One process's view of a store: Ledger and Outbox."""

    def __init__(
        self,
        *,
        store_data: StoreData,
        span: Span,
        clock: TrialClock,
        time: Clock,
        mischief: StoreMischief,
        witness: Witness,
    ) -> None:
        """`time` is the time as the process knows it."""
        self._store_data = store_data
        self._span = span
        self._clock = clock
        self._time = time
        self._mischief = mischief
        self._witness = witness

    async def record(self, submission: Submission) -> Recorded:
        return await self._call("record", lambda store: store.record(submission))

    async def claim(self, claim: Claim) -> Batch | None:
        return await self._call(
            "claim",
            lambda store: store.claim(claim),
            self._claimed,
        )

    async def claim_several(self, claim: Claim, *, most: int) -> Sequence[Batch]:
        return await self._call(
            "claim",
            lambda store: store.claim_several(claim, most=most),
            lambda batches: [self._claimed(batch) for batch in batches],
        )

    async def withdrawn(self, batch: Batch) -> Sequence[int]:
        return await self._call("withdrawn", lambda store: store.withdrawn(batch))

    async def settle(self, settlement: Settlement) -> int:
        for transition in settlement.transitions:
            if transition.due_at is not None:
                self._clock.expect(transition.due_at - self._time.now())
        return await self._call(
            "settle",
            lambda store: store.settle(settlement),
            lambda late: self._settled(settlement, late),
        )

    async def sweep(self, sweeping: SweepRequest) -> SweepResult:
        return await self._call("sweep", lambda store: store.sweep(sweeping), self._swept)

    async def answer(self, query: Query[T]) -> T:
        return await self._call("answer", lambda store: store.answer(query))

    async def load(self, kind: type[R], *, prefix: str = "") -> Sequence[R]:
        return await self._call("load", lambda store: store.load(kind, prefix=prefix))

    async def put(self, records: Sequence[StateRecord], **more: Any) -> None:
        windows = [record for record in records if isinstance(record, RateLimitWindow)]
        await self._call(
            "put",
            lambda store: store.put(records, **more),
            lambda _: self._witness.noted(windows),
        )

    async def delete(self, kind: type[StateRecord], *keys: StateKey, **more: Any) -> None:
        await self._call("delete", lambda store: store.delete(kind, *keys, **more))

    async def move(
        self, move: Move, *, now: int, audit_event: AuditEvent | None = None
    ) -> MoveResult:
        doubted = move.deliveries if isinstance(move, HoldRejected) else ()
        return await self._call(
            "move",
            lambda store: store.move(move, now=now, audit_event=audit_event),
            lambda _: self._witness.doubted(doubted),
        )

    def _claimed(self, batch: Batch | None) -> None:
        if batch is not None:
            self._witness.claimed(batch)

    def _settled(self, settlement: Settlement, late: int) -> None:
        # If some transitions came too late, it is unknown which ones.
        if not late:
            self._witness.settled(settlement)

    def _swept(self, swept: SweepResult) -> None:
        if swept.next_due is not None:
            self._clock.expect(swept.next_due - self._time.now())

    async def _call(
        self,
        name: str,
        act: Callable[[Store], Awaitable[T]],
        tell: Callable[[T], object] = lambda _: None,
    ) -> T:
        """Run the call with its faults; `tell` receives the result of what was really done."""
        self._clock.beat()
        await self._span.step()
        fault, before, after = self._mischief.on_call(name)
        if fault is not CallFault.NONE:
            self._clock.watch()
            self._witness.troubled()
        await self._wait(before)
        if fault is CallFault.DIES_BEFORE:
            await self._span.end()
        if fault is CallFault.REFUSED:
            raise LedgerUnavailable(reason=f"{name} failed before it was done", retry_after=1)
        result = await self._store_data.do(act)
        tell(result)
        self._clock.beat()
        if fault is CallFault.DIES_AFTER:
            await self._span.end()
        await self._wait(after)
        if fault is CallFault.UNKNOWN:
            raise LedgerUnavailable(reason=f"{name} failed after it was done", retry_after=1)
        return result

    async def _wait(self, ms: int) -> None:
        if ms:
            await self._clock.sleep(ms)
        await self._span.step()
