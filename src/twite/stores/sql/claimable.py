"""Claimable deliveries: read the pending ones of a pixel's event, and verify each checksum."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from twite.domain.delivery import Delivery, fitting
from twite.stores.sql.database import WriterSession, checksum

Row = tuple[int, str, int, int, int, int | None, int, int | None]
_Rows: Final = msgspec.json.Decoder(list[Row])
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeError, TypeError)
_Sizes: Final = msgspec.json.Decoder(list[int])


def claimable(
    session: WriterSession,
    *,
    queue: int,
    ambiguous_after: int,
    crashes: int,
    passing: str,
    limit: int,
    most_bytes: int,
) -> tuple[list[Delivery], list[int]]:
    """Return the ready deliveries of a queue (a pixel's event), and the ids of damaged deliveries.

    Deliveries that crashed the sender `crashes` times or more, and those in `passing` (JSON), are
    skipped. The total size of the bodies is at most `most_bytes`. A delivery is damaged if its
    checksum is wrong or its conversion is missing.
    """
    wish = {
        "queue": queue,
        "ambiguous_after": ambiguous_after,
        "crashes": crashes,
        "passing": passing,
        "limit": limit,
    }
    try:
        if session.largest_body * limit > most_bytes:
            # Reading the sizes first keeps large bodies out of memory.
            wish["limit"] = _fitting(session, wish, most_bytes)
        rows, bodies = session.run("claimable", **wish).fetchone()
        found = verified(session.seeds[queue], _Rows.decode(rows), bodies)
        if found:
            sizes = [len(delivery.body) for delivery in found]
            session.largest_body = max(sizes)
            # The bodies may be larger than expected from the last claim.
            return found[: fitting(sizes, most_bytes)], []
    except Exception as error:
        if not is_damage(session, error):
            raise
    # Nothing was found, because the conversions of the ready deliveries are missing, or something
    # is damaged.
    try:
        wish["limit"] = _fitting(session, wish, most_bytes)
    except Exception as error:
        if not is_damage(session, error):
            raise
    return _one_by_one(session, [id_ for (id_,) in session.run("ready_ids", **wish)], queue)


def is_damage(session: WriterSession, error: Exception) -> bool:
    """Return whether a failed claim means that a row is damaged."""
    return isinstance(error, _UNREADABLE) or session.is_row_damage(error)


def _fitting(session: WriterSession, wish: Mapping[str, object], most_bytes: int) -> int:
    """Return how many of the ready deliveries fit into `most_bytes`."""
    sizes = _Sizes.decode(session.run("ready_sizes", **wish).fetchone()[0])
    return fitting(sizes, most_bytes)


def verified(seed: int, rows: Iterable[Row], bodies: bytes) -> list[Delivery] | None:
    """Return the deliveries of a batch; None if anything in its rows is inconsistent."""
    found = []
    start = 0
    for id_, conversion_id, size, received_at, attempts, ambiguous_since, crashes, total in rows:
        end = start + size
        body = bodies[start:end]
        start = end
        if total != checksum(
            seed,
            delivery=id_,
            received_at=received_at,
            conversion_id=conversion_id.encode(),
            body=body,
        ):
            return None
        found.append(
            Delivery(
                id=id_,
                conversion_id=conversion_id,
                body=body,
                received_at=received_at,
                attempts=attempts,
                ambiguous_since=ambiguous_since,
                crashes=crashes,
            )
        )
    return found


def _one_by_one(
    session: WriterSession, deliveries: Sequence[int], queue: int
) -> tuple[list[Delivery], list[int]]:
    """Read each delivery separately, so that a damaged one does not affect the others."""
    sound = []
    damaged = []
    for id_ in deliveries:
        row = session.run("ready_one", delivery=id_).fetchone()
        found = None if row is None else _one(session.seeds[queue], id_, row)
        if found is None:
            damaged.append(id_)
        else:
            sound.append(found)
    return sound, damaged


def _one(seed: int, id_: int, row: Sequence[object]) -> Delivery | None:
    conversion_id, body, received_at, attempts, ambiguous_since, crashes, total = row
    match conversion_id, body, received_at, attempts, ambiguous_since, crashes:
        case bytes(), bytes(), int(), int(), int() | None, int():
            pass
        case _:
            return None
    adds_up = checksum(
        seed, delivery=id_, received_at=received_at, conversion_id=conversion_id, body=body
    )
    if total != adds_up:
        return None
    return Delivery(
        id=id_,
        conversion_id=conversion_id.decode("utf-8", "replace"),
        body=body,
        received_at=received_at,
        attempts=attempts,
        ambiguous_since=ambiguous_since,
        crashes=crashes,
    )
