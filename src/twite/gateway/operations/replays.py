"""Replays: start a batch of dead and held deliveries, work it off in parts, follow and cancel it.

The store keeps each batch and its parts, so that another process can continue after a stop. A part
that was interrupted is worked off again: what it had queued is no longer dead or held, or was tried
since the start.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
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
from twite.gateway.ports.outbox import EditBodies, Move, Moves, Replay, TakeBack
from twite.gateway.ports.queries import Queries, RestingAmong, StatesQuery
from twite.gateway.ports.state import StateReader, StateStore

UNCONFIRMED: Final = "it may count twice, and nobody confirmed that"
_AGAIN: Final = SECOND
# The largest number of conversions named in the audit log.
_NAMED: Final = 5


class BatchPart(StrEnum):
    """Which deliveries of a batch: those not worked off, those queued, and those not changed."""

    ALL = "all"
    LEFT = "left"
    QUEUED = "queued"
    UNCHANGED = "unchanged"


class NewReplay(msgspec.Struct, frozen=True, kw_only=True):
    """A replay to start: its batch, its deliveries in parts, and the audit event of the start."""

    batch: ReplayBatch
    parts: Sequence[ReplayPart]
    audit_event: AuditEvent


def new_replay(
    histories: Sequence[History],
    edit: Edit,
    *,
    is_confirmed: bool,
    who: str,
    now: int,
    randomness: Randomness,
) -> NewReplay:
    """Return a replay of dead and held conversions that a user (`who`) starts.

    `is_confirmed` is whether this user accepts that X may count some of them twice.
    """
    id_ = randomness.receipt()
    parts = _parts(id_, histories)
    batch = ReplayBatch(
        id=id_,
        at=now,
        who=who,
        pixel=" ".join(sorted({history.pixel for history in histories})),
        event=_only(history.event for history in histories),
        reason=_only(history.reason or "" for history in histories),
        edit=msgspec.json.encode(edit).decode(),
        confirmed_at=now if is_confirmed else None,
        total=len(histories),
        parts=len(parts),
    )
    return NewReplay(batch=batch, parts=parts, audit_event=_audit_event(batch, histories, edit))


def conversions_in_words(histories: Sequence[History]) -> str:
    """Return the number of conversions and the ids of the first ones, for the audit log."""
    names = ", ".join(history.conversion_id for history in histories[:_NAMED])
    more = f" and {len(histories) - _NAMED} more" if len(histories) > _NAMED else ""
    return f"{len(histories)}: {names}{more}"


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class ReplayRecords:
    """Reads replays and their progress. Its methods raise LedgerUnavailable."""

    state: StateReader
    queries: Queries

    async def find(self, id_: str) -> ReplayBatch | None:
        found = await self.state.load(ReplayBatch, prefix=id_)
        return next((batch for batch in found if batch.id == id_), None)

    async def latest(self) -> list[ReplayBatch]:
        """Return all replays of the last 30 days, latest first."""
        return list(reversed(await self.state.load(ReplayBatch)))

    async def progress(self, batch: ReplayBatch) -> ReplayProgress:
        """Return where the deliveries of a batch are now."""
        parts = await self.parts(batch)
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
        """Return a part of a batch's deliveries, in order."""
        parts = await self.parts(batch)
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
        """Return (delivery, why) of those that were not changed."""
        return [each for part in await self.parts(batch) for each in part.refused]

    async def parts(self, batch: ReplayBatch) -> Sequence[ReplayPart]:
        return await self.state.load(ReplayPart, prefix=batch.id)


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class Replays:
    """Starts, works off and cancels replays. `started` is set by each start."""

    state: StateStore
    queries: Queries
    moves: Moves
    clock: Clock
    randomness: Randomness
    started: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _turn: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)

    @property
    def records(self) -> ReplayRecords:
        return ReplayRecords(state=self.state, queries=self.queries)

    async def start(self, replay: NewReplay) -> None:
        """Store a replay. Raises LedgerUnavailable."""
        await self.put_parts(replay.parts)
        await self.state.put([replay.batch], audit_event=replay.audit_event)
        self.started.set()

    async def put_parts(self, parts: Sequence[ReplayPart]) -> None:
        """Store some parts of a replay, before it is started. Raises LedgerUnavailable."""
        await self.state.put(parts)

    async def cancel(self, batch: ReplayBatch, *, audit_event: AuditEvent) -> int:
        """Take back what is not sent yet; return its number. Raises LedgerUnavailable."""
        async with self._turn:
            now = self.clock.now()
            ended = batch.ended_at or now
            cancelled = msgspec.structs.replace(batch, cancelled_by=audit_event.who, ended_at=ended)
            await self.state.put([cancelled], audit_event=audit_event)
            batch = await self.records.find(batch.id) or cancelled
            taken = 0
            for part in (await self.records.parts(batch))[: batch.done]:
                taken += await self._take_back(part, now=now)
                await self.clock.sleep(BREATH)
            taken += batch.taken_back
            await self.state.put([msgspec.structs.replace(batch, taken_back=taken)])
        return taken

    async def work_off(self, batch: ReplayBatch, dry_run: DryRun) -> None:
        """Queue the parts that are left, one after the other. Raises LedgerUnavailable."""
        for part in (await self.records.parts(batch))[batch.done :]:
            async with self._turn:
                current = await self.records.find(batch.id)
                if current is None or current.ended_at is not None:
                    return
                await self._step(current, part, dry_run)
            await self.clock.sleep(BREATH)

    async def open_batches(self) -> list[ReplayBatch]:
        """Return the batches that have parts left, oldest first. Raises LedgerUnavailable."""
        return [batch for batch in await self.state.load(ReplayBatch) if batch.ended_at is None]

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
        current = await self.records.find(batch.id)
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
        moves: list[Move] = []
        if same := [result for result in sent if not result.is_changed]:
            moves.append(Replay(deliveries=_deliveries(same), sure=_certain(same)))
        if edited := [result for result in sent if result.is_changed]:
            note = f"{batch.who}: {edit.sentence}"
            bodies = [result.edited for result in edited]
            moves.append(EditBodies(edited=bodies, note=note, sure=_certain(edited)))
        moved = 0
        for move in moves:
            done = await self.moves.move(move, now=now)
            moved, refused = moved + done.moved, refused | dict(done.refused)
        return moved, refused

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


def _audit_event(batch: ReplayBatch, histories: Sequence[History], edit: Edit) -> AuditEvent:
    details = [conversions_in_words(histories), f"for {batch.reason or 'several reasons'}"]
    if edit.changes:
        details.append(edit.sentence)
    if batch.confirmed_at is not None:
        details.append("may count twice: confirmed")
    pixels = sorted({history.pixel for history in histories})
    return AuditEvent(
        at=batch.at,
        who=batch.who,
        what=AuditAction.REPLAY,
        subject=f"{' '.join(pixels)} {batch.event}".strip(),
        detail="; ".join(details),
    )


def _only(texts: Iterable[str]) -> str:
    """Return the text if all are equal, else ""."""
    different = set(texts)
    return different.pop() if len(different) == 1 else ""


def _deliveries(results: Sequence[DryRunResult]) -> list[int]:
    return [result.history.delivery for result in results]


def _certain(results: Sequence[DryRunResult]) -> list[int]:
    return [result.history.delivery for result in results if result.is_certain]


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
