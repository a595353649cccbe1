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
from twite.stores.sql.listing.conversions import id_range
from twite.stores.sql.records import histories, view
from twite.stores.sql.statements import SqlConnection, as_json, query, record_of


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
    connection: SqlConnection, *, scope: QueryScope, since: int, until: int, limit: int
) -> list[FlaggedAmount]:
    """Return the latest conversions with unusual amounts in a scope and a time range."""
    with view(connection):
        before, floor = id_range(connection, since=since, until=until)
        accounts = _accounts_of(connection, scope)
        found: list[FlaggedAmount] = []
        while len(found) < limit:
            size = limit - len(found)
            ids = _flagged(connection, accounts, before=before, floor=floor, limit=size)
            values = {"deliveries": as_json(ids), "since": since, "until": until}
            rows = connection.execute(query("flagged_amounts"), values).fetchall()
            found += [record_of(FlaggedAmount, row) for row in rows]
            if len(ids) < size:
                break
            before = ids[-1]
    return found


def _accounts_of(connection: SqlConnection, scope: QueryScope) -> list[int] | None:
    """Return the accounts in a scope; None for all."""
    if scope.seen is None and scope.source is None:
        return None
    return [
        id_
        for id_, source, pixel in connection.execute(query("account_names")).fetchall()
        if scope.shows(pixel) and scope.source in {None, source}
    ]


def _flagged(
    connection: SqlConnection,
    accounts: Sequence[int] | None,
    *,
    before: int,
    floor: int,
    limit: int,
) -> list[int]:
    """Return ids of conversions with unusual amounts, the newest first. Each account is indexed."""
    values = {"before": before, "floor": floor, "limit": limit}
    if accounts is None:
        return [id_ for (id_,) in connection.execute(query("flagged_before"), values).fetchall()]
    statement = query("flagged_of_account")
    found = [
        id_
        for account in accounts
        for (id_,) in connection.execute(statement, values | {"account": account}).fetchall()
    ]
    return sorted(found, reverse=True)[:limit]
