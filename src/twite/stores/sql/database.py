"""The database of an engine: a connection for reading, and sessions that write units of work."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol, TypeVar
from zlib import crc32

import msgspec

from twite.domain.delivery import Delivery, Place, State
from twite.stores.sql.opt_outs import OptOutList
from twite.stores.sql.rows.insertions import TallyRow
from twite.stores.sql.rows.table_row import TableRow
from twite.stores.sql.statements import QUERIES, Cursor, SqlConnection, as_json
from twite.stores.sql.tallies import TallyWriter

T = TypeVar("T")

# A user may still send a held conversion, so its key stays reserved.
_PENDING: Final = frozenset({State.QUEUED, State.SENDING, State.HELD})


# The place before all deliveries of a queue.
FIRST: Final[Place] = -(1 << 62), 0
_Ids: Final = msgspec.json.Decoder(list[int])


class WantedKey(msgspec.Struct, frozen=True, gc=False):
    """A delivery's request for a dedup key, at a time in milliseconds."""

    key: bytes
    delivery: int
    at: int


class Holding(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The holder of a dedup key.

    `state` is the delivery's state in the outbox, or None. `is_live` is whether it still holds the
    key; `is_recent` whether it is within the dedup window, in any state.
    """

    is_live: bool
    is_recent: bool = False
    state: State | None = None


def holding_of(state: State | None, *, taken_at: int, since: int) -> Holding:
    """Return how a delivery holds a key that it took at a time; the dedup window began `since`."""
    is_recent = taken_at >= since
    return Holding(is_live=is_recent or state in _PENDING, is_recent=is_recent, state=state)


# The holder is a delivery of the same transaction, so its state is in the transaction's entry.
AT_ONCE: Final = Holding(is_live=True)


class DedupKeyStore(Protocol):
    """The dedup keys and the deliveries that hold them.

    `window` is the dedup window in milliseconds.
    """

    window: int

    def take(
        self, wanted: Sequence[WantedKey], contest: Callable[[WantedKey, int, Holding], bool], /
    ) -> Mapping[int, int]:
        """Assign each key to the delivery that requests it.

        Return the holder of the key for each delivery that is a duplicate. A delivery holds its key
        for the dedup window, and while it may still be sent. `contest` decides whether a delivery
        takes over another delivery's key.
        """
        ...

    def take_over(self, wanted: WantedKey, /) -> int | None:
        """Assign a key to a stored delivery, or return another delivery that holds it now."""
        ...

    def holders(self, keys: Sequence[bytes], /) -> Mapping[bytes, int]:
        """Return the holder of each key, including expired holders."""
        ...


class WriterSession:
    """The session through which units of work write. Engines implement the assignment of ids."""

    connection: SqlConnection
    keys: DedupKeyStore
    opt_outs: OptOutList
    tally: TallyWriter
    # Deliveries in flight for which a later copy denied consent.
    denied: set[int]
    # The checksum seeds of each (pixel, event).
    seeds: dict[int, int]
    # The number of claims, settlements and erasures.
    turn: int
    # Rows of the deduplication report before this time were deleted, at most a minute ago.
    dedup_report_since: int = -(1 << 62)
    # The size of the largest body of the last claim; before the first claim, an upper bound.
    largest_body: int = 1 << 30

    def moved(self) -> None:
        """Count a change of delivery states."""
        self.turn += 1

    def places(self, pixel: str) -> Mapping[int, Place]:
        """Return the places behind which claims of a pixel search, by queue."""
        del pixel
        return {}

    def leave_unmarked(self, lease: int, queue: int, deliveries: Sequence[Delivery]) -> bool:
        """Return whether a claim writes only its lease, and no states."""
        del lease, queue, deliveries
        return False

    def remove_delivered(self, lease: int, deliveries: tuple[int, ...]) -> dict[int, Counter[int]]:
        """Remove deliveries of a lease that X accepted.

        Return their number by account and time of receipt.
        """
        ids = as_json(deliveries)
        taken = self.run("taken_of", lease=lease, deliveries=ids).fetchall()
        self.run("remove_delivered", lease=lease, deliveries=ids)
        return {account: Counter(_Ids.decode(times)) for account, times in taken}

    def promote(self, *, now: int, limit: int) -> Sequence[tuple[int, int]]:
        """Make postponed deliveries ready that are due; return their ids and attempts."""
        return self.run("promote", now=now, limit=limit).fetchall()

    def run(self, name: str, /, **values: object) -> Cursor:
        return self.connection.execute(QUERIES[name], values)

    def add(self, rows: Sequence[TableRow]) -> None:
        """Insert rows of one table, if there are any."""
        raise NotImplementedError

    def count_accounts(self, rows: Sequence[TallyRow]) -> None:
        """Add to the counts of accounts."""
        raise NotImplementedError

    def is_row_damage(self, error: Exception) -> bool:
        """Return whether a statement failed because it read a damaged row."""
        raise NotImplementedError

    def queue(self, pixel: str, event: str) -> int:
        """Return the id of a pixel's event; assign one if it is new."""
        raise NotImplementedError

    def queues(self) -> Sequence[int]:
        """Return all (pixel, event) ids."""
        raise NotImplementedError

    def account(self, source: str, pixel: str, *, since: int) -> int:
        """Return the id of a source's account with a pixel; assign one if it is new."""
        raise NotImplementedError

    def next_submission(self) -> int:
        """Return the id of a new submission."""
        raise NotImplementedError

    def next_conversions(self, count: int) -> int:
        """Return the first of `count` consecutive conversion ids."""
        raise NotImplementedError

    def next_attempt(self) -> int:
        """Return the id of a new attempt."""
        raise NotImplementedError

    def next_lease(self) -> int:
        """Return a fencing token higher than any before."""
        raise NotImplementedError


View = Callable[[SqlConnection], T]
UnitOfWork = Callable[[WriterSession], T]


class ReadsViews(Protocol):
    async def read(self, view: View[T], *, is_long: bool = False) -> T:
        """Run a view, and return its result. A long view does not block others.

        Raises LedgerUnavailable, StoreUnusable.
        """
        ...


class Database(ReadsViews, Protocol):
    """A database that a process owns and may write."""

    async def write(self, unit: UnitOfWork[T]) -> T:
        """Commit a unit of work, and return its result. Raises LedgerUnavailable."""
        ...


def seed_of(pixel: str, event: str) -> int:
    """Return the initial value for the checksums of a pixel's event."""
    return crc32(f"{pixel}\0{event}\0".encode())


def checksum(seed: int, delivery: int, received_at: int, conversion_id: bytes, body: bytes) -> int:
    """Return the checksum of a stored conversion, so that a damaged one is never sent.

    The CRC-32 also covers the delivery's number and queue, so it detects misplaced rows. It detects
    every single flipped bit, and misses one in four billion other changes.
    """
    # Only the lower 32 bits of the start value matter.
    return crc32(body, crc32(conversion_id + b"\0", seed ^ delivery ^ received_at))
