"""Console queries: lists of conversions, and error groups of dead letters, read by index."""

from collections.abc import Iterator, Sequence
from typing import ClassVar

import msgspec

from twite.domain.delivery import State
from twite.domain.history import History
from twite.domain.stats.value_guard import ValueFlag
from twite.gateway.ports.queries import (
    COUNTED,
    LOOKED_THROUGH,
    ConversionOrigin,
    ConversionSummary,
    ErrorGroup,
    KeptSubmission,
    ListQuery,
    QueryScope,
    SummaryPage,
)
from twite.stores.sql.records import histories, view
from twite.stores.sql.rows.query_row import QueryRow
from twite.stores.sql.statements import SqlConnection, as_json, query
from twite.stores.sql.stored_bodies import body_of
from twite.stores.sql.tallies import pixels_of

_UNSETTLED = frozenset({State.QUEUED, State.SENDING, State.HELD, State.DEAD})


class _RefusedPlace(msgspec.Struct):
    """What intake stores of a rejected conversion beside its request."""

    index: int


_Refusals = msgspec.json.Decoder(list[_RefusedPlace])


class SummaryRow(QueryRow):
    statement: ClassVar[str] = "summaries"

    delivery: int
    received_at: int
    pixel: str
    event: str
    conversion_id: str
    source: str
    endpoint: str
    state: str
    reason: str | None
    body: bytes
    kind: str | None
    value: str | None
    currency: str | None
    usual: str | None


def page(connection: SqlConnection, look: ListQuery) -> SummaryPage:
    """Return the matching conversions before an id, newest first."""
    with view(connection):
        last, first = connection.execute(query("latest")).fetchone()
        before = last + 1 if look.before is None else min(look.before, last + 1)
        floor = max(first, look.after + 1)
        rest = {"before": before, "floor": floor, "limit": LOOKED_THROUGH}
        if look.flagged or look.state in _UNSETTLED:
            search = "newest_flagged" if look.flagged else "newest_unsettled"
            counting = query("flagged_before" if look.flagged else "unsettled_before")
            many, begin = connection.execute(counting, rest).fetchone()
            ended = many < LOOKED_THROUGH
        else:
            search = "newest"
            begin = connection.execute(query("looked_through"), rest).fetchone()[0]
            ended = begin == floor
        values = {
            "pixels": pixels_of(look.scope),
            "event": look.event,
            "source": look.scope.source,
            "state": None if look.state is None else look.state.value,
            "reason": look.reason,
            "limit": look.limit,
            "before": before,
            "floor": begin or before,
        }
        ids = [id_ for (id_,) in connection.execute(query(search), values)]
        back_to = None if ended else begin
        return SummaryPage(
            summaries=tuple(_summaries(connection, ids)),
            back_to=ids[-1] if len(ids) == look.limit else back_to,
            latest=last,
        )


class SubmissionFromRow(QueryRow):
    statement: ClassVar[str] = "submission_from"

    id: int
    received_at: int
    first: int


class OriginRow(QueryRow):
    statement: ClassVar[str] = "origin"

    endpoint: str
    body: bytes
    refusals: bytes | None
    nth: int
    kind: str | None
    value: str | None
    currency: str | None
    usual: str | None


def number_at(connection: SqlConnection, *, at: int) -> int:
    """Return the number of the first conversion that was received at or after a time.

    Submissions are numbered in the order of receipt, so a binary search finds it. If the clock was
    set back, the result is approximate.
    """
    with view(connection):
        low, high = 1, connection.execute(query("last_submission")).fetchone()[0] + 1
        first = connection.execute(query("latest")).fetchone()[0] + 1
        while low < high:
            middle = (low + high) // 2
            rows = SubmissionFromRow.read(connection, {"number": middle})
            if rows and rows[0].received_at < at:
                low = rows[0].id + 1
            else:
                high = middle
                first = rows[0].first if rows else first
        return int(first)


def origin(
    connection: SqlConnection, *, delivery: int, scope: QueryScope
) -> ConversionOrigin | None:
    with view(connection):
        found = histories(connection, [delivery])
        rows = OriginRow.read(connection, {"delivery": delivery})
        if not found or not rows or not scope.shows(found[0].pixel):
            return None
        row = rows[0]
        return ConversionOrigin(
            history=found[0],
            endpoint=row.endpoint,
            body=body_of(row.body),
            place=_place(row.nth, row.refusals),
            flag=_flag(row),
            amended=tuple(connection.execute(query("amended"), {"delivery": delivery}).fetchall()),
        )


def kept(
    connection: SqlConnection, *, deliveries: Sequence[int], scope: QueryScope
) -> list[KeptSubmission]:
    """Return the submissions of conversions. A shared submission is read once."""
    with view(connection):
        places = connection.execute(query("places"), {"deliveries": as_json(deliveries)}).fetchall()
        seen = [
            (id_, submission, nth) for id_, submission, pixel, nth in places if scope.shows(pixel)
        ]
        wanted = sorted({submission for _, submission, _ in seen})
        found = connection.execute(query("get_submissions"), {"submissions": as_json(wanted)})
        bodies = {id_: (body_of(body), refusals) for id_, body, refusals in found}
    return [
        KeptSubmission(
            delivery=id_, body=bodies[submission][0], place=_place(nth, bodies[submission][1])
        )
        for id_, submission, nth in seen
    ]


def error_groups(connection: SqlConnection, *, scope: QueryScope) -> list[ErrorGroup]:
    """Return the error groups by state, event and reason, by skipping through an index."""
    found: list[ErrorGroup] = []
    with view(connection):
        for queue, pixel, event in connection.execute(query("queues")).fetchall():
            if not scope.shows(pixel):
                continue
            for state in (State.DEAD, State.HELD):
                for reason in _reasons(connection, state=state, queue=queue):
                    values = {"state": state.value, "queue": queue, "reason": reason}
                    many, first_at, last_at, ambiguous = connection.execute(
                        query("measure_error_group"), values | {"limit": COUNTED}
                    ).fetchone()
                    found.append(
                        ErrorGroup(
                            pixel=pixel,
                            event=event,
                            state=state,
                            reason=reason,
                            deliveries=many,
                            first_at=first_at,
                            last_at=last_at,
                            ambiguous=bool(ambiguous),
                        )
                    )
    found.sort(key=lambda group: (-group.deliveries, group.pixel, group.event, group.reason))
    return found


def error_group(
    connection: SqlConnection, *, scope: QueryScope, group: ErrorGroup, after: int, limit: int
) -> list[History]:
    with view(connection):
        found = (
            id_
            for id_, pixel, event in connection.execute(query("queues")).fetchall()
            if (pixel, event) == (group.pixel, group.event) and scope.shows(pixel)
        )
        values = {
            "state": group.state.value,
            "queue": next(found, None),
            "reason": group.reason,
            "after": after,
            "limit": limit,
        }
        return histories(
            connection, [id_ for (id_,) in connection.execute(query("error_group"), values)]
        )


def resting_among(
    connection: SqlConnection, *, scope: QueryScope, deliveries: Sequence[int]
) -> list[History]:
    """Return the given deliveries that are dead or held, and visible."""
    with view(connection):
        values = {"pixels": pixels_of(scope), "deliveries": as_json(deliveries)}
        found = connection.execute(query("resting_among"), values).fetchall()
        return histories(connection, [id_ for (id_,) in found])


def _reasons(connection: SqlConnection, *, state: State, queue: int) -> Iterator[str]:
    reason = ""
    values = {"state": state.value, "queue": queue}
    while True:
        row = connection.execute(query("next_error_group"), values | {"after": reason}).fetchone()
        if row is None:
            return
        reason = row[0]
        yield reason


def _summaries(connection: SqlConnection, ids: Sequence[int]) -> Iterator[ConversionSummary]:
    for row in SummaryRow.read(connection, {"deliveries": as_json(ids)}):
        yield ConversionSummary(
            delivery=row.delivery,
            received_at=row.received_at,
            pixel=row.pixel,
            event=row.event,
            conversion_id=row.conversion_id,
            source=row.source,
            endpoint=row.endpoint,
            state=State(row.state),
            reason=row.reason,
            body=row.body,
            flag=_flag(row),
        )


def _flag(row: SummaryRow | OriginRow) -> ValueFlag | None:
    if row.kind is None:
        return None
    return ValueFlag(
        kind=row.kind, value=row.value or "", currency=row.currency or "", usual=row.usual or ""
    )


def _place(nth: int, refusals: bytes | str | None) -> int:
    """Return the position of the nth accepted conversion in its submission."""
    if not refusals:
        return nth
    refused = {refusal.index for refusal in _Refusals.decode(refusals)}
    place = -1
    for _ in range(nth + 1):
        place += 1
        while place in refused:
            place += 1
    return place
