"""Copies of one conversion: which delivery holds its dedup key, and which held it before."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import ClassVar, Final, NamedTuple

import msgspec

from twite.domain.cause import DeliveryCause
from twite.domain.conversion import dedup_key
from twite.domain.delivery import State
from twite.domain.history import Rival
from twite.domain.submission import AcceptedConversion
from twite.gateway.ports.copies import CopyDecision, CopyOutcome, Holder, is_plain, rule
from twite.stores.sql.database import AT_ONCE, Holding, WantedKey, WriterSession
from twite.stores.sql.rows.query_row import QueryRow
from twite.stores.sql.statements import RunsStatements, SqlConnection, as_json, query
from twite.stores.sql.withdrawals import hold_queued, withdraw

MOST_COPIES: Final = 1_000
# The states in which a copy can still affect a queued delivery.
_WAITING: Final = frozenset({State.QUEUED, State.SENDING, State.HELD})
_AT_REST: Final = frozenset({State.HELD, State.DEAD})


class HolderRow(QueryRow):
    statement: ClassVar[str] = "holder"

    body: bytes
    evidence: bytes | None
    cause: str | None
    reason: str | None
    is_suppressed: bool
    received_at: int
    state: str | None
    is_ambiguous: bool


class KeyContest:
    """Decides which copies in a group of submissions take over their dedup keys.

    Each decision assumes that the copies before it were committed. `settle` updates the former
    holders when the copies are written.
    """

    def __init__(
        self,
        session: WriterSession,
        entries: Callable[[], Mapping[int, tuple[AcceptedConversion, int]]],
    ) -> None:
        """`entries` returns the entries of the group by delivery, with the times of receipt."""
        self._session = session
        self._entries_of = entries
        # The copies that are held, by delivery.
        self.held: dict[int, AcceptedConversion] = {}
        # (former holder of the key, the decision about it, the copy)
        self._ruled: list[tuple[int, CopyDecision, WantedKey]] = []
        # State and decision of the deliveries that a copy of this group withdrew or holds.
        self._changed: dict[int, tuple[State, CopyDecision]] = {}

    @cached_property
    def _entries(self) -> Mapping[int, tuple[AcceptedConversion, int]]:
        """The entries, loaded on first use, because most groups do not need them."""
        return self._entries_of()

    def __call__(self, wanted: WantedKey, holder: int, holding: Holding) -> bool:
        """Return whether a delivery takes the key of another delivery."""
        copy, _ = self._entries[wanted.delivery]
        if holding is not AT_ONCE and holder not in self._changed and _stays(copy, holding):
            return False  # the usual case, in which the holder's data need not be read
        present = self._holder(holder, holding, at=wanted.at)
        ruling = rule(copy, present, at=wanted.at)
        if ruling.takes or ruling.outcome is not CopyOutcome.STAYS:
            self._ruled.append((holder, ruling, wanted))
        if ruling.outcome is CopyOutcome.WITHDRAWN and present.state in {*_AT_REST, State.QUEUED}:
            self._changed[holder] = State.SUPPRESSED, ruling
        elif ruling.outcome is CopyOutcome.HELD:
            self._changed[holder] = State.HELD, ruling
        if ruling.held is not None and copy.suppressed is None:
            self.held[wanted.delivery] = msgspec.structs.replace(
                copy, held=ruling.held, cause=ruling.held_cause
            )
        return ruling.takes

    def settle(self) -> None:
        """Apply the decisions to the former holders of the keys."""
        run = self._session.run
        for holder, ruling, wish in self._ruled:
            cause, reason = ruling.cause, ruling.reason
            if ruling.takes:
                run("add_replaced", delivery=holder, by=wish.delivery)
                run("show_replaced", key=wish.key, delivery=holder)
            if ruling.outcome is CopyOutcome.WITHDRAWN:
                withdraw(run, [holder], now=wish.at, cause=cause, reason=reason)
                if run("deny", delivery=holder, now=wish.at, cause=cause, reason=reason).rowcount:
                    self._session.denied.add(holder)
            elif ruling.outcome is CopyOutcome.HELD:
                hold_queued(run, [holder], now=wish.at, cause=cause, reason=reason)

    def _holder(self, delivery: int, holding: Holding, *, at: int) -> Holder:
        """Return the holder as it is after the effects of earlier copies in the group."""
        if holding is AT_ONCE:
            before = self._of_this_group(delivery)
            is_recent = before.received_at >= at - self._session.keys.window
        else:
            before, is_recent = self._of_before(delivery, holding, at=at), holding.is_recent
        state, ruling = self._changed.get(delivery, (before.state, before))
        return msgspec.structs.replace(
            before,
            state=state,
            cause=ruling.cause,
            reason=ruling.reason,
            is_live=state in _WAITING or is_recent,
        )

    def _of_before(self, delivery: int, holding: Holding, *, at: int) -> Holder:
        rows = HolderRow.of(self._session.run("holder", delivery=delivery))
        if not rows:
            return Holder(state=State.DELIVERED, is_live=holding.is_live, received_at=at)
        # Check the state again: other nodes may have changed it since the keys were read.
        row = rows[0]
        settled = State.SUPPRESSED if row.is_suppressed else State.DELIVERED
        return Holder(
            state=settled if row.state is None else State(row.state),
            is_live=holding.is_live,
            received_at=row.received_at,
            body=row.body,
            evidence=row.evidence,
            cause=None if row.cause is None else DeliveryCause(row.cause),
            reason=row.reason,
            is_ambiguous=bool(row.is_ambiguous),
        )

    def _of_this_group(self, delivery: int) -> Holder:
        entry, received_at = self._entries[delivery]
        entry = self.held.get(delivery, entry)
        waits = State.QUEUED if entry.held is None else State.HELD
        return Holder(
            state=waits if entry.suppressed is None else State.SUPPRESSED,
            is_live=True,
            received_at=received_at,
            body=entry.body,
            evidence=entry.consent,
            cause=entry.cause,
            reason=entry.held,
        )


def _stays(conversion: AcceptedConversion, holding: Holding) -> bool:
    """Return whether a copy is a duplicate, whatever the rest of the holder's data is."""
    is_settled = holding.state not in {*_WAITING, State.DEAD}
    says_nothing = is_plain(conversion) and holding.state is not State.DEAD
    return holding.is_live and conversion.suppressed is None and (says_nothing or is_settled)


class NamedDelivery(NamedTuple):
    """A dead or held delivery, with its dedup key."""

    delivery: int
    key: bytes
    received_at: int


def named(run: RunsStatements, deliveries: Sequence[int]) -> list[NamedDelivery]:
    """Return the given deliveries that are dead or held, with their keys."""
    return [
        NamedDelivery(delivery, dedup_key(pixel, event, conversion_id), received_at)
        for delivery, pixel, event, conversion_id, received_at in run(
            "names_of", deliveries=as_json(deliveries)
        ).fetchall()
    ]


def rivals(
    run: RunsStatements, resting: Sequence[NamedDelivery], holders: Mapping[bytes, int]
) -> dict[int, Rival]:
    """Return, for each dead or held delivery, a copy that was or may be sent, or has the key."""
    if not resting:
        return {}
    keys = list(dict.fromkeys(candidate.key for candidate in resting))
    copies = {key: {holders[key]} if key in holders else set() for key in keys}
    for place, delivery in run(
        "copies_of_keys",
        keys=b"".join(keys),
        places=as_json(range(len(keys))),
        limit=MOST_COPIES + len(keys),
    ):
        copies[keys[place]].add(delivery)
    others = sorted(
        {copy for candidate in resting for copy in copies[candidate.key] - {candidate.delivery}}
    )
    if not others:
        return {}
    found = {
        delivery: (None if state is None else State(state), is_suppressed, tried_at)
        for delivery, state, is_suppressed, tried_at in run(
            "where_copies_are", deliveries=as_json(others)
        )
    }
    rivals: dict[int, Rival] = {}
    for candidate in resting:
        for other in sorted(copies[candidate.key] - {candidate.delivery}, reverse=True):
            if other not in found:
                continue
            state, is_suppressed, tried_at = found[other]
            if state is None:
                # An earlier copy that X had accepted within the dedup window would have made this
                # copy a duplicate, so only a later copy counts.
                later = other > candidate.delivery or (tried_at or 0) >= candidate.received_at
                counts = not is_suppressed and later
            else:
                counts = state in _WAITING or holders.get(candidate.key) == other
            if counts:
                rivals[candidate.delivery] = Rival(delivery=other, state=state or State.DELIVERED)
                break
    return rivals


def holders_in(connection: SqlConnection, keys: Sequence[bytes]) -> dict[bytes, int]:
    """Return the holder of each key, according to the data on disk."""
    values = {"keys": b"".join(keys), "places": as_json(range(len(keys)))}
    found = connection.execute(query("deliveries_of_keys"), values).fetchall()
    return {keys[place]: delivery for place, delivery in found if delivery is not None}
