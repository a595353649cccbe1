"""In-memory store for tests: intake, outbox, state, directory and opt-outs.

It finds conversions, but has no reports, console queries, edits or erasure. Tests of these need a
SQLite store. Its data ends with the process. Every method is atomic on the event loop.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import msgspec

from memory_store.consents import MemoryConsents
from memory_store.directory import MemoryDirectory
from memory_store.operations import MemoryOperations
from memory_store.queries import MemoryQueries
from memory_store.row import MemoryRow, crashed, delivery_of, overdue, rank_of, take_out
from memory_store.state import MemoryState
from twite.domain.cause import DeliveryCause
from twite.domain.conversion import DEFAULT_WINDOW
from twite.domain.delivery import (
    ANSWER_LIMIT,
    MAY_COUNT_TWICE,
    QUARANTINED,
    SENDER_DIED_OF_IT,
    SENDER_STOPPED,
    SUSPECT,
    Attempt,
    Batch,
    Settlement,
    State,
    Transition,
    Trigger,
    after,
    fitting,
    together,
)
from twite.domain.errors import LedgerUnavailable, QueueFull
from twite.domain.history import PastAttempt, TagNotFired
from twite.domain.outcome import AttemptOutcome
from twite.domain.submission import AcceptedConversion, Recorded, Submission
from twite.gateway.ports import copies
from twite.gateway.ports.copies import CopyDecision, Holder, asks, rule
from twite.gateway.ports.outbox import Claim, SweepRequest, SweepResult
from twite.gateway.ports.state import ClockRecord

_RESTING = (State.DEAD, State.HELD)
_PENDING = (State.QUEUED, State.SENDING)
_FOREVER = 1 << 62


@dataclass(kw_only=True)
class _Lease:
    claimed_at: int
    until: int


class MemoryStore(
    MemoryConsents,
    MemoryQueries,
    MemoryOperations,
    MemoryState,
):
    """Runs `OutboxContract`. `refuse` makes `record` fail, as with a full queue or disk."""

    def __init__(self, *, dedup_window: int = DEFAULT_WINDOW, salt: bytes = b"memory") -> None:
        """`dedup_window` is in milliseconds."""
        MemoryQueries.__init__(self)
        MemoryConsents.__init__(self)
        self._last_id = 0
        self._tried: list[tuple[str, int, int]] = []
        MemoryState.__init__(self)
        self.people = MemoryDirectory(self)
        self.ownership = None  # no other process sends
        self.salt = salt
        self.epoch = 1
        self.refuse: QueueFull | LedgerUnavailable | None = None
        self._window = dedup_window
        self._names: dict[bytes, tuple[bytes, int]] = {}
        self._keys: dict[bytes, tuple[int, int]] = {}
        self._leases: dict[int, _Lease] = {}
        self._counted: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._last_lease = 0
        self._recording: list[asyncio.Task[None]] = []

    async def close(self) -> None:
        """Refuse all further operations."""
        self.refuse = LedgerUnavailable(reason="the store is closed", retry_after=1)

    async def restart(self) -> None:
        """Simulate a crash and restart: the leases of deliveries in flight expire."""
        self.epoch += 1
        self._expire(_FOREVER, died=True)

    def record_soon(
        self,
        submissions: Sequence[Submission],
        done: Callable[[Sequence[Recorded | Exception]], None],
    ) -> None:
        async def record_each() -> None:
            records = (self.record(submission) for submission in submissions)
            done(await asyncio.gather(*records, return_exceptions=True))

        self._recording.append(asyncio.create_task(record_each()))

    async def record(self, submission: Submission) -> Recorded:
        for entry in submission.entries:
            entry.conversion_id.encode()  # raises for a lone surrogate, as in a database
        if self.refuse is not None:
            raise self.refuse
        if self._other_by_that_name(submission):
            return Recorded(conflict=True)
        self._note(submission)
        duplicates, held = [], []
        at = submission.received_at
        for entry in submission.entries:
            counted = self._counted[submission.source, entry.pixel]
            counted["received"] += 1
            ruling, original = self._ruled(entry, at)
            if original is not None and not ruling.takes:
                self._meet_copy(original, ruling, at=at)
                original.duplicates += 1
                counted["duplicate"] += 1
                duplicates.append(entry.index)
                continue
            if ruling.held is not None and entry.suppressed is None:
                held.append(entry.index)
                why = {"held": ruling.held, "cause": ruling.held_cause}
                entry = msgspec.structs.replace(entry, **why)  # noqa: PLW2901
            row = self._add(submission, entry)
            if original is not None:
                original.superseded_by = row.id
                self._meet_copy(original, ruling, at=at)
            if entry.suppressed is not None:
                counted["suppressed"] += 1
        for refusal in submission.refusals:
            counted = self._counted[submission.source, refusal.pixel]
            counted["received"] += 1
            counted["rejected"] += 1
        return Recorded(duplicates=tuple(duplicates), held=tuple(held))

    def _other_by_that_name(self, submission: Submission) -> bool:
        name = submission.idempotency
        if name is None:
            return False
        stored, at = self._names.get(name.key, (name.said, submission.received_at))
        if at < submission.received_at - self._window:
            stored = name.said
        if stored == name.said:
            self._names[name.key] = name.said, submission.received_at
        return stored != name.said

    async def claim_several(self, claim: Claim, *, most: int) -> Sequence[Batch]:
        found: list[Batch] = []
        while len(found) < most:
            batch = await self.claim(claim)
            if batch is None:
                break
            found.append(batch)
            if len(batch.deliveries) < claim.limit:
                break
        return found

    async def claim(self, claim: Claim) -> Batch | None:
        due = sorted(
            self._without_opted_out(
                (
                    row
                    for row in self._in(State.QUEUED)
                    if row.entry.pixel == claim.pixel
                    and row.entry.event not in claim.passing_events
                    and row.id not in claim.passing
                    and (row.due_at is None or row.due_at <= claim.now)
                    and (claim.suspects or row.crashes < SUSPECT)
                    and (
                        row.ambiguous_since is None or row.ambiguous_since >= claim.ambiguous_after
                    )
                ),
                now=claim.now,
            ),
            key=lambda row: (rank_of(row), row.id),
        )
        if not due:
            return None
        event = due[0].entry.event
        limit = min(claim.limit, claim.limits.get(event, claim.limit))
        found = [row for row in due if row.entry.event == event][:limit]
        found = found[: fitting((len(row.entry.body) for row in found), claim.most_bytes)]
        claimed = found[: len(together([delivery_of(row) for row in found]))]
        self._last_lease += 1
        self._leases[self._last_lease] = _Lease(claimed_at=claim.now, until=claim.lease_until)
        for row in claimed:
            row.state = after(row.state, Trigger.CLAIMED)
            row.lease = self._last_lease
            row.due_at = None
        return Batch(
            lease=self._last_lease,
            pixel=claim.pixel,
            event=event,
            deliveries=tuple(map(delivery_of, claimed)),
        )

    async def withdrawn(self, batch: Batch) -> Sequence[int]:
        rows = self._named([delivery.id for delivery in batch.deliveries])
        return [row.id for row in rows if row.denied is not None or self.lists(self._keys_of(row))]

    async def settle(self, settlement: Settlement) -> int:
        for transition in settlement.transitions:
            after(State.SENDING, transition.trigger)
        attempt = settlement.attempt
        lease = self._leases.get(settlement.lease)
        at = attempt.at if attempt else lease.claimed_at if lease else 0
        if attempt is not None:
            survived = all(
                transition.trigger is not Trigger.EXPIRED for transition in settlement.transitions
            )
            self._try(attempt, lease=settlement.lease, survived=survived)
        late = sum(len(transition.deliveries) for transition in settlement.transitions)
        for transition in settlement.transitions:
            for row in self._named(transition.deliveries):
                if row.state is State.SENDING and row.lease == settlement.lease:
                    if transition.trigger is Trigger.EXPIRED:
                        row.crashes = crashed(row.crashes, alone=len(transition.deliveries) == 1)
                    self._meet(row, transition, at=at)
                    late -= 1
        if lease is not None:
            lease.until = settlement.lease_until
        self._withdraw_denied()
        return late

    async def sweep(self, sweeping: SweepRequest) -> SweepResult:
        now = sweeping.now
        expired = self._expire(now, furthest=sweeping.furthest, holding=sweeping.holding)
        promoted = held = 0
        for row in self._in(State.QUEUED):
            if row.due_at is not None and not now < row.due_at <= sweeping.furthest:
                row.due_at = None
                promoted += 1
            why = overdue(row, sweeping.ambiguous_before, sweeping.waiting_before)
            if row.ambiguous_since is not None and row.entry.pixel in sweeping.cautious:
                why = DeliveryCause.MAY_COUNT_TWICE, MAY_COUNT_TWICE
            if why is not None:
                take_out(row, Trigger.HELD, cause=why[0], reason=why[1], at=now)
                held += 1
        due = [row.due_at for row in self._in(State.QUEUED) if row.due_at is not None]
        return SweepResult(
            expired=expired, promoted=promoted, held=held, next_due=min(due, default=None)
        )

    def _ruled(self, entry: AcceptedConversion, at: int) -> tuple[CopyDecision, MemoryRow | None]:
        """Return the result of a copy, and the delivery that holds its dedup key."""
        if entry.key not in self._keys or not asks(entry):
            return CopyDecision(takes=True), None
        id_, seen_at = self._keys[entry.key]
        row = self._rows[id_]
        is_pending = row.state in _PENDING or row.state is State.HELD
        holder = Holder(
            state=row.state,
            is_live=is_pending or seen_at >= at - self._window,
            received_at=row.received_at,
            body=row.entry.body,
            evidence=row.entry.consent,
            cause=row.cause,
            reason=row.reason,
            is_ambiguous=row.ambiguous_since is not None,
        )
        return rule(entry, holder, at=at), row

    def _meet_copy(self, row: MemoryRow, ruling: CopyDecision, *, at: int) -> None:
        """Apply the effect of a copy to the former holder of the key."""
        if ruling.outcome is copies.CopyOutcome.HELD and row.state is State.QUEUED:
            take_out(row, Trigger.HELD, cause=ruling.cause, reason=ruling.reason, at=at)
        elif ruling.outcome is copies.CopyOutcome.WITHDRAWN and row.state is State.SENDING:
            row.denied = row.denied or ruling
        elif ruling.outcome is copies.CopyOutcome.WITHDRAWN:
            self._withdraw([row], cause=ruling.cause, reason=ruling.reason, now=at)

    def _withdraw_denied(self) -> None:
        """Suppress deliveries that were opted out in flight."""
        for row in self._in(State.QUEUED, *_RESTING):
            if (ruling := row.denied) is not None:
                self._withdraw([row], cause=ruling.cause, reason=ruling.reason, now=row.received_at)

    def _add(self, submission: Submission, entry: AcceptedConversion) -> MemoryRow:
        self._last_id += 1
        if asks(entry):
            self._keys[entry.key] = (self._last_id, submission.received_at)
        state = State.QUEUED if entry.suppressed is None else State.SUPPRESSED
        held = entry.held is not None
        row = self._rows[self._last_id] = self._open[self._last_id] = MemoryRow(
            id=self._last_id,
            entry=entry,
            source=submission.source,
            receipt=submission.receipt,
            received_at=submission.received_at,
            state=State.HELD if held else state,
            cause=entry.cause,
            reason=entry.held or entry.suppressed,
            rested_at=submission.received_at if held else 0,
            not_fired=tuple(
                TagNotFired(tag=tag.tag, why=tag.why)
                for tag in submission.unfired
                if tag.index == entry.index
            ),
        )
        return row

    def _clock_record(self, ahead: int | None) -> ClockRecord:
        tried = max((at for _, at, _ in self._tried), default=0)
        last = self._rows.get(self._last_id)
        received = 0 if last is None else last.received_at
        return ClockRecord(
            latest=max(tried, received),
            last=max(self._tried[-1][1] if self._tried else 0, received),
            ahead=ahead,
        )

    def _named(self, deliveries: Iterable[int]) -> list[MemoryRow]:
        return [self._rows[id_] for id_ in deliveries if id_ in self._rows]

    def _try(self, attempt: Attempt, *, lease: int, survived: bool = True) -> None:
        """Record an attempt for all its deliveries, whether late or not."""
        self._tried.append((attempt.pixel, attempt.at, len(attempt.deliveries)))
        if attempt.outcome == AttemptOutcome.DELIVERED:
            self._taken.append((attempt.pixel, attempt.at, len(attempt.deliveries)))
        past = PastAttempt(
            at=attempt.at,
            outcome=attempt.outcome,
            status=attempt.status,
            answer=attempt.answer[:ANSWER_LIMIT],
            ambiguous=attempt.ambiguous,
            size=len(attempt.deliveries),
        )
        for row in self._named(attempt.deliveries):
            row.attempts.append(past)
            if row.state is not State.SENDING or row.lease != lease:
                continue
            row.tries += 1
            row.crashes = 0 if survived else row.crashes
            if attempt.ambiguous and row.ambiguous_since is None:
                row.ambiguous_since = attempt.at

    def _meet(self, row: MemoryRow, transition: Transition, *, at: int) -> None:
        row.lease = None
        if transition.trigger is Trigger.DELIVERED:
            row.state = after(row.state, transition.trigger)
            row.ambiguous_since = None
            self._counted[row.source, row.entry.pixel]["delivered"] += 1
        elif transition.trigger in {Trigger.HELD, Trigger.GIVEN_UP, Trigger.NOT_FIRED}:
            cause, reason = transition.cause, transition.reason
            take_out(row, transition.trigger, cause=cause, reason=reason, at=at)
            if transition.trigger is Trigger.NOT_FIRED:
                self._counted[row.source, row.entry.pixel]["suppressed"] += 1
        else:
            row.state = after(row.state, transition.trigger)
            row.due_at = transition.due_at
            self._quarantine(row, at=at)

    def _quarantine(self, row: MemoryRow, *, at: int) -> None:
        """Make deliveries with too many crashes dead letters."""
        if row.crashes >= QUARANTINED:
            row.state, row.lease = State.SENDING, None
            why = {"cause": DeliveryCause.SENDER_STOPPED, "reason": SENDER_DIED_OF_IT}
            take_out(row, Trigger.GIVEN_UP, **why, at=at)

    def _expire(
        self,
        now: int,
        *,
        furthest: int = _FOREVER,
        holding: AbstractSet[int] = frozenset(),
        died: bool = False,
    ) -> int:
        expired = 0
        for number, lease in list(self._leases.items()):
            if number in holding or now <= lease.until <= furthest:
                continue
            del self._leases[number]
            freed = [row for row in self._in(State.SENDING) if row.lease == number]
            if freed:
                attempt = Attempt(
                    at=lease.claimed_at,
                    pixel=freed[0].entry.pixel,
                    event=freed[0].entry.event,
                    outcome=AttemptOutcome.ERRORED,
                    deliveries=tuple(row.id for row in freed),
                    answer=SENDER_STOPPED,
                    ambiguous=True,
                )
                self._try(attempt, lease=number, survived=not died)
            for row in freed:
                row.state, row.lease = after(row.state, Trigger.EXPIRED), None
                if died:
                    row.crashes = crashed(row.crashes, alone=len(freed) == 1)
                    self._quarantine(row, at=lease.claimed_at)
            expired += len(freed)
        self._withdraw_denied()
        return expired
