"""Copies of one conversion: which delivery holds its dedup key, and which held it before."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from twite.domain.dedup import dedup_key
from twite.domain.delivery import State
from twite.domain.history import Rival
from twite.domain.submission import AcceptedConversion
from twite.gateway.ports.copies import CopyDecision, CopyOutcome, Holder, is_plain, rule
from twite.stores.sql.dedup_keys import AT_ONCE, Holding, RunsStatements, WantedKey
from twite.stores.sql.named import query
from twite.stores.sql.opt_outs import withdraw
from twite.stores.sql.writer_session import WriterSession

MOST_COPIES: Final = 1_000
# Where a copy still has a say about what is queued.
_WAITING: Final = frozenset({State.QUEUED, State.SENDING, State.HELD})


class KeyContest:
    """Decides which of the copies in one group of submissions take their keys from others.

    What becomes of the others is done by `settle`, when the copies are written.
    """

    def __init__(self, book: WriterSession, entries: Mapping[int, AcceptedConversion]) -> None:
        self._book = book
        self._entries = entries
        # Why copies are held, by delivery.
        self.held: dict[int, str] = {}
        # (who had the key, its ruling, the copy)
        self._ruled: list[tuple[int, CopyDecision, WantedKey]] = []

    def __call__(self, wish: WantedKey, holder: int, holding: Holding) -> bool:
        """Return whether a delivery takes the key that another has had before."""
        copy = self._entries[wish.delivery]
        is_settled = holding is not AT_ONCE and holding.state not in {*_WAITING, State.DEAD}
        says_nothing = is_plain(copy) and holding.state is not State.DEAD
        if holding.is_live and copy.suppressed is None and (says_nothing or is_settled):
            return False  # as most are: the holder need not be looked at
        ruling = rule(copy, self._holder(holder, holding, at=wish.at), at=wish.at)
        if ruling.takes or ruling.fate is not CopyOutcome.STAYS:
            self._ruled.append((holder, ruling, wish))
        if ruling.held is not None and copy.suppressed is None:
            self.held[wish.delivery] = ruling.held
        return ruling.takes

    def settle(self) -> None:
        """Bring about what was decided of those who had the keys."""
        run = self._book.run
        for holder, ruling, wish in self._ruled:
            if ruling.takes:
                run("add_replaced", delivery=holder, by=wish.delivery)
                run("show_replaced", key=wish.key, delivery=holder)
            if ruling.fate is CopyOutcome.WITHDRAWN:
                withdraw(run, [holder], now=wish.at, reason=ruling.reason)
                if run("deny", delivery=holder, now=wish.at, reason=ruling.reason).rowcount:
                    self._book.denied.add(holder)
            elif ruling.fate is CopyOutcome.HELD:
                ids = _json([holder])
                run("hold_queued", deliveries=ids, now=wish.at, reason=ruling.reason)

    def _holder(self, delivery: int, holding: Holding, *, at: int) -> Holder:
        if holding is AT_ONCE:
            return self._of_this_group(self._entries[delivery], at=at)
        row = self._book.run("holder", delivery=delivery).fetchone()
        if row is None:
            return Holder(state=State.DELIVERED, is_live=holding.is_live, received_at=at)
        body, evidence, reason, is_suppressed, received_at = row
        settled = State.SUPPRESSED if is_suppressed else State.DELIVERED
        return Holder(
            state=holding.state or settled,
            is_live=holding.is_live,
            received_at=received_at,
            body=body,
            evidence=evidence,
            reason=reason,
            is_ambiguous=holding.is_ambiguous,
        )

    @staticmethod
    def _of_this_group(entry: AcceptedConversion, *, at: int) -> Holder:
        waits = State.QUEUED if entry.held is None else State.HELD
        return Holder(
            state=waits if entry.suppressed is None else State.SUPPRESSED,
            is_live=True,
            received_at=at,
            body=entry.body,
            evidence=entry.consent,
            reason=entry.held,
        )


class NamedDelivery(NamedTuple):
    """A delivery at rest, with its dedup key."""

    delivery: int
    key: bytes
    received_at: int


def named(run: RunsStatements, deliveries: Sequence[int]) -> list[NamedDelivery]:
    """Return those of some deliveries that are dead or held, with their keys."""
    return [
        NamedDelivery(delivery, dedup_key(pixel, event, conversion_id), received_at)
        for delivery, pixel, event, conversion_id, received_at in run(
            "names_of", deliveries=_json(deliveries)
        ).fetchall()
    ]


def rivals(
    run: RunsStatements, resting: Sequence[NamedDelivery], holders: Mapping[bytes, int]
) -> dict[int, Rival]:
    """Return, of deliveries at rest, which other copy was sent or may yet be, or took the key."""
    if not resting:
        return {}
    keys = list(dict.fromkeys(letter.key for letter in resting))
    copies = {key: {holders[key]} if key in holders else set() for key in keys}
    for place, delivery in run(
        "copies_of_keys",
        keys=b"".join(keys),
        places=_json(range(len(keys))),
        limit=MOST_COPIES + len(keys),
    ):
        copies[keys[place]].add(delivery)
    others = sorted({copy for letter in resting for copy in copies[letter.key] - {letter.delivery}})
    if not others:
        return {}
    found = {
        delivery: (None if state is None else State(state), is_suppressed, tried_at)
        for delivery, state, is_suppressed, tried_at in run(
            "where_copies_are", deliveries=_json(others)
        )
    }
    rivals: dict[int, Rival] = {}
    for letter in resting:
        for other in sorted(copies[letter.key] - {letter.delivery}, reverse=True):
            if other not in found:
                continue
            state, is_suppressed, tried_at = found[other]
            if state is None:
                # One that was sent before this came in was forgotten by then, or this would be its
                # duplicate.
                later = other > letter.delivery or (tried_at or 0) >= letter.received_at
                counts = not is_suppressed and later
            else:
                counts = state in _WAITING or holders.get(letter.key) == other
            if counts:
                rivals[letter.delivery] = Rival(delivery=other, state=state or State.DELIVERED)
                break
    return rivals


def holders_in(connection: sqlite3.Connection, keys: Sequence[bytes]) -> dict[bytes, int]:
    """Return who has each of these keys, from what is on disk."""
    values = {"keys": b"".join(keys), "places": _json(range(len(keys)))}
    found = connection.execute(query("deliveries_of_keys"), values).fetchall()
    return {keys[place]: delivery for place, delivery in found if delivery is not None}


def _json(ids: Sequence[int]) -> str:
    return msgspec.json.encode(list(ids)).decode()
