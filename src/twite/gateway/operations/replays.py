"""Replays: start a batch of dead and held deliveries, work it off in parts, follow and cancel it.

The store keeps each batch and its parts, so that another process can continue after a stop. A part
that was interrupted is worked off again: what it had queued is no longer dead or held, or was tried
since the start.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import msgspec

from twite.domain.cause import DeliveryCause
from twite.domain.delivery import State
from twite.domain.errors import LedgerUnavailable
from twite.domain.history import History
from twite.domain.people.users import AuditAction, AuditEvent
from twite.domain.replay_batch import PART, ReplayBatch, ReplayPart, ReplayProgress
from twite.domain.times import SECOND
from twite.gateway.operations.dry_run import BREATH, DryRun, DryRunResult
from twite.gateway.operations.edit import Edit
from twite.gateway.ports.events import Observer, ProblemPlace, ProblemSeen
from twite.gateway.ports.listing import QueryScope
from twite.gateway.ports.machine import Clock, Randomness, wait_for_event
from twite.gateway.ports.outbox import EditBodies, EditedBody, Move, Moves, Replay, TakeBack
from twite.gateway.ports.queries import Queries, RestingAmong, StatesQuery
from twite.gateway.ports.state import StateStore

UNCONFIRMED: Final = "it may count twice, and nobody confirmed that"
_AGAIN: Final = SECOND


class BatchPart(StrEnum):
    """Which deliveries of a batch: those not worked off, those queued, and those not changed."""

    ALL = "all"
    LEFT = "left"
    QUEUED = "queued"
    UNCHANGED = "unchanged"


class ReplayOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What a user wants to replay: the problem, if it is one, and how to edit its conversions."""

    pixel: str = ""
    event: str = ""
    reason: str = ""
    edit: Edit = Edit()
    is_confirmed: bool = False


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class Replays:
    """Starts, works off, follows and cancels replays. `started` is set by each start."""

    state: StateStore
    queries: Queries
    moves: Moves
    clock: Clock
    randomness: Randomness
    started: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _turn: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)

    async def start(
        self, histories: Sequence[History], order: ReplayOrder, *, audit_event: AuditEvent
    ) -> ReplayBatch:
        """Store a batch. Raises LedgerUnavailable."""
        id_ = self.randomness.receipt()
        parts = _parts(id_, histories)
        batch = ReplayBatch(
            id=id_,
            at=audit_event.at,
            who=audit_event.who,
            pixel=order.pixel,
            event=order.event,
            reason=order.reason,
            edit=msgspec.json.encode(order.edit).decode(),
            confirmed_at=audit_event.at if order.is_confirmed else None,
            total=len(histories),
            parts=len(parts),
        )
        await self.state.put(parts)
        await self.state.put([batch], audit_event=audit_event)
        self.started.set()
        return batch

    async def find(self, id_: str) -> ReplayBatch | None:
        found = await self.state.load(ReplayBatch, prefix=id_)
        return next((batch for batch in found if batch.id == id_), None)

    async def progress(self, batch: ReplayBatch) -> ReplayProgress:
        """Return where the deliveries of a batch are now. Raises LedgerUnavailable."""
        parts = await self._parts_of(batch)
        begun = parts[: batch.done]
        refused = {delivery for part in begun for delivery, _ in part.refused}
        moved = [id_ for part in begun for id_ in part.deliveries if id_ not in refused]
        states = await self.queries.answer(StatesQuery(deliveries=moved)) if moved else {}
        held = states.get(State.HELD, 0)
        left = sum(len(part.deliveries) for part in parts[batch.done :])
        return ReplayProgress(
            left=0 if batch.cancelled_by else left,
            queued=states.get(State.QUEUED, 0) + states.get(State.SENDING, 0),
            delivered=states.get(State.DELIVERED, 0),
            refused=states.get(State.DEAD, 0),
            held=max(0, held - batch.taken_back),
            suppressed=states.get(State.SUPPRESSED, 0),
            unchanged=len(refused),
            taken_back=min(held, batch.taken_back) + (left if batch.cancelled_by else 0),
        )

    async def deliveries(self, batch: ReplayBatch, batch_part: BatchPart) -> list[int]:
        """Return a part of a batch's deliveries, in order. Raises LedgerUnavailable."""
        parts = await self._parts_of(batch)
        refused = {delivery for part in parts[: batch.done] for delivery, _ in part.refused}
        chosen = parts
        if batch_part is BatchPart.LEFT:
            chosen = parts[batch.done :]
        elif batch_part is not BatchPart.ALL:
            chosen = parts[: batch.done]
        return [
            delivery
            for part in chosen
            for delivery in part.deliveries
            if batch_part in {BatchPart.ALL, BatchPart.LEFT}
            or (delivery in refused) is (batch_part is BatchPart.UNCHANGED)
        ]

    async def refusals(self, batch: ReplayBatch) -> list[tuple[int, str]]:
        """Return (delivery, why) of those that were not changed. Raises LedgerUnavailable."""
        return [each for part in await self._parts_of(batch) for each in part.refused]

    async def cancel(self, batch: ReplayBatch, *, audit_event: AuditEvent) -> int:
        """Take back what is not sent yet; return its number. Raises LedgerUnavailable."""
        async with self._turn:
            now = self.clock.now()
            ended = batch.ended_at or now
            cancelled = msgspec.structs.replace(batch, cancelled_by=audit_event.who, ended_at=ended)
            await self.state.put([cancelled], audit_event=audit_event)
            batch = await self.find(batch.id) or cancelled
            taken = 0
            for part in (await self._parts_of(batch))[: batch.done]:
                taken += await self._take_back(part, now=now)
                await self.clock.sleep(BREATH)
            taken += batch.taken_back
            await self.state.put([msgspec.structs.replace(batch, taken_back=taken)])
        return taken

    async def work_off(self, batch: ReplayBatch, dry_run: DryRun) -> None:
        """Queue the parts that are left, one after the other. Raises LedgerUnavailable."""
        for part in (await self._parts_of(batch))[batch.done :]:
            async with self._turn:
                current = await self.find(batch.id)
                if current is None or current.ended_at is not None:
                    return
                await self._step(current, part, dry_run)
            await self.clock.sleep(BREATH)

    async def open_batches(self) -> list[ReplayBatch]:
        """Return the batches that have parts left, oldest first. Raises LedgerUnavailable."""
        return [batch for batch in await self.state.load(ReplayBatch) if batch.ended_at is None]

    async def _parts_of(self, batch: ReplayBatch) -> Sequence[ReplayPart]:
        return await self.state.load(ReplayPart, prefix=batch.id)

    async def _step(self, batch: ReplayBatch, part: ReplayPart, dry_run: DryRun) -> None:
        """Queue the deliveries of a part, and store the progress."""
        now = self.clock.now()
        everything = QueryScope()
        resting = await self.queries.find(
            RestingAmong(scope=everything, deliveries=part.deliveries)
        )
        untried = [
            history
            for history in resting
            if not any(attempt.at >= batch.at for attempt in history.attempts)
        ]
        edit = msgspec.json.decode(batch.edit, type=Edit)
        results = await dry_run.each(untried, edit, now=now, scope=everything)
        moved, refused = await self._moved(batch, edit, results, now=now)
        done = part.place + 1
        await self.state.put([msgspec.structs.replace(part, refused=tuple(refused.items()))])
        await self.state.put(
            [
                msgspec.structs.replace(
                    batch,
                    done=done,
                    moved=batch.moved + moved,
                    ended_at=now if done == batch.parts else None,
                )
            ]
        )
        # Another process may have cancelled it meanwhile.
        current = await self.find(batch.id)
        if current is not None and current.cancelled_by:
            taken = current.taken_back + await self._take_back(part, now=now)
            await self.state.put([msgspec.structs.replace(current, taken_back=taken)])

    async def _moved(
        self, batch: ReplayBatch, edit: Edit, results: Sequence[DryRunResult], *, now: int
    ) -> tuple[int, dict[int, str]]:
        """Queue what can be sent; return its number, and why the others were not changed."""
        refused = {
            result.history.delivery: why for result in results if (why := _refusal(batch, result))
        }
        sent = [result for result in results if result.history.delivery not in refused]
        sure = [result.history.delivery for result in sent if result.is_certain]
        move: Move
        if edit.changes:
            move = EditBodies(
                edited=[
                    EditedBody(
                        delivery=result.history.delivery,
                        event=result.result.event,
                        body=result.result.body,
                    )
                    for result in sent
                ],
                note=f"{batch.who}: {edit.sentence}",
                sure=sure,
            )
        else:
            move = Replay(deliveries=[result.history.delivery for result in sent], sure=sure)
        if not sent:
            return 0, refused
        done = await self.moves.move(move, now=now)
        return done.moved, refused | dict(done.refused)

    async def _take_back(self, part: ReplayPart, *, now: int) -> int:
        """Hold the queued deliveries of a part, for the reason that they had before."""
        take_back = TakeBack(
            deliveries=part.deliveries,
            cause=DeliveryCause(part.cause) if part.cause else DeliveryCause.REFUSED,
            reason=part.reason,
            hold=True,
        )
        return (await self.moves.move(take_back, now=now)).moved


class ReplayRunner:
    """Works off batches, from `start` to `stop`. On PostgreSQL, only the leader does it."""

    def __init__(
        self,
        replays: Replays,
        observer: Observer,
        *,
        make_dry_run: Callable[[], DryRun],
        leads: Callable[[], bool],
        look_every: int,
    ) -> None:
        """`look_every` is how often (ms) it looks for batches that other processes started."""
        self._replays = replays
        self._observer = observer
        self._make_dry_run = make_dry_run
        self._leads = leads
        self._look_every = look_every
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop after the current statement. The next start continues."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        replays = self._replays
        while True:
            replays.started.clear()
            rest = self._look_every
            try:
                for batch in await replays.open_batches() if self._leads() else ():
                    await replays.work_off(batch, self._make_dry_run())
            except LedgerUnavailable:
                rest = _AGAIN  # the workers report the failure
            except Exception as fault:  # noqa: BLE001  a failure must not end the loop
                self._observer.see(ProblemSeen.of(ProblemPlace.OUTBOX, fault))
                rest = self._look_every
            await wait_for_event(replays.started, replays.clock, most=rest)


def cancel_event(batch: ReplayBatch, *, who: str, now: int) -> AuditEvent:
    return AuditEvent(
        at=now,
        who=who,
        what=AuditAction.REPLAY_CANCEL,
        subject=f"{batch.pixel} {batch.event}".strip(),
        detail=f"{batch.total}, started by {batch.who}",
    )


def _parts(batch: str, histories: Sequence[History]) -> list[ReplayPart]:
    """Divide deliveries into parts with one cause and reason."""
    grouped: dict[tuple[str | None, str], list[int]] = {}
    for history in histories:
        cause = None if history.cause is None else history.cause.value
        grouped.setdefault((cause, history.reason or ""), []).append(history.delivery)
    made: list[ReplayPart] = []
    for (cause, reason), deliveries in grouped.items():
        for at in range(0, len(deliveries), PART):
            made.append(
                ReplayPart(
                    batch=batch,
                    place=len(made),
                    cause=cause,
                    reason=reason,
                    deliveries=tuple(deliveries[at : at + PART]),
                )
            )
    return made


def _refusal(batch: ReplayBatch, result: DryRunResult) -> str | None:
    """Return why a delivery is not queued."""
    if result.result.fault is not None:
        return result.result.fault
    return UNCONFIRMED if result.doubt is not None and batch.confirmed_at is None else None
