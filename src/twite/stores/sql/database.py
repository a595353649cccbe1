"""Database of an engine: a connection that reads, and sessions that write units of work."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, Protocol, TypeVar
from zlib import crc32

import msgspec

from twite.domain.delivery import Delivery, State
from twite.stores.sql.statements import Cursor, SqlConnection, query, rows_of, slices
from twite.stores.sql.tallies import TallyWriter

T = TypeVar("T")


class WantedKey(msgspec.Struct, frozen=True, gc=False):
    """A delivery that asks for a key at a moment (milliseconds)."""

    key: bytes
    delivery: int
    at: int


class Holding(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How a delivery holds a key. `state` is what the outbox says, None where it has none of it.

    `is_live` is whether it holds the key still; `is_recent` whether by the dedup window, whatever
    its state; `is_ambiguous` whether X may have it.
    """

    is_live: bool
    is_recent: bool = False
    state: State | None = None
    is_ambiguous: bool = False


# A delivery of the same transaction: its entry says what becomes of it.
AT_ONCE: Final = Holding(is_live=True)


class DedupKeyStore(Protocol):
    """Which delivery holds each dedup key; `window` is the dedup window in milliseconds."""

    window: int

    def take(
        self, wanted: Sequence[WantedKey], contest: Callable[[WantedKey, int, Holding], bool], /
    ) -> Mapping[int, int]:
        """Give each key to who asks for it; return those who came too late, with who holds it.

        A key is held for the dedup window, and for as long as its delivery may still be sent.
        `contest` is asked whether a delivery takes a key that another has had before.
        """
        ...

    def take_over(self, wish: WantedKey, /) -> int | None:
        """Give a key to a delivery that was recorded long ago; return who holds it, if anyone."""
        ...

    def holders(self, keys: Sequence[bytes], /) -> Mapping[bytes, int]:
        """Return who has each of these keys, in force or not."""
        ...


class OptOutStore(Protocol):
    """The persons who opted out, by their keys."""

    def revoke(self, keys: Sequence[bytes], *, now: int) -> None:
        """List keys; one that is listed keeps its moment."""
        ...

    def restore(self, keys: Sequence[bytes]) -> None:
        """Take keys off the list."""
        ...

    def among(self, deliveries: Iterable[Delivery], *, pixel: str) -> list[int]:
        """Return the ids of deliveries whose person is listed."""
        ...


class WriterSession:
    """What units of work write with. An engine's session gives ids and names."""

    connection: SqlConnection
    keys: DedupKeyStore
    opt_outs: OptOutStore
    tally: TallyWriter
    # Deliveries that a later copy denied consent to while they were in flight.
    denied: set[int]
    # What the checksums of each (pixel, event) begin with; conversions up to `unsummed` have none.
    seeds: dict[int, int]
    unsummed: int
    # Claims and settlements so far.
    turn: int

    def moved(self) -> None:
        """Record a change of delivery state."""
        self.turn += 1

    def run(self, name: str, /, **values: object) -> Cursor:
        """Run a named statement."""
        return self.connection.execute(query(name), values)

    def run_rows(
        self, name: str, rows: Sequence[object], width: int, *rest: object
    ) -> Iterator[tuple[int, int, Cursor]]:
        """Run a statement over flattened rows in few pieces; yield (start, size, cursor) of each.

        `rest` are the values that follow the rows.
        """
        for start, size in slices(len(rows) // width):
            piece = rows[start * width : (start + size) * width]
            yield start, size, self.connection.execute(rows_of(name, size), (*piece, *rest))

    def add_rows(self, name: str, rows: Sequence[object], width: int) -> None:
        """Insert flattened rows."""
        for _ in self.run_rows(name, rows, width):
            pass

    def is_row_damage(self, error: Exception) -> bool:
        """Return whether a statement failed because a row that it read is damaged."""
        raise NotImplementedError

    def lane(self, pixel: str, event: str) -> int:
        """Return the id of a pixel's event, giving it one if it is new."""
        raise NotImplementedError

    def lanes(self) -> Sequence[int]:
        """Return all (pixel, event) ids."""
        raise NotImplementedError

    def account(self, source: str, pixel: str) -> int:
        """Return the id of a source's account with a pixel, giving it one if it is new."""
        raise NotImplementedError

    def next_submission(self) -> int:
        """Return an id."""
        raise NotImplementedError

    def next_conversions(self, count: int) -> int:
        """Return the first of that many ids in a row."""
        raise NotImplementedError

    def next_attempt(self) -> int:
        """Return an id."""
        raise NotImplementedError

    def next_lease(self) -> int:
        """Return a fencing token higher than any before."""
        raise NotImplementedError


View = Callable[[SqlConnection], T]
UnitOfWork = Callable[[WriterSession], T]


class ReadsViews(Protocol):
    """A database that reads."""

    async def read(self, view: View[T], *, is_long: bool = False) -> T:
        """Return what a view returns; a long one does not keep others waiting.

        Raises LedgerUnavailable, StoreUnusable.
        """
        ...


class Database(ReadsViews, Protocol):
    """A database that a process owns."""

    async def write(self, unit: UnitOfWork[T]) -> T:
        """Commit a unit of work, and return what it returns. Raises LedgerUnavailable."""
        ...


def seed_of(pixel: str, event: str) -> int:
    """Return what the checksums of a pixel's event begin with."""
    return crc32(f"{pixel}\0{event}\0".encode())


def checksum(
    seed: int, *, delivery: int, received_at: int, conversion_id: bytes, body: bytes
) -> int:
    """Return the checksum of a stored conversion, so that a damaged one is never sent.

    The CRC-32 covers the delivery's number, too: a row under another number or queue does not add
    up. It finds every flipped bit, and all but one in four thousand million of other changes.
    """
    begin = (seed ^ delivery ^ received_at) & 0xFFFFFFFF
    return crc32(body, crc32(b"\0", crc32(conversion_id, begin)))
