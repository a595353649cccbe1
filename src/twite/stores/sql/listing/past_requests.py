"""Past requests, a limited number at a time, so that no read holds back the store's log."""

from typing import ClassVar

from twite.domain.cause import DeliveryCause
from twite.gateway.ports.past_requests import (
    MOST_AT_ONCE,
    OUT_OF_ORDER,
    PastConversion,
    PastRequest,
)
from twite.stores.sql.listing.conversions import flag_of
from twite.stores.sql.records import view
from twite.stores.sql.rejections import refused_places
from twite.stores.sql.rows.query_row import QueryRow
from twite.stores.sql.statements import SqlConnection, query
from twite.stores.sql.stored_bodies import body_of


class PastRequestRow(QueryRow):
    statement: ClassVar[str] = "past_requests"

    number: int
    receipt: str
    source: str
    endpoint: str
    received_at: int
    first: int
    entries: int
    body: bytes
    refusals: bytes | None


class PastConversionRow(QueryRow):
    statement: ClassVar[str] = "past_conversions"

    delivery: int
    pixel: str
    event: str
    conversion_id: str
    body: bytes
    suppressed: str | None
    cause: str | None
    evidence: bytes | None
    held: str | None
    held_cause: str | None
    kind: str | None
    value: str | None
    currency: str | None
    usual: str | None
    is_joined: bool


def past_requests(
    connection: SqlConnection, *, since: int, number: int | None, limit: int
) -> list[PastRequest]:
    """Return requests from one on, or from a time on, with their conversions."""
    with view(connection):
        if number is None:
            start = {"at": since - OUT_OF_ORDER}
            found = connection.execute(query("number_at"), start).fetchone()
            if found is None:
                return []
            number = int(found[1])
        rows = _at_once(PastRequestRow.read(connection, {"number": number, "limit": limit}))
        if not rows:
            return []
        span = {"first": rows[0].first, "after": max(row.first + row.entries for row in rows)}
        conversions = {
            row.delivery: _conversion(row) for row in PastConversionRow.read(connection, span)
        }
    return [_request(row, conversions) for row in rows]


def _at_once(rows: list[PastRequestRow]) -> list[PastRequestRow]:
    """Return the first requests, so that they have at most MOST_AT_ONCE conversions."""
    total = 0
    for place, row in enumerate(rows):
        total += row.entries
        if place and total > MOST_AT_ONCE:
            return rows[:place]
    return rows


def _request(row: PastRequestRow, conversions: dict[int, PastConversion]) -> PastRequest:
    numbers = range(row.first, row.first + row.entries)
    return PastRequest(
        number=row.number,
        receipt=row.receipt,
        source=row.source,
        endpoint=row.endpoint,
        received_at=row.received_at,
        first=row.first,
        entries=row.entries,
        body=body_of(row.body),
        refused=refused_places(row.refusals),
        conversions={id_: conversions[id_] for id_ in numbers if id_ in conversions},
    )


def _conversion(row: PastConversionRow) -> PastConversion:
    cause = row.held_cause or row.cause
    return PastConversion(
        delivery=row.delivery,
        pixel=row.pixel,
        event=row.event,
        conversion_id=row.conversion_id,
        body=row.body,
        suppressed=row.suppressed,
        held=row.held,
        cause=None if cause is None else DeliveryCause(cause),
        evidence=row.evidence,
        flag=flag_of(row.kind, row.value, row.currency, row.usual),
        is_joined=bool(row.is_joined),
    )
