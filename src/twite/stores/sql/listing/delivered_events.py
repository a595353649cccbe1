"""Count what a list of delivered conversions shows, by event."""

from typing import Final

from twite.domain.results.figures import DeliveredEvent
from twite.gateway.ports.listing import QueryScope
from twite.stores.sql.listing.conversions import before_until, first_since
from twite.stores.sql.records import view
from twite.stores.sql.statements import SqlConnection, query, record_of
from twite.stores.sql.tallies import pixels_of

# How fields begin in the body that X receives. A value never contains these characters: in it,
# quotation marks are escaped.
_CLICK: Final = '"twclid":"'
_EMAIL: Final = '"hashed_email":"'


def delivered_events(
    connection: SqlConnection, *, scope: QueryScope, since: int, until: int
) -> list[DeliveredEvent]:
    """Return the deliveries of each event among the conversions received in a time."""
    with view(connection):
        last, _ = connection.execute(query("latest")).fetchone()
        values = {
            "first": first_since(connection, since, last),
            "before": before_until(connection, until, last),
            "since": since,
            "until": until,
            "pixels": pixels_of(scope),
            "click": _CLICK,
            "email": _EMAIL,
        }
        rows = connection.execute(query("delivered_events"), values).fetchall()
    return [record_of(DeliveredEvent, row) for row in rows]
