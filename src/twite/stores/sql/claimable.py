"""Claimable deliveries: read the pending ones of a pixel's event, and verify each checksum."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from twite.domain.delivery import Delivery, NewDeliveries, Place, fitting
from twite.stores.sql.database import WriterSession, checksum

_UNREADABLE: Final = (msgspec.DecodeError, UnicodeError, TypeError)


class ClaimableColumns(msgspec.Struct, frozen=True, array_like=True):
    """Columns of ready deliveries.

    `tried` has the id, attempts, time since when X may have it, and crashes of each delivery that
    was tried before. `accounts` is empty if the store does not need them.
    """

    ids: list[int]
    conversion_ids: list[str]
    sizes: list[int]
    received_at: list[int]
    checksums: list[int]
    tried: list[tuple[int, int, int | None, int]] = []
    accounts: list[int] = []


_Columns: Final = msgspec.json.Decoder(ClaimableColumns)
_Sizes: Final = msgspec.json.Decoder(list[int])


def claimable(
    session: WriterSession,
    *,
    queue: int,
    place: Place,
    ambiguous_after: int,
    crashes: int,
    passing: str,
    limit: int,
    most_bytes: int,
) -> tuple[Sequence[Delivery], list[int]]:
    """Return the ready deliveries of a queue (a pixel's event), and the ids of damaged deliveries.

    The search begins behind `place`. Deliveries that crashed the sender `crashes` times or more,
    and those in `passing` (JSON), are skipped. The total size of the bodies is at most
    `most_bytes`. A delivery is damaged if its checksum is wrong or its conversion is missing.
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
        is_all = passing == "[]"
        columns, bodies = _read(session, wish, place, everything=is_all)
        if any(
            died >= crashes or (since is not None and since < ambiguous_after)
            for _, _, since, died in columns.tried
        ):
            is_all = False
            columns, bodies = _read(session, wish, place, everything=False)
        found = verified(session.seeds[queue], columns, bodies)
        if found:
            session.largest_body = max(columns.sizes)
            # The bodies may be larger than expected from the last claim.
            count = fitting(columns.sizes, most_bytes)
            return found if is_all and count == len(found) else found[:count], []
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


def verified(seed: int, columns: ClaimableColumns, bodies: bytes) -> Sequence[Delivery] | None:
    """Return the deliveries of a batch; None if anything in its columns is inconsistent."""
    start = 0
    for id_, name, size, at, total in zip(
        columns.ids,
        columns.conversion_ids,
        columns.sizes,
        columns.received_at,
        columns.checksums,
        strict=True,
    ):
        if total != checksum(seed, id_, at, name.encode(), bodies[start : start + size]):
            return None
        start += size + 1
    new = NewDeliveries(
        ids=tuple(columns.ids),
        conversion_ids=columns.conversion_ids,
        received_at=columns.received_at,
        sizes=columns.sizes,
        bodies=bodies,
        accounts=columns.accounts,
    )
    if not columns.tried:
        return new
    found = {delivery.id: delivery for delivery in new}
    for id_, attempts, since, crashes in columns.tried:
        found[id_] = msgspec.structs.replace(
            found[id_], attempts=attempts, ambiguous_since=since, crashes=crashes
        )
    return tuple(found.values())


def _read(
    session: WriterSession, wish: Mapping[str, object], place: Place, *, everything: bool
) -> tuple[ClaimableColumns, bytes]:
    first, after = place
    row = session.run("claimable", **wish, rank=first, after=after, everything=everything)
    columns, bodies = row.fetchone()
    return _Columns.decode(columns), bodies or b""


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
