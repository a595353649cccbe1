"""Joins: store what events say about visitors, and fill the gaps of conversions that have waited.

A conversion is joined in the transaction that makes it ready, and only then: nobody has sent it
before, and its body never changes after.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import msgspec

from twite.domain.cause import DeliveryCause
from twite.domain.consent import person_keys
from twite.domain.joins import (
    KEPT,
    MOST_OF_KEY,
    MOST_OF_KIND,
    NOTHING_KNOWN,
    GainedIdentifier,
    JoinCount,
    JoinKind,
    KnownIdentifier,
)
from twite.gateway.ingest.joined_bodies import STEPS, joined_body
from twite.stores.sql.database import WriterSession, checksum
from twite.stores.sql.statements import RunsStatements, SqlConnection, as_json, query
from twite.stores.sql.withdrawals import withdraw

# How many conversions are joined together.
_TOGETHER: Final = 500
_ENCODER: Final = msgspec.json.Encoder()
_GAINED: Final = msgspec.json.Decoder(tuple[GainedIdentifier, ...])

_Known = dict[str, list[KnownIdentifier]]


class _WaitingJoin(msgspec.Struct, frozen=True):
    """A row of the statement `waiting_joins`."""

    delivery: int
    keys: str
    whose: str
    since: int
    queue: int
    pixel: str
    conversion_id: str
    body: bytes
    received_at: int


def know(session: WriterSession, known: Sequence[KnownIdentifier]) -> None:
    """Store what events say about visitors. A denial deletes their identifiers."""
    # The same row must not occur twice in one statement: the first of the earliest counts.
    rows: dict[tuple[str, str], KnownIdentifier] = {}
    for row in known:
        same = rows.setdefault((row.key, row.mark), row)
        if row.at < same.at:
            rows[row.key, row.mark] = row
    facts = _ENCODER.encode(
        [
            (row.key, row.mark, row.kind, row.value, row.whose, row.at, row.seen_at, row.origin)
            for row in rows.values()
        ]
    ).decode()
    session.run("know", facts=facts, most=MOST_OF_KEY)
    denied = sorted({row.key for row in known if row.kind is JoinKind.DENIED})
    if denied:
        session.run("forget_identifiers", keys=as_json(denied))


def join(session: WriterSession, ready: Sequence[tuple[int, int]], *, now: int) -> None:
    """Fill the gaps of conversions that became ready; `ready` has ids and numbers of attempts.

    If a joined person is on the opt-out list, or X needs an identifier and none became known, the
    conversion is suppressed.
    """
    fresh = [delivery for delivery, attempts in ready if not attempts]
    for start in range(0, len(fresh), _TOGETHER):
        some = fresh[start : start + _TOGETHER]
        rows = session.run("waiting_joins", deliveries=as_json(some)).fetchall()
        if rows:
            _join(session, [_WaitingJoin(*row) for row in rows], now=now)


def _join(session: WriterSession, joins: Sequence[_WaitingJoin], *, now: int) -> None:
    known = _known_of(session.run, {key for each in joins for key in each.keys.split()})
    salt = bytes(session.run("read_deployment").fetchone()[0])
    for each in joins:
        found = joined_body(
            bytes(each.body),
            known,
            each.keys.split(),
            whose=each.whose,
            since=each.since,
            received_at=each.received_at,
        )
        if found is None:
            continue
        keys = person_keys(found.added_identifiers, pixel=each.pixel, salt=salt)
        if not session.opt_outs.keys.isdisjoint(keys):
            withdraw(session.run, [each.delivery], now=now)
        elif not found.suffices:
            cause = DeliveryCause.IDENTIFIER_MISSING
            withdraw(session.run, [each.delivery], now=now, cause=cause, reason=NOTHING_KNOWN)
        elif found.origins:
            _complete(session, each, found.body, found.origins, now=now)
    session.run("note_nothing_joined", at=now, deliveries=as_json(each.delivery for each in joins))


def _complete(
    session: WriterSession,
    join: _WaitingJoin,
    body: bytes,
    origins: Sequence[GainedIdentifier],
    *,
    now: int,
) -> None:
    """Store a completed body, and what was added."""
    delivery = join.delivery
    sum_ = checksum(
        session.seeds[join.queue], delivery, join.received_at, join.conversion_id.encode(), body
    )
    session.run("amend_conversion", delivery=delivery, queue=join.queue, body=body, checksum=sum_)
    session.run(
        "note_joined",
        delivery=delivery,
        at=now,
        kinds=" ".join(origin.identifier for origin in origins),
        gained=_ENCODER.encode(origins).decode(),
    )


def _known_of(run: RunsStatements, keys: set[str]) -> _Known:
    """Return what is known under these keys, and under those that they are linked to."""
    known: _Known = defaultdict(list)
    for _ in range(1 + STEPS):
        rows = run("known_of_keys", keys=as_json(sorted(keys))).fetchall() if keys else []
        for key, mark, kind, value, whose, at, seen_at, origin in rows:
            known[key].append(
                KnownIdentifier(
                    key=key, mark=mark, kind=JoinKind(kind), value=value, whose=whose,
                    at=at, seen_at=seen_at, origin=origin,
                )
            )  # fmt: skip
        keys = {row[3] for row in rows if row[2] == JoinKind.LINK} - known.keys()
    return known


def forget_old(session: WriterSession, *, now: int, most: int) -> int:
    """Delete what was last seen long ago; return the number of rows."""
    return sum(
        session.run(
            "forget_old_known", kind=kind.value, before=now - kept, most=MOST_OF_KIND, limit=most
        ).rowcount
        for kind, kept in KEPT.items()
    )


def gained_of(kept: str | None) -> tuple[GainedIdentifier, ...]:
    """Return what a conversion gained."""
    return () if kept is None else _GAINED.decode(kept)


def join_counts(connection: SqlConnection, *, since: int) -> list[JoinCount]:
    """Return how many conversions waited since a time, and what they gained."""
    return [
        JoinCount(
            source=source, pixel=pixel, identifiers=tuple(kinds.split()), conversions=conversions
        )
        for source, pixel, kinds, conversions in connection.execute(
            query("join_counts"), {"since": since}
        )
    ]
