"""Write conversion ids by path, and read them for the deduplication report."""

from collections.abc import Iterator, Sequence
from typing import Final

from twite.domain.conversion import dedup_key
from twite.domain.stats.deduplication import (
    KEPT_FOR,
    MEETS_WITHIN,
    MOST_REPORTS,
    DedupPath,
    DedupReport,
    DedupRow,
    OtherId,
    PixelReport,
    TwoIds,
)
from twite.domain.times import DAY, MINUTE
from twite.gateway.ports.listing import QueryScope
from twite.stores.sql.database import WriterSession
from twite.stores.sql.rows.tables import DedupReportRow
from twite.stores.sql.statements import SqlConnection, as_json, query, record_of
from twite.stores.sql.tallies import pixels_of

Seen = list[DedupRow]

# Each new row deletes this many old ones, so that the table shrinks gradually to its limit.
_FORGOTTEN_FOR_EACH: Final = 4
# How many deduplication keys one statement looks up, and the most superseded copies of these.
_KEYS: Final = 1_000
_COPIES: Final = 10_000


def add(session: WriterSession, seen: Seen) -> None:
    """Write rows inside the running transaction, and delete the oldest."""
    session.add(
        [
            DedupReportRow(
                at=row.at,
                queue=session.queue(row.pixel, row.event),
                path=row.path.value,
                conversion_id=row.conversion_id,
                email_mark=row.email_mark,
                phone_mark=row.phone_mark,
                click_mark=row.click_mark,
            )
            for row in seen
        ]
    )
    before = max([row.at for row in seen]) - KEPT_FOR
    if before >= session.dedup_report_since + MINUTE:
        limit = _FORGOTTEN_FOR_EACH * len(seen)
        if session.run("forget_dedup_report", before=before, limit=limit).rowcount < limit:
            session.dedup_report_since = before


def pixel_reports(
    connection: SqlConnection, *, pixel: str, event: str, conversion_id: str
) -> list[PixelReport]:
    """Return the first times that a conversion id was reported to X's pixel."""
    values = {
        "pixel": pixel,
        "event": event,
        "conversion_id": conversion_id,
        "limit": MOST_REPORTS,
    }
    found = connection.execute(query("pixel_reports"), values).fetchall()
    return [PixelReport(at=at, blocked=DedupPath(way) is DedupPath.BLOCKED) for at, way in found]


def pixel_copies(
    connection: SqlConnection, *, pixel: str, event: str, deliveries: Sequence[int]
) -> dict[int, int]:
    """Return, by delivery, when its id was first reported to X's pixel for an event."""
    values = {"pixel": pixel, "event": event, "deliveries": as_json(deliveries)}
    return dict(connection.execute(query("pixel_copies"), values).fetchall())


def dedup_reports(connection: SqlConnection, *, since: int) -> list[DedupReport]:
    """Return the counts by path since a time."""
    values = {"since": since, "meets_within": MEETS_WITHIN, "day": DAY}
    return [
        record_of(DedupReport, row) for row in connection.execute(query("dedup_report"), values)
    ]


def pairs(connection: SqlConnection, *, since: int, limit: int, scope: QueryScope) -> list[TwoIds]:
    """Return orders with two ids, latest first."""
    values = {
        "since": since,
        "meets_within": MEETS_WITHIN,
        "limit": limit,
        "pixels": pixels_of(scope),
    }
    return [
        TwoIds(pixel=pixel, event=event, page_id=page_id, server_id=server_id, at=at)
        for pixel, event, page_id, server_id, at in connection.execute(query("id_pairs"), values)
    ]


def other_ids(connection: SqlConnection, *, pairs: Sequence[TwoIds]) -> dict[int, OtherId]:
    """Return the stored deliveries of orders with two ids, each with the other id."""
    sides = [
        side
        for pair in pairs
        for side in (
            (pair, pair.page_id, pair.server_id),
            (pair, pair.server_id, pair.page_id),
        )
    ]
    keys = [dedup_key(pair.pixel, pair.event, own) for pair, own, _ in sides]
    # The latest delivery of each id comes last.
    found = sorted(deliveries_of(connection, keys), key=lambda place_of: place_of[1])
    latest = dict(found)
    return {delivery: OtherId(sides[place][2], latest.get(place ^ 1)) for place, delivery in found}


def deliveries_of(connection: SqlConnection, keys: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """Yield (place of the key, delivery) of the holders of keys and their other copies."""
    for first in range(0, len(keys), _KEYS):
        some = keys[first : first + _KEYS]
        values = {"keys": b"".join(some), "places": as_json(range(len(some)))}
        for name, more in (("deliveries_of_keys", {}), ("copies_of_keys", {"limit": _COPIES})):
            for place, delivery in connection.execute(query(name), values | more).fetchall():
                if delivery is not None:
                    yield first + place, delivery
