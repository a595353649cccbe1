"""Joins: store what events say about visitors, and fill the gaps of conversions that have waited.

A conversion is joined in the transaction that makes it ready, and only then: nobody has sent it
before, and its body never changes after.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec

from twite.domain.cause import DeliveryCause
from twite.domain.consent import person_keys
from twite.domain.joins import (
    KEPT,
    MOST_LINKED,
    MOST_OF_KEY,
    MOST_OF_KIND,
    NOTHING_KNOWN,
    GainedIdentifier,
    JoinCount,
    JoinKind,
    KnownIdentifier,
    linked,
    listed_persons,
)
from twite.domain.times import LATEST
from twite.gateway.ingest.joined_bodies import joined_body
from twite.stores.sql.database import WriterSession, checksum
from twite.stores.sql.statements import RunsStatements, SqlConnection, as_json, query
from twite.stores.sql.withdrawals import withdraw

# How many conversions are joined together.
_TOGETHER: Final = 500
_ENCODER: Final = msgspec.json.Encoder()
_GAINED: Final = msgspec.json.Decoder(tuple[GainedIdentifier, ...])


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
    """Store what events say about visitors. A denial deletes their identifiers under all keys."""
    _store(session, known)
    denials = {row.key: row for row in known if row.kind is JoinKind.DENIED}
    if denials:
        _deny(session, denials)


def _store(session: WriterSession, known: Sequence[KnownIdentifier]) -> None:
    # The same row must not occur twice in one statement.
    rows: dict[tuple[str, str], KnownIdentifier] = {}
    for row in known:
        same = rows.setdefault((row.key, row.mark), row)
        if same is not row:
            first = min(same, row, key=lambda each: each.at)
            rows[row.key, row.mark] = msgspec.structs.replace(
                first, seen_at=max(same.seen_at, row.seen_at)
            )
    facts = _ENCODER.encode(
        [
            (row.key, row.mark, row.kind, row.value, row.whose, row.at, row.seen_at, row.origin)
            for row in rows.values()
        ]
    ).decode()
    session.run("know", facts=facts)
    session.run("trim_known", keys=as_json(sorted({row.key for row in known})), most=MOST_OF_KEY)


def _deny(session: WriterSession, denials: Mapping[str, KnownIdentifier]) -> None:
    """Store denials under all linked keys, because a link may be displaced; forget what was known.

    Nothing is joined under the keys of a crowd, so there, only the nearest keep the denial.
    """
    read = read_linked(session.run, [[key] for key in denials])
    spread: dict[str, KnownIdentifier] = {}
    forgotten: set[str] = set()
    for key, denial in denials.items():
        every = linked(read, [key])
        forgotten |= every
        if len(every) > MOST_LINKED:
            every = {row.value for row in read[key] if row.kind is JoinKind.LINK}
        spread |= {
            other: msgspec.structs.replace(denial, key=other) for other in every - denials.keys()
        }
    if spread:
        _store(session, list(spread.values()))
    session.run("forget_identifiers", keys=as_json(sorted(forgotten)))


def join(session: WriterSession, ready: Sequence[tuple[int, int]], *, now: int) -> None:
    """Fill the gaps of conversions that became ready; `ready` has ids and numbers of attempts.

    A conversion is joined once, and only if it was never sent, so others may be among them.

    If the user or a joined person is on the opt-out list, or X needs an identifier and none became
    known, the conversion is suppressed. If another under its keys is listed, it gains nothing.
    """
    fresh = [delivery for delivery, attempts in ready if not attempts]
    for start in range(0, len(fresh), _TOGETHER):
        some = fresh[start : start + _TOGETHER]
        rows = session.run("waiting_joins", deliveries=as_json(some)).fetchall()
        if rows:
            _join(session, [_WaitingJoin(*row) for row in rows], now=now)


def _join(session: WriterSession, joins: Sequence[_WaitingJoin], *, now: int) -> None:
    known = read_linked(session.run, [each.keys.split() for each in joins])
    salt = bytes(session.run("read_deployment").fetchone()[0])
    opted_out = session.opt_outs.current()
    for each in joins:
        listed = listed_persons(known, each.keys.split(), opted_out) if opted_out else []
        if each.whose and any(row.whose == each.whose for row in listed):
            withdraw(session.run, [each.delivery], now=now)
            continue
        found = joined_body(
            bytes(each.body),
            {} if listed else known,
            each.keys.split(),
            whose=each.whose,
            since=each.since,
        )
        if found is None:
            continue
        keys = person_keys(found.added_identifiers, pixel=each.pixel, salt=salt)
        if not opted_out.isdisjoint(keys):
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


def read_linked(
    run: RunsStatements, starts: Sequence[Collection[str]], *, most: int = MOST_LINKED
) -> dict[str, list[KnownIdentifier]]:
    """Return what is known under keys, and under all that they are linked to, by key.

    From each start, links are followed until there are more than `most` keys.
    """
    known: dict[str, list[KnownIdentifier]] = {}
    while True:
        groups = [linked(known, keys) for keys in starts]
        unread = {key for group in groups if len(group) <= most for key in group} - known.keys()
        if not unread:
            return known
        known.update((key, []) for key in unread)
        for key, mark, kind, value, whose, at, seen_at, origin in run(
            "known_of_keys", keys=as_json(sorted(unread))
        ).fetchall():
            known[key].append(
                KnownIdentifier(
                    key=key, mark=mark, kind=JoinKind(kind), value=value, whose=whose,
                    at=at, seen_at=seen_at, origin=origin,
                )
            )  # fmt: skip


def forget_old(session: WriterSession, *, now: int, most: int) -> int:
    """Delete what was last seen long ago; return the number of rows."""
    return sum(
        session.run(
            "forget_old_known", kind=kind.value, before=now - kept, most=MOST_OF_KIND, limit=most
        ).rowcount
        for kind, kept in KEPT.items()
    )


def forget_identifiers(session: WriterSession, *, most: int) -> int:
    """Delete the identifiers of all visitors; return the number of rows. Denials stay."""
    return sum(
        session.run(
            "forget_old_known", kind=kind.value, before=LATEST, most=MOST_OF_KIND, limit=most
        ).rowcount
        for kind in (JoinKind.CLICK, JoinKind.EMAIL, JoinKind.PHONE)
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
