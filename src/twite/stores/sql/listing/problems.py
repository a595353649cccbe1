"""Problems: samples and days of error groups, and conversions with unusual amounts."""

from collections.abc import Sequence

from twite.domain.times import LATEST
from twite.gateway.ports.listing import QueryScope
from twite.gateway.ports.queries import (
    COUNTED,
    ErrorDetails,
    ErrorGroup,
    FlaggedAmount,
)
from twite.stores.sql.records import histories, view
from twite.stores.sql.statements import SqlConnection, query, record_of
from twite.stores.sql.tallies import pixels_of


def error_details(
    connection: SqlConnection,
    *,
    groups: Sequence[ErrorGroup],
    scope: QueryScope,
    since: int,
    offset: int,
) -> list[ErrorDetails]:
    """Return details of error groups, in order."""
    with view(connection):
        queues = {
            (pixel, event): id_
            for id_, pixel, event in connection.execute(query("queues")).fetchall()
            if scope.shows(pixel)
        }
        found: list[tuple[int | None, dict[int, int]]] = []
        for group in groups:
            values = {
                "state": group.state.value,
                "queue": queues.get((group.pixel, group.event)),
                "reason": group.reason,
            }
            whole = {"source": scope.source, "since": 0, "until": LATEST, "after": 0, "limit": 1}
            first = connection.execute(query("error_group"), values | whole).fetchone()
            range_ = {
                "source": scope.source,
                "since": since,
                "offset": offset,
                "limit": COUNTED,
            }
            days = connection.execute(query("days_of_error_group"), values | range_).fetchall()
            found.append((None if first is None else first[0], dict(days)))
        ids = [id_ for id_, _ in found if id_ is not None]
        samples = {history.delivery: history for history in histories(connection, ids)}
    return [
        ErrorDetails(history=None if id_ is None else samples.get(id_), days=days)
        for id_, days in found
    ]


def flagged_amounts(
    connection: SqlConnection, *, scope: QueryScope, since: int, limit: int
) -> list[FlaggedAmount]:
    """Return the latest conversions with unusual amounts."""
    values = {
        "since": since,
        "pixels": pixels_of(scope),
        "source": scope.source,
        "limit": limit,
    }
    rows = connection.execute(query("flagged_amounts"), values).fetchall()
    return [record_of(FlaggedAmount, row) for row in rows]
