"""Intake: write all queued submissions with a few statements."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec

from twite.domain.joins import JoinRequest, KnownIdentifier
from twite.domain.stats.tally import Counting
from twite.domain.submission import (
    AcceptedConversion,
    FlawedIdentifier,
    Recorded,
    RejectedConversion,
    Submission,
)
from twite.domain.times import DAY
from twite.domain.value_change import ValueChange
from twite.gateway.ports.copies import asks
from twite.stores.sql import deduplication, joins, rejections
from twite.stores.sql.copies import KeyContest
from twite.stores.sql.database import WantedKey, WriterSession, checksum
from twite.stores.sql.records import unfired_kept
from twite.stores.sql.rows.figure_tables import FlaggedRow, FlawedRow
from twite.stores.sql.rows.insertions import TallyRow
from twite.stores.sql.rows.join_tables import JoinedRow
from twite.stores.sql.rows.tables import (
    CalledRow,
    ConsentRow,
    ConversionRow,
    OutboxRow,
    SubmissionRow,
    SuppressionRow,
    ValueChangeRow,
)
from twite.stores.sql.stored_bodies import stored

_NEW: Final = Recorded()
_CONFLICT: Final = Recorded(conflict=True)


def record(session: WriterSession, submissions: Sequence[Submission]) -> list[Recorded]:
    """Write submissions inside the running transaction; return the result of each, in order.

    Dedup keys are assigned first. For a duplicate, neither a conversion nor a delivery is written.
    """
    page = _Page(session)
    for submission in submissions:
        page.add(submission)
    return page.write()


class _Page:
    """The rows of one group of submissions, flattened for statements that insert many rows."""

    def __init__(self, session: WriterSession) -> None:
        self._session = session
        self._submissions: list[SubmissionRow] = []
        self._wanted: list[WantedKey] = []
        self._suppressions: list[SuppressionRow] = []
        # One row per entry, duplicates included: (id, submission, queue, entry, account, at).
        self._conversions: list[tuple[int, int, int, AcceptedConversion, int, int]] = []
        self._tally: dict[int, TallyRow] = {}
        # By (source, pixel, event): the account, the queue, and the counts of the account.
        self._places: dict[tuple[str, str, str], tuple[int, int, TallyRow]] = {}
        self._ignored = rejections.IgnoredCounts()
        self._dedup_rows = deduplication.Seen()
        self._rejected: rejections.Rejected = {}
        # Submissions with flawed match keys, each after the id of its first entry.
        self._flawed: list[tuple[int, Submission]] = []
        self._known: list[KnownIdentifier] = []
        self._at = 0  # the latest time of receipt
        # The submissions, and the first id of each.
        self._firsts: list[int] = []
        self._taken: list[Submission] = []
        # Positions in `_taken` of submissions whose idempotency key another request has.
        self._conflicts: set[int] = set()

    def add(self, submission: Submission) -> None:
        session = self._session
        if submission.idempotency is not None and _conflicts(session, submission):
            self._conflicts.add(len(self._taken))
            self._firsts.append(0)
            self._taken.append(submission)
            return
        entries = submission.entries
        self._dedup_rows += submission.dedup_rows
        if submission.ignored or submission.unfired:
            rejections.count_ignored(self._ignored, submission)
        self._known += submission.known
        if not entries and not submission.refusals:
            # Such a submission cannot be queried later, so no row is written.
            self._firsts.append(0)
            self._taken.append(submission)
            return
        first = session.next_conversions(len(entries))
        at = submission.received_at
        self._at = max(self._at, at)
        if submission.flaws:
            self._flawed.append((first, submission))
        for refusal in submission.refusals:
            account = session.account(submission.source, refusal.pixel, since=self._at)
            counts = self._counts(account)
            counts.received += 1
            counts.rejected += 1
            self._rejected.setdefault(account, []).append((submission, refusal))
        # If a request was rejected as a whole, only the rejections are stored, so a client with
        # only bad requests writes no more than the ring buffer of rejections.
        number = session.next_submission() if entries else 0
        if entries:
            self._submissions.append(
                SubmissionRow(
                    id=number,
                    receipt=submission.receipt,
                    source=submission.source,
                    endpoint=submission.endpoint.value,
                    received_at=at,
                    first=first,
                    entries=len(entries),
                    body=stored(submission.body),
                    refusals=_places_of(submission.refusals) if submission.refusals else None,
                    unfired=unfired_kept(submission) if submission.unfired else None,
                )
            )
        source, places = submission.source, self._places
        for id_, entry in enumerate(entries, first):
            place = source, entry.pixel, entry.event
            account, queue, counts = places.get(place) or self._place(*place)
            counts.received += 1
            if entry.suppressed is None or asks(entry):
                self._wanted.append(WantedKey(entry.key, id_, at))
            if entry.suppressed is not None:
                counts.suppressed += 1
                self._suppressions.append(SuppressionRow(key=entry.key, delivery=id_))
            self._conversions.append((id_, number, queue, entry, account, at))
        self._firsts.append(first)
        self._taken.append(submission)

    def write(self) -> list[Recorded]:
        session = self._session
        contest = KeyContest(
            session,
            lambda: {id_: (entry, at) for id_, _, _, entry, _, at in self._conversions},
        )
        duplicates = self._take_keys(contest)
        conversions: list[ConversionRow] = []
        deliveries: list[OutboxRow] = []
        consents: list[ConsentRow] = []
        flagged: list[FlaggedRow] = []
        called: list[CalledRow] = []
        waiting: list[JoinedRow] = []
        key_sets, seeds, held_later = session.tally.key_sets, session.seeds, contest.held
        for id_, number, queue, entry, account, at in self._conversions:
            if id_ in duplicates:
                self._tally[account].duplicate += 1
                continue
            conversion_id, body = entry.conversion_id, entry.body
            conversions.append(
                ConversionRow(
                    id=id_,
                    submission=number,
                    queue=queue,
                    conversion_id=conversion_id,
                    body=body,
                    checksum=checksum(seeds[queue], id_, at, conversion_id.encode(), body),
                    suppressed=entry.suppressed,
                    cause=entry.suppressed and entry.cause,
                )
            )
            copy = held_later.get(id_, entry) if held_later else entry
            wait = _wait_for(id_, entry.join, at, waiting)
            if copy.held is not None:
                deliveries.append(
                    OutboxRow(
                        id=id_,
                        queue=queue,
                        account=account,
                        received_at=at,
                        state="held",
                        rested_at=at,
                        reason=copy.held,
                        cause=copy.cause,
                    )
                )
            elif entry.suppressed is None:
                deliveries.append(
                    OutboxRow(id=id_, queue=queue, account=account, received_at=at, due_at=wait)
                )
            if entry.consent is not None:
                consents.append(ConsentRow(delivery=id_, evidence=entry.consent))
            if entry.called is not None:
                called.append(CalledRow(delivery=id_, name=entry.called))
            if entry.flag is not None:
                flag = entry.flag
                flagged.append(
                    FlaggedRow(delivery=id_, **msgspec.structs.asdict(flag), account=account)
                )
                counting = Counting.FLAGGED if entry.held is None else Counting.HELD
                session.tally.amounts[account, counting, flag.kind] += 1
            if entry.suppressed is None and entry.key_set is not None:
                key_sets[at // DAY, account, queue, entry.key_set] += 1
        for rows in (self._submissions, conversions, deliveries, consents, flagged, called, waiting,
                     self._suppressions, self._value_changes(duplicates)):  # fmt: skip
            session.add(rows)
        contest.settle()
        self._count()
        self._add_other_records(duplicates)
        return self._recorded(duplicates, contest.held)

    def _value_changes(self, duplicates: Mapping[int, int]) -> list[ValueChangeRow]:
        return [
            _change_row(id_, entry.value_change)
            for id_, _, _, entry, _, _ in self._conversions
            if entry.value_change is not None and id_ not in duplicates
        ]

    def _add_other_records(self, duplicates: Mapping[int, int]) -> None:
        """Write the records that are neither conversions nor deliveries."""
        if self._ignored:
            rejections.add_ignored(self._session, self._ignored)
        if self._known:
            joins.know(self._session, self._known)
        if self._dedup_rows:
            deduplication.add(self._session, self._dedup_rows)
        if self._rejected:
            rejections.add(self._session, self._rejected)
        if self._flawed:
            self._add_flaws(duplicates)

    def _count(self) -> None:
        """Add to the received counts of accounts and of the current minute."""
        session = self._session
        for account, row in self._tally.items():
            counts = row.received, row.duplicate, row.suppressed, row.rejected
            session.tally.flow(self._at, account, counts)
        session.count_accounts(list(self._tally.values()))

    def _add_flaws(self, duplicates: Mapping[int, int]) -> None:
        """Count new and rejected conversions by flawed match keys; write the flaws of new ones.

        A list of rejections finds them by the codes of their faults, so no others are counted.
        """
        session = self._session
        rows: list[FlawedRow] = []
        for first, submission in self._flawed:
            ids = {entry.index: id_ for id_, entry in enumerate(submission.entries, first)}
            named = {
                (refusal.index, fault.code)
                for refusal in submission.refusals
                for fault in refusal.faults
            }
            day = submission.received_at // DAY
            # Several identifiers of one conversion may have the same flaw.
            flaws: dict[tuple[int, str], FlawedIdentifier] = {}
            for flaw in submission.flaws:
                flaws.setdefault((flaw.index, flaw.flaw.code), flaw)
            for key, flaw in flaws.items():
                delivery = ids.get(flaw.index)
                if delivery in duplicates or (delivery is None and key not in named):
                    continue
                account = session.account(submission.source, flaw.pixel, since=self._at)
                queue = session.queue(flaw.pixel, flaw.event) if flaw.event else 0
                session.tally.flaw(day, account, queue, flaw, delivery)
                if delivery is not None:
                    rows.append(FlawedRow(delivery=delivery, code=flaw.flaw.code))
        session.add(rows)

    def _take_keys(self, contest: KeyContest) -> Mapping[int, int]:
        """Assign the keys; return the deliveries whose key another has, with its holder."""
        if not self._wanted:
            return {}
        late = self._session.keys.take(self._wanted, contest)
        if late:
            originals = msgspec.json.encode(list(late.values())).decode()
            self._session.run("count_repeats", deliveries=originals)
        return late

    def _recorded(self, duplicates: Mapping[int, int], held: Collection[int]) -> list[Recorded]:
        if not duplicates and not held and not self._conflicts:
            return [_NEW] * len(self._taken)
        return [
            _CONFLICT
            if place in self._conflicts
            else Recorded(
                duplicates=tuple(
                    entry.index
                    for id_, entry in enumerate(submission.entries, first)
                    if id_ in duplicates
                ),
                held=tuple(
                    entry.index
                    for id_, entry in enumerate(submission.entries, first)
                    if id_ in held
                ),
            )
            for place, (first, submission) in enumerate(zip(self._firsts, self._taken, strict=True))
        ]

    def _place(self, source: str, pixel: str, event: str) -> tuple[int, int, TallyRow]:
        account = self._session.account(source, pixel, since=self._at)
        place = account, self._session.queue(pixel, event), self._counts(account)
        self._places[source, pixel, event] = place
        return place

    def _counts(self, account: int) -> TallyRow:
        counts = self._tally.get(account)
        if counts is None:
            counts = self._tally[account] = TallyRow(account=account)
        return counts


def _change_row(delivery: int, change: ValueChange) -> ValueChangeRow:
    return ValueChangeRow(
        delivery=delivery,
        rule=change.rule,
        value_before=change.before,
        currency_before=change.currency_before,
        value_after=change.after,
        currency=change.currency,
        problem=change.problem,
        detail=change.detail,
    )


def _wait_for(
    delivery: int, join: JoinRequest | None, at: int, waiting: list[JoinedRow]
) -> int | None:
    """Add the row of a conversion that waits, and return when it is due; None if it does not."""
    if join is None:
        return None
    keys = " ".join(join.keys)
    waiting.append(JoinedRow(delivery=delivery, keys=keys, whose=join.whose, since=at - join.wait))
    return at + join.wait


def _places_of(refusals: Sequence[RejectedConversion]) -> bytes:
    """Encode the indexes of rejected conversions; all other indexes are those of accepted ones."""
    return msgspec.json.encode([{"index": refusal.index} for refusal in refusals])


def _conflicts(session: WriterSession, submission: Submission) -> bool:
    """Return whether a different request has used this idempotency key; store the key if it is new.

    An idempotency key is stored for as long as a dedup key. Each new one deletes a few expired
    ones.
    """
    name = submission.idempotency
    if name is None:
        return False
    before = submission.received_at - session.keys.window
    found = session.run("request_of_key", key=name.key, before=before).fetchone()
    if found is not None:
        return bool(found[0] != name.said)
    session.run("forget_idempotency_keys", before=before)
    session.run("store_idempotency_key", key=name.key, request=name.said, at=submission.received_at)
    return False
