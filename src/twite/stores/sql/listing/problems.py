"""Problems: error groups with their deliveries, and conversions with unusual amounts."""

from collections.abc import Sequence
from typing import ClassVar

import msgspec

from twite.domain.cause import DeliveryCause
from twite.domain.delivery import State
from twite.domain.history import History
from twite.gateway.ports.listing import QueryScope
from twite.gateway.ports.queries import (
    COUNTED,
    MOST_GROUPS,
    ErrorDetails,
    ErrorGroup,
    FlaggedAmount,
)
from twite.stores.sql.listing.conversions import id_range
from twite.stores.sql.records import histories, view
from twite.stores.sql.rows.query_row import QueryRow
from twite.stores.sql.statements import SqlConnection, as_json, query, record_of
from twite.stores.sql.tallies import pixels_of


class ErrorGroupRow(QueryRow):
    """`figures` is JSON: the deliveries, the first and last times, and how many are ambiguous."""

    statement: ClassVar[str] = "error_groups"

    pixel: str
    event: str
    state: str
    reason: str
    figures: str
    cause: str | None


class DetailsRow(QueryRow):
    """`days` is JSON: days and deliveries. PostgreSQL has NULL for none."""

    statement: ClassVar[str] = "details_of_error_groups"

    place: int
    first: int | None
    days: str | None


def error_groups(
    connection: SqlConnection, *, scope: QueryScope, since: int, until: int
) -> list[ErrorGroup]:
    """Return the error groups by state, event and reason."""
    values = {
        "pixels": pixels_of(scope),
        "source": scope.source,
        "since": since,
        "until": until,
        "counted": COUNTED,
        "groups": MOST_GROUPS,
    }
    with view(connection):
        found = [_group(row) for row in ErrorGroupRow.read(connection, values)]
    found.sort(key=lambda group: (-group.deliveries, group.pixel, group.event, group.reason))
    return found


def in_error_groups(
    connection: SqlConnection,
    *,
    scope: QueryScope,
    groups: Sequence[ErrorGroup],
    since: int,
    until: int,
    after: int,
    limit: int,
) -> list[History]:
    values = {
        "groups": _as_json(groups, scope),
        "source": scope.source,
        "since": since,
        "until": until,
        "after": after,
        "limit": limit,
    }
    with view(connection):
        found: list[int] = []
        for (ids,) in connection.execute(query("in_error_groups"), values).fetchall():
            found += msgspec.json.decode(ids or "[]")
        return histories(connection, sorted(found)[:limit])


def error_details(
    connection: SqlConnection,
    *,
    groups: Sequence[ErrorGroup],
    scope: QueryScope,
    since: int,
    offset: int,
) -> list[ErrorDetails]:
    """Return details of error groups, in order."""
    values = {
        "groups": _as_json(groups, scope),
        "source": scope.source,
        "since": since,
        "offset": offset,
        "counted": COUNTED,
    }
    with view(connection):
        rows = DetailsRow.read(connection, values)
        ids = [row.first for row in rows if row.first is not None]
        samples = {history.delivery: history for history in histories(connection, ids)}
    found = [ErrorDetails()] * len(groups)
    for row in rows:
        sample = None if row.first is None else samples.get(row.first)
        days = dict(msgspec.json.decode(row.days or "[]"))
        found[row.place] = ErrorDetails(history=sample, days=days)
    return found


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


def _group(row: ErrorGroupRow) -> ErrorGroup:
    deliveries, first_at, last_at, ambiguous = msgspec.json.decode(row.figures)
    return ErrorGroup(
        pixel=row.pixel,
        event=row.event,
        state=State(row.state),
        reason=row.reason,
        deliveries=deliveries,
        first_at=first_at,
        last_at=last_at,
        ambiguous=ambiguous > 0,
        cause=None if row.cause is None else DeliveryCause(row.cause),
    )


def _as_json(groups: Sequence[ErrorGroup], scope: QueryScope) -> str:
    """Return what identifies the groups that a scope shows, and their places."""
    return msgspec.json.encode(
        [
            {
                "place": place,
                "pixel": group.pixel,
                "event": group.event,
                "state": group.state,
                "reason": group.reason,
            }
            for place, group in enumerate(groups)
            if scope.shows(group.pixel)
        ]
    ).decode()
