"""Records: read histories, counts and attempts on a read-only connection."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import ClassVar, Final

import msgspec

from twite.domain.cause import DeliveryCause
from twite.domain.conversion import dedup_key
from twite.domain.delivery import PROMISED_WITHIN, State
from twite.domain.history import ConversionCounts, History, PastAttempt, Rival, TagNotFired
from twite.domain.stats.backlog import BacklogHour
from twite.domain.submission import Submission
from twite.domain.times import HOUR, MINUTE
from twite.domain.value_change import RuleProblem, ValueChange
from twite.gateway.ports.queries import DecidedDelivery
from twite.stores.sql import copies
from twite.stores.sql.database import checksum, seed_of
from twite.stores.sql.joins import gained_of
from twite.stores.sql.rows.query_row import QueryRow
from twite.stores.sql.statements import Cursor, SqlConnection, as_json, query, record_of

MOST_HISTORIES: Final = 1_000
_UNFIRED_ENCODER: Final = msgspec.json.Encoder()


class HistoryRow(QueryRow):
    statement: ClassVar[str] = "histories"

    delivery: int
    pixel: str
    event: str
    conversion_id: str
    state: str
    source: str
    receipt: str
    received_at: int
    body: bytes
    duplicates: int
    reason: str | None
    cause: str | None
    due_at: int | None
    paused: str | None
    spent: str | None
    spent_until: int
    consent: bytes | None
    unfired: bytes | None
    place: int
    ambiguous_since: int | None
    called: str | None
    superseded_by: int | None
    checksum: int | None
    gained: str | None
    rule: str | None
    value_before: str | None
    currency_before: str | None
    value_after: str | None
    currency: str | None
    problem: str | None
    detail: str | None
    is_joining: bool

    @property
    def value_change(self) -> ValueChange | None:
        if self.rule is None:
            return None
        return ValueChange(
            rule=self.rule,
            before=self.value_before,
            currency_before=self.currency_before,
            after=self.value_after,
            currency=self.currency,
            problem=None if self.problem is None else RuleProblem(self.problem),
            detail=self.detail or "",
        )


def history(
    connection: SqlConnection,
    *,
    pixel: str,
    events: Sequence[str] | None,
    conversion_id: str,
) -> list[History]:
    """Return the histories of a conversion id, found by the dedup key of each event.

    This includes histories of tags, whose ids are derived from the conversion's.
    """
    with view(connection):
        if events is None:
            found = connection.execute(query("events_of"), {"pixel": pixel}).fetchall()
            events = [event for (event,) in found]
        called = connection.execute(
            query("ids_of_called"), {"name": conversion_id, "pixel": pixel, "limit": MOST_HISTORIES}
        ).fetchall()
        ids = [(event, conversion_id) for event in events]
        ids += [fromkey for fromkey in dict.fromkeys(called) if fromkey[0] in events]
        keys = b"".join([dedup_key(pixel, *pair) for pair in ids])
        places = as_json(range(len(ids)))
        held = connection.execute(
            query("deliveries_of_keys"), {"keys": keys, "places": places}
        ).fetchall()
        others = connection.execute(
            query("copies_of_keys"), {"keys": keys, "places": places, "limit": MOST_HISTORIES}
        ).fetchall()
        # The holder of each key, then the other copies, the latest first.
        found = [(place, delivery) for place, delivery in held if delivery is not None]
        ordered = sorted([*found, *others], key=lambda entry: entry[0])
        return histories(connection, list(dict.fromkeys(delivery for _, delivery in ordered)))


def submission(connection: SqlConnection, receipt: str, conversion_id: str | None) -> list[History]:
    """Return the histories of a submission's conversions, or of those with an id."""
    chosen = {"receipt": receipt, "conversion_id": conversion_id, "limit": MOST_HISTORIES}
    with view(connection):
        found = connection.execute(query("deliveries_of_receipt"), chosen).fetchall()
        return histories(connection, [delivery for (delivery,) in found])


def resting(
    connection: SqlConnection, *, pixel: str | None, since: int, until: int, limit: int
) -> list[History]:
    """Return the deliveries that became dead or held in a period, latest first."""
    chosen = {"pixel": pixel, "since": since, "until": until, "limit": limit}
    with view(connection):
        found = connection.execute(query("resting_deliveries"), chosen).fetchall()
        return histories(connection, [delivery for (delivery,) in found])


def accounts(connection: SqlConnection) -> list[ConversionCounts]:
    """Return the accounts by source and pixel."""
    return [record_of(ConversionCounts, row) for row in connection.execute(query("accounts"))]


def spent(connection: SqlConnection, *, since: int) -> dict[str, list[tuple[int, int]]]:
    """Return time and number of conversions of each attempt since a time, by pixel."""
    by_pixel: dict[str, list[tuple[int, int]]] = {}
    for pixel, at, size in connection.execute(query("spent"), {"since": since}).fetchall():
        by_pixel.setdefault(pixel, []).append((at, size))
    return by_pixel


def undelivered(
    connection: SqlConnection, *, source: str, after: int, limit: int
) -> list[DecidedDelivery]:
    """Return deliveries of a source that may still be sent, by their ids."""
    wish = {"source": source, "after": after, "limit": limit}
    return [
        DecidedDelivery(
            delivery=delivery,
            pixel=pixel,
            evidence=None if evidence is None else bytes(evidence),
        )
        for delivery, pixel, evidence in connection.execute(query("standing"), wish).fetchall()
    ]


def backlog(connection: SqlConnection) -> list[BacklogHour]:
    """Return the pending deliveries by pixel and by the hour of their rank."""
    return [
        BacklogHour(pixel=pixel, hour=hour, deliveries=deliveries, first=first, oldest=oldest)
        for pixel, hour, deliveries, first, oldest in connection.execute(
            query("backlog"), {"hour": HOUR}
        )
    ]


def delivered(connection: SqlConnection, *, since: int) -> dict[str, list[tuple[int, int]]]:
    """Return (time, conversions) delivered to X since a time, by pixel."""
    by_pixel: dict[str, list[tuple[int, int]]] = {}
    values = {"since": since, "minute": MINUTE}
    for pixel, at, many in connection.execute(query("delivered_since"), values):
        by_pixel.setdefault(pixel, []).append((at, many))
    return by_pixel


@contextmanager
def view(connection: SqlConnection) -> Iterator[None]:
    """Run a query in one consistent view."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("COMMIT")


def histories(connection: SqlConnection, deliveries: Sequence[int]) -> list[History]:
    """Return histories in the order of the ids; damaged conversions have no body."""
    ids = {"deliveries": as_json(deliveries)}
    attempts = _attempts(connection, ids)
    rivals = _rivals(connection, deliveries)
    supersedes: dict[int, tuple[int, ...]] = {}
    for by, delivery in connection.execute(query("superseded_by"), ids):
        supersedes[by] = (*supersedes.get(by, ()), delivery)
    histories = {}
    for row in HistoryRow.read(connection, ids):
        delivery, body = row.delivery, row.body
        if row.checksum is not None and row.checksum != checksum(
            seed_of(row.pixel, row.event),
            delivery=delivery,
            received_at=row.received_at,
            conversion_id=row.conversion_id.encode(),
            body=body,
        ):
            body = b""
        histories[delivery] = History(
            delivery=delivery,
            pixel=row.pixel,
            event=row.event,
            conversion_id=row.conversion_id,
            state=State(row.state),
            source=row.source,
            receipt=row.receipt,
            received_at=row.received_at,
            deadline_at=row.received_at + PROMISED_WITHIN,
            sent=body,
            attempts=tuple(attempts.get(delivery, ())),
            duplicates=row.duplicates,
            cause=None if row.cause is None else DeliveryCause(row.cause),
            reason=row.reason,
            due_at=row.due_at,
            paused=row.paused,
            spent=row.spent,
            spent_until=row.spent_until,
            consent=None if row.consent is None else bytes(row.consent),
            not_fired=unfired_of(row.unfired, row.place),
            ambiguous_since=row.ambiguous_since,
            called=row.called,
            superseded_by=row.superseded_by,
            supersedes=supersedes.get(delivery, ()),
            rival=rivals.get(delivery),
            gained=gained_of(row.gained),
            is_joining=bool(row.is_joining),
            value_change=row.value_change,
        )
    return [histories[delivery] for delivery in deliveries if delivery in histories]


def _rivals(connection: SqlConnection, deliveries: Sequence[int]) -> dict[int, Rival]:
    """Return, for each dead or held delivery, another copy that rivals it."""

    def run(name: str, /, **values: object) -> Cursor:
        return connection.execute(query(name), values)

    resting = copies.named(run, deliveries)
    if not resting:
        return {}
    keys = list(dict.fromkeys(candidate.key for candidate in resting))
    return copies.rivals(run, resting, copies.holders_in(connection, keys))


def _attempts(connection: SqlConnection, ids: Mapping[str, str]) -> dict[int, list[PastAttempt]]:
    attempts: dict[int, list[PastAttempt]] = {}
    for row in connection.execute(query("attempts_of"), ids).fetchall():
        delivery, at, outcome, status, answer, ambiguous, size = row
        attempts.setdefault(delivery, []).append(
            PastAttempt(
                at=at,
                outcome=outcome,
                status=status,
                answer=answer,
                ambiguous=bool(ambiguous),
                size=size,
            )
        )
    return attempts


def receipts(connection: SqlConnection, *, deliveries: Sequence[int]) -> dict[int, str]:
    """Return the receipts of conversions by id."""
    found = connection.execute(query("receipts"), {"deliveries": as_json(deliveries)})
    return dict(found.fetchall())


def held_keys(connection: SqlConnection, *, keys: Sequence[bytes]) -> frozenset[bytes]:
    """Return the keys that a conversion holds."""
    values = {"keys": b"".join(keys), "places": as_json(range(len(keys)))}
    found = connection.execute(query("deliveries_of_keys"), values).fetchall()
    return frozenset(keys[place] for place, delivery in found if delivery is not None)


def states(connection: SqlConnection, *, deliveries: Sequence[int]) -> dict[State, int]:
    """Return the number of conversions by state."""
    found = connection.execute(query("states_of"), {"deliveries": as_json(deliveries)})
    return {State(state): count for state, count in found.fetchall()}


# Tag, reason, and the positions of the stored conversions, counting from the first.
_Unfired = list[tuple[str, str, list[int]]]


def unfired_kept(submission: Submission) -> bytes | None:
    """Encode which tags did not fire for which stored conversions; None if all fired."""
    places = {entry.index: place for place, entry in enumerate(submission.entries)}
    found: dict[tuple[str, str], list[int]] = {}
    for unfired in submission.unfired:
        place = None if unfired.index is None else places.get(unfired.index)
        if place is not None:
            found.setdefault((unfired.tag, unfired.why), []).append(place)
    if not found:
        return None
    return _UNFIRED_ENCODER.encode([(tag, why, at) for (tag, why), at in found.items()])


def unfired_of(kept: bytes | None, place: int) -> tuple[TagNotFired, ...]:
    """Return the tags that did not fire for a conversion."""
    if kept is None:
        return ()
    return tuple(
        TagNotFired(tag=tag, why=why)
        for tag, why, places in _UNFIRED_DECODER.decode(kept)
        if place in places
    )


_UNFIRED_DECODER: Final = msgspec.json.Decoder(_Unfired)
