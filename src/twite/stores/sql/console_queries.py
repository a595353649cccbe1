"""Console queries: conversions and their submissions, read by index."""

from collections.abc import Sequence
from typing import ClassVar

from twite.domain.history import History
from twite.domain.stats.tally import FlowCounts
from twite.domain.times import LATEST
from twite.gateway.ports.listing import QueryScope
from twite.gateway.ports.queries import ConversionOrigin, KeptSubmission
from twite.stores.sql.listing.conversions import flag_of, id_range
from twite.stores.sql.records import histories, view
from twite.stores.sql.rejections import refused_places
from twite.stores.sql.rows.query_row import QueryRow
from twite.stores.sql.statements import SqlConnection, as_json, query
from twite.stores.sql.stored_bodies import body_of
from twite.stores.sql.tallies import pixels_of


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


def origin(
    connection: SqlConnection, *, delivery: int, scope: QueryScope
) -> ConversionOrigin | None:
    with view(connection):
        found = histories(connection, [delivery])
        rows = OriginRow.read(connection, {"delivery": delivery})
        if not found or not rows or not scope.shows(found[0].pixel):
            return None
        row = rows[0]
        edits = connection.execute(query("amended"), {"delivery": delivery}).fetchall()
        return ConversionOrigin(
            history=found[0],
            endpoint=row.endpoint,
            body=body_of(row.body),
            place=_place(row.nth, row.refusals),
            flag=flag_of(row.kind, row.value, row.currency, row.usual),
            amended=tuple((at, note) for at, note, _ in edits),
            unedited=edits[0][2] if edits else b"",
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


def by_delivery(
    connection: SqlConnection, *, scope: QueryScope, deliveries: Sequence[int]
) -> list[History]:
    """Return the given deliveries that are visible, in any state."""
    with view(connection):
        found = histories(connection, deliveries)
    return [history for history in found if scope.shows(history.pixel)]


def resting_among(
    connection: SqlConnection, *, scope: QueryScope, deliveries: Sequence[int]
) -> list[History]:
    """Return the given deliveries that are dead or held, and visible."""
    with view(connection):
        values = {"pixels": pixels_of(scope), "deliveries": as_json(deliveries)}
        found = connection.execute(query("resting_among"), values).fetchall()
        return histories(connection, [id_ for (id_,) in found])


def _place(nth: int, refusals: bytes | str | None) -> int:
    """Return the position of the nth accepted conversion in its submission."""
    if not refusals:
        return nth
    refused = refused_places(refusals)
    place = -1
    for _ in range(nth + 1):
        place += 1
        while place in refused:
            place += 1
    return place


def flows_by_pixel(connection: SqlConnection, *, span: int, since: int) -> dict[str, FlowCounts]:
    """Return the traffic since a time, by pixel. `at` is the first span with traffic.

    The sums have what X answered in the time, whenever it was received, and count a conversion that
    is refused again after a replay twice. So `delivered` and `dead` are not theirs.
    """
    with view(connection):
        _, floor = id_range(connection, since=since, until=LATEST)
        found = connection.execute(
            query("undelivered_since"), {"since": since, "floor": floor}
        ).fetchall()
        rows = connection.execute(
            query("flows_by_pixel"), {"span": span, "since": since}
        ).fetchall()
    others = {pixel: (int(dead), int(many)) for pixel, dead, many in found}
    flows = {}
    for pixel, at, received, duplicate, suppressed, rejected in rows:
        dead, undelivered = others.get(pixel, (0, 0))
        flows[pixel] = FlowCounts(
            at=at,
            received=received,
            duplicate=duplicate,
            suppressed=suppressed,
            rejected=rejected,
            delivered=max(0, received - duplicate - suppressed - rejected - undelivered),
            dead=dead,
        )
    return flows
