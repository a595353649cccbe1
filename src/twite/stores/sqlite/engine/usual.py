"""Usual claims and settlements, with fewer statements than the shared code.

The shared code in `stores/sql` has the same effect, and handles all other cases.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final
from zlib import crc32

import msgspec

from twite.domain.delivery import Batch, NewDeliveries, Settlement, Trigger, rank
from twite.gateway.ports.outbox import Claim
from twite.stores.sql import outbox
from twite.stores.sql.claimable import is_damage
from twite.stores.sql.statements import as_json
from twite.stores.sqlite.engine.owner_session import OwnerSession
from twite.stores.sqlite.engine.unmarked_leases import FIRST, LeasedDeliveries

# The ids, conversion ids, sizes, checksums and accounts of deliveries.
_Columns = tuple[list[int], list[str], list[int], list[int], list[int]]
# The columns as JSON, how many of the deliveries were tried before, and the joined bodies.
_Row = tuple[str, int, bytes | None]
_OF_RANK: Final = msgspec.json.Decoder(_Columns)
# The same columns, and the ranks.
_AFTER_RANK: Final = msgspec.json.Decoder(
    tuple[list[int], list[str], list[int], list[int], list[int], list[int]]
)


class _Ready(msgspec.Struct):
    """Columns of deliveries that can be sent together, and their bodies, joined by commas."""

    ids: list[int]
    names: list[str]
    sizes: list[int]
    received: list[int]
    accounts: list[int]
    bodies: bytes

    def add(self, later: "_Ready") -> None:
        self.bodies = b",".join([part.bodies for part in (self, later) if part.ids])
        self.ids += later.ids
        self.names += later.names
        self.sizes += later.sizes
        self.received += later.received
        self.accounts += later.accounts

    def deliveries(self) -> NewDeliveries:
        return NewDeliveries(
            ids=tuple(self.ids),
            conversion_ids=self.names,
            received_at=self.received,
            sizes=self.sizes,
            bodies=self.bodies,
        )

    def counted(self) -> dict[int, Mapping[int, int]]:
        """Return the number of deliveries by time of receipt, for each account."""
        times: dict[int, list[int]] = {}
        if len(set(self.accounts)) == 1:
            times[self.accounts[0]] = self.received
        else:
            for account, at in zip(self.accounts, self.received, strict=True):
                times.setdefault(account, []).append(at)
        return {account: Counter(received) for account, received in times.items()}


class VanishedDelivery(Exception):
    """A delivery of the lease no longer exists: roll back, and settle with the shared code."""


def claim(session: OwnerSession, wish: Claim, *, damaged: list[int]) -> Batch | None:
    """Lease deliveries as `outbox.claim` does."""
    batch, is_usual = _claim(session, wish)
    return batch if is_usual else outbox.claim(session, wish, damaged=damaged)


def settle(session: OwnerSession, settlement: Settlement) -> int:
    """Settle as `outbox.settle` does. Raises VanishedDelivery."""
    late = _settle(session, settlement)
    return outbox.settle(session, settlement) if late is None else late


def _claim(session: OwnerSession, wish: Claim) -> tuple[Batch | None, bool]:
    """Lease deliveries; return the batch, and whether this result is final.

    If it is not final, nothing was claimed, and the shared code must be used.
    """
    if wish.passing or session.largest_body * wish.limit > wish.most_bytes:
        return None, False
    unmarked = session.unmarked
    # Deliveries that have just become ready may be before the last claimed places.
    if session.run("promote", now=wish.now, limit=outbox.MOST_MOVED).rowcount or unmarked.is_stale:
        unmarked.mark()
    # The last claimed places are those of all pixels.
    places = {
        queue: unmarked.places[queue]
        for queue in session.queues_of(wish.pixel)
        if queue in unmarked.places
    }
    first = session.run(
        "usual_event",
        pixel=wish.pixel,
        passing_events=msgspec.json.encode(sorted(wish.passing_events)).decode(),
        places=msgspec.json.encode(places).decode(),
        first=FIRST[0],
    ).fetchone()
    if first is None:
        return None, True
    event_id, event = first
    limit = min(wish.limit, wish.limits.get(event, wish.limit))
    found = _sound(session, wish, event_id, limit)
    if found is None:
        return None, False
    deliveries = found.deliveries()
    if session.opt_outs.among(deliveries, pixel=wish.pixel):
        return None, False
    lease = session.next_lease()
    _lease(session, wish, event_id, lease, found)
    return Batch(lease=lease, pixel=wish.pixel, event=event, deliveries=deliveries), True


def _settle(session: OwnerSession, settlement: Settlement) -> int | None:
    """Settle if X has accepted all of a usual claim; otherwise return None."""
    attempt, leased = settlement.attempt, session.unmarked.leases.get(settlement.lease)
    match settlement.transitions:
        case [accepted] if accepted.trigger is Trigger.DELIVERED:
            pass
        case _:
            return None
    if attempt is None or leased is None or session.denied:
        return None
    if not attempt.deliveries == accepted.deliveries == leased.ids:
        return None
    event_id = session.queue(attempt.pixel, attempt.event)
    first, last, many = min(leased.ids), max(leased.ids), len(leased.ids)
    if last - first == many - 1:
        removed = session.run(
            "remove_range",
            event=event_id,
            earliest=leased.earliest,
            latest=leased.latest,
            first=first,
            last=last,
        ).rowcount
    else:
        removed = session.run("remove_listed", deliveries=leased.listed).rowcount
    if removed != many:
        raise VanishedDelivery
    outbox.count_delivered(session, leased.received, at=attempt.at)
    outbox.add_attempt(session, attempt, queue=event_id, deliveries=leased.listed)
    session.run("drop_lease", lease=settlement.lease)
    del session.unmarked.leases[settlement.lease]
    session.moved()
    return 0


def _sound(session: OwnerSession, wish: Claim, event_id: int, limit: int) -> _Ready | None:
    """Return the next deliveries of an event, if all can be sent together."""
    rank_, after = session.unmarked.places.get(event_id, FIRST)
    try:
        row = session.run(
            "ready_of_rank", event=event_id, rank=rank_, after=after, limit=limit
        ).fetchone()
        # A delivery that was not tried before has its time of receipt as its rank.
        found = _read(session.seeds[event_id], row, received_at=rank_)
        if found is not None and len(found.ids) < limit:
            limit -= len(found.ids)
            row = session.run(
                "ready_after_rank", event=event_id, rank=rank_, limit=limit
            ).fetchone()
            later = _read(session.seeds[event_id], row)
            if later is None:
                return None
            found.add(later)
    except Exception as error:
        if not is_damage(session, error):
            raise
        return None  # damaged, or a conversion is missing
    if found is None or not found.ids:
        return None
    session.largest_body = max(found.sizes)
    return None if sum(found.sizes) > wish.most_bytes else found


def _read(seed: int, row: _Row, *, received_at: int | None = None) -> _Ready | None:
    """Return the deliveries of a row, if none is unusual or damaged.

    `received_at` is the time of receipt of all deliveries; if None, the row contains their times.
    """
    columns, tried, joined = row
    if tried:
        return None
    if received_at is None:
        ids, names, sizes, sums, accounts, received = _AFTER_RANK.decode(columns)
    else:
        ids, names, sizes, sums, accounts = _OF_RANK.decode(columns)
        received = [received_at] * len(ids)
    ready = _Ready(ids, names, sizes, received, accounts, joined or b"")
    return ready if _is_sound(seed, ready, sums) else None


def _is_sound(seed: int, ready: _Ready, sums: Sequence[int]) -> bool:
    """Return whether each delivery has the right checksum, as in `stores/sql/database.py`."""
    start, bodies = 0, ready.bodies
    for id_, at, name, size, expected in zip(
        ready.ids, ready.received, ready.names, ready.sizes, sums, strict=True
    ):
        head = crc32(name.encode() + b"\0", seed ^ id_ ^ at)  # only its lower 32 bits matter
        if crc32(bodies[start : start + size], head) != expected:
            return False
        start += size + 1
    return True


def _lease(session: OwnerSession, wish: Claim, event_id: int, lease: int, found: _Ready) -> None:
    """Write a lease."""
    listed = as_json(found.ids)
    earliest, latest = (
        rank(received_at=received_at, ambiguous_since=None)
        for received_at in (found.received[0], found.received[-1])
    )
    session.run(
        "add_unmarked_lease",
        lease=lease,
        event=event_id,
        claimed_at=wish.now,
        until=wish.lease_until,
        open=len(found.ids),
        deliveries=listed,
    )
    session.unmarked.add(
        lease,
        LeasedDeliveries(
            ids=tuple(found.ids),
            earliest=earliest,
            latest=latest,
            listed=listed,
            received=found.counted(),
        ),
        event=event_id,
        place=(latest, found.ids[-1]),
    )
    session.moved()
