"""Exports: conversions by number, with their states and attempts."""

from collections.abc import Sequence
from typing import ClassVar

from twite.gateway.ports.exports import StoredConversion
from twite.gateway.ports.listing import ListedState
from twite.stores.sql.listing.conversions import first_since
from twite.stores.sql.records import view
from twite.stores.sql.rows.query_row import QueryRow
from twite.stores.sql.statements import SqlConnection, as_json, query


class StoredConversionRow(QueryRow):
    statement: ClassVar[str] = "stored_conversions"

    delivery: int
    place: int
    receipt: str
    received_at: int
    source: str
    endpoint: str
    pixel: str
    event: str
    conversion_id: str
    state: str
    reason: str | None
    cause: str | None
    body: bytes
    flag: str | None


def stored_conversions(
    connection: SqlConnection, *, deliveries: Sequence[int]
) -> list[StoredConversion]:
    """Return the conversions that exist, in the order of their numbers."""
    with view(connection):
        return _read(connection, deliveries)


def conversions_after(
    connection: SqlConnection, *, after: int, limit: int
) -> list[StoredConversion]:
    """Return the next conversions."""
    with view(connection):
        found = connection.execute(query("ids_after"), {"after": after, "limit": limit})
        return _read(connection, [id_ for (id_,) in found.fetchall()])


def number_of_time(connection: SqlConnection, *, at: int) -> int:
    """Return the first number that may have been received at a time, or later."""
    with view(connection):
        last, _ = connection.execute(query("latest")).fetchone()
        return first_since(connection, at, last)


def _read(connection: SqlConnection, deliveries: Sequence[int]) -> list[StoredConversion]:
    if not deliveries:
        return []
    ids = {"deliveries": as_json(deliveries)}
    attempts: dict[int, tuple[int, int, int | None]] = {}
    for delivery, at, status in connection.execute(query("attempt_times"), ids).fetchall():
        attempts[delivery] = attempts.get(delivery, (0, 0, None))[0] + 1, at, status
    found = []
    for row in StoredConversionRow.read(connection, ids):
        count, at, status = attempts.get(row.delivery, (0, None, None))
        found.append(
            StoredConversion(
                delivery=row.delivery,
                place=row.place,
                receipt=row.receipt,
                received_at=row.received_at,
                source=row.source,
                endpoint=row.endpoint,
                pixel=row.pixel,
                event=row.event,
                conversion_id=row.conversion_id,
                state=ListedState(row.state),
                reason=row.reason,
                cause=row.cause,
                body=row.body,
                attempts=count,
                last_attempt_at=at,
                last_status=status,
                flag=row.flag,
            )
        )
    return found
