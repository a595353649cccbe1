"""Owner session: the writer session of the only owner, with id counters and names in memory."""

import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import chain, count
from typing import Final

from msgspec.structs import astuple

from twite.domain.delivery import Delivery, NewDeliveries, Place
from twite.domain.stats.tally import Counted
from twite.stores.sql.database import WriterSession, seed_of
from twite.stores.sql.opt_outs import OptOutList
from twite.stores.sql.outbox import expire
from twite.stores.sql.rows.insertions import TallyRow, conflict_of, insertion, quoted
from twite.stores.sql.rows.table_row import TableRow
from twite.stores.sql.rows.tables import OutboxRow
from twite.stores.sql.statements import QUERIES, Cursor, query, rows_of, slices
from twite.stores.sql.tallies import TallyWriter
from twite.stores.sqlite.engine.dedup_keys import FRESH_KEYS, DedupKeys
from twite.stores.sqlite.engine.unmarked_leases import AFFECTED, UnmarkedLeases

_STATEMENT: Final = 1  # SQLITE_ERROR
_FOREVER: Final = 1 << 62
# A fencing token consists of the epoch and a count within it, so that tokens increase across
# restarts although the count is not stored.
_LEASES_AN_EPOCH: Final = 1 << 32


def leases_of(epoch: int) -> Iterator[int]:
    """Yield fencing tokens, each higher than all before it in this and in earlier epochs."""
    return count(epoch * _LEASES_AN_EPOCH + 1)


class OwnerSession(WriterSession):
    """The owner's session.

    After a rollback, names and ids are read again, because the assigned ones are void.
    """

    connection: sqlite3.Connection
    keys: DedupKeys
    opt_outs: OptOutList

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        window: int,
        leases: Iterator[int],
        fresh_keys: int = FRESH_KEYS,
    ) -> None:
        """`window` is the dedup window in milliseconds; `fresh_keys` limits the keys in memory.

        `leases` outlives the session, so no fencing token is used twice, even after an I/O error.
        """
        self.connection = connection
        self._leases = leases
        self._queues: dict[tuple[str, str], int] = {}
        self._queues_by_pixel: dict[str, list[int]] = {}
        self._accounts: dict[tuple[str, str], int] = {}
        self._whose: dict[int, tuple[str, str]] = {}  # the reverse mapping
        self.seeds: dict[int, int] = {}  # the checksum seeds of each queue
        self.turn = 0  # the number of claims, settlements and erasures
        self._submission = self._conversion = self._attempt = 0
        self.unmarked = UnmarkedLeases(connection)
        self._read()
        self.keys = DedupKeys(self.run, window=window, fresh=fresh_keys)
        self.opt_outs = OptOutList(self.run, set())
        self.opt_outs.read()
        # Deliveries in flight for which a later copy denied consent.
        self.denied = self._denied()
        self.tally = TallyWriter(run=self.run, add=self.add)

    @property
    def conversions(self) -> int:
        """The highest conversion id so far."""
        return self._conversion

    def take_over(self) -> None:
        """Expire all leases: there is only one owner, and the process that held them is dead."""
        expire(self, now=_FOREVER, furthest=_FOREVER, died=True)

    def leave(self) -> None:
        """Record that the owner closes the store."""
        self.unmarked.mark()
        self.run("closed")

    def finish(self) -> None:
        """Write the counts and changes of the whole transaction. Call it before the commit.

        The turn is always written, even if it is unchanged: if the end of the log is lost, what
        remains then has the turn of its last commit, not an older one.
        """
        self.keys.finish()
        self.tally.write()
        self.run("note_turn", turn=self.turn)

    def committed(self) -> None:
        """Apply the changes of the committed transaction to memory."""
        self.keys.committed()
        self.tally.committed()

    def new_counts(self) -> Sequence[Counted]:
        """Return the counts committed since the last call."""
        return self.tally.new_counts(self._whose)

    def rolled_back(self) -> None:
        """Drop the changes of the rolled-back transaction."""
        self.keys.rolled_back()
        self.tally.clear()
        self.unmarked.forget()
        self.opt_outs.read()
        self.denied = self._denied()
        self._read()

    def run(self, name: str, /, **values: object) -> Cursor:
        """Run a statement. If it reads states, mark all leases before."""
        if name in AFFECTED and self.unmarked:
            self.unmarked.prepare(name, values)
        return self.connection.execute(QUERIES[name], values)

    def promote(self, *, now: int, limit: int) -> Sequence[tuple[int, int]]:
        ready = super().promote(now=now, limit=limit)
        if ready:
            self.unmarked.mark()  # these deliveries may be before a place
        return ready

    def places(self, pixel: str) -> Mapping[int, Place]:
        unmarked = self.unmarked
        if unmarked.is_stale:
            unmarked.mark()
        queues = self._queues_by_pixel.get(pixel, ())
        return {queue: unmarked.places[queue] for queue in queues if queue in unmarked.places}

    def leave_unmarked(self, lease: int, queue: int, deliveries: Sequence[Delivery]) -> bool:
        # New deliveries are all ready ones between the queue's place and the last of them.
        if not isinstance(deliveries, NewDeliveries):
            return False
        self.unmarked.add(lease, queue, deliveries)
        return True

    def remove_delivered(self, lease: int, deliveries: tuple[int, ...]) -> dict[int, Counter[int]]:
        _, leased = self.unmarked.leases.get(lease, (0, None))
        if leased is None or leased.ids != deliveries:
            return super().remove_delivered(lease, deliveries)
        return self.unmarked.remove(lease)

    def add(self, rows: Sequence[TableRow]) -> None:
        if not rows:
            return
        kind = type(rows[0])
        if kind is OutboxRow and self.unmarked.places:
            self.unmarked.mark_if_before(
                row.received_at for row in rows if isinstance(row, OutboxRow) and row.is_ready
            )
        for start, size in slices(len(rows)):
            columns, values = insertion(rows[start : start + size])
            # For each None and each bytes, the driver looks for an adapter, which takes as long as
            # writing two columns.
            for place in _places_of_bytes(kind, columns):
                values[place :: len(columns)] = map(bytearray, values[place :: len(columns)])
            self.connection.execute(_insertion_of(kind, columns, size), values)

    def count_accounts(self, rows: Sequence[TallyRow]) -> None:
        values = list(chain.from_iterable(map(astuple, rows)))
        width = len(TallyRow.__struct_fields__)
        for start, size in slices(len(rows)):
            self.connection.execute(
                rows_of("count_accounts", size), values[start * width : (start + size) * width]
            )

    def _denied(self) -> set[int]:
        return {delivery for (delivery,) in self.run("denied")}

    def _read(self) -> None:
        execute = self.connection.execute
        self._queues = {(pixel, event): id_ for id_, pixel, event in execute(query("queues"))}
        self._queues_by_pixel = {}
        for (pixel, _), queue in self._queues.items():
            self._queues_by_pixel.setdefault(pixel, []).append(queue)
        self._accounts = {
            (source, pixel): id_ for id_, source, pixel in execute(query("account_names"))
        }
        self._whose = {id_: names for names, id_ in self._accounts.items()}
        self._submission, self._conversion, self._attempt = execute(query("last_ids")).fetchone()
        self.seeds = {id_: seed_of(pixel, event) for (pixel, event), id_ in self._queues.items()}
        (self.turn,) = execute(query("read_turn")).fetchone()

    def is_row_damage(self, error: Exception) -> bool:
        """Return whether the error concerns a row; other errors concern the disk."""
        is_statement = getattr(error, "sqlite_errorcode", _STATEMENT) == _STATEMENT
        return isinstance(error, sqlite3.OperationalError) and is_statement

    def queue(self, pixel: str, event: str) -> int:
        """Return the id of a pixel's event; assign one if it is new."""
        id_ = self._queues.get((pixel, event))
        if id_ is None:
            id_ = max(self._queues.values(), default=0) + 1
            self.connection.execute(query("add_queue"), (id_, pixel, event))
            self._queues[pixel, event] = id_
            self._queues_by_pixel.setdefault(pixel, []).append(id_)
            self.seeds[id_] = seed_of(pixel, event)
        return id_

    def queues(self) -> Sequence[int]:
        """Return all (pixel, event) ids."""
        return tuple(self._queues.values())

    def account(self, source: str, pixel: str, *, since: int) -> int:
        """Return the id of a source's account with a pixel; assign one if it is new."""
        id_ = self._accounts.get((source, pixel))
        if id_ is None:
            id_ = max(self._accounts.values(), default=0) + 1
            self.connection.execute(query("add_account"), (id_, source, pixel, since))
            self._accounts[source, pixel] = id_
            self._whose[id_] = source, pixel
        return id_

    def next_submission(self) -> int:
        self._submission += 1
        return self._submission

    def next_conversions(self, count: int) -> int:
        """Return the first of `many` consecutive conversion ids."""
        first = self._conversion + 1
        self._conversion += count
        return first

    def next_attempt(self) -> int:
        self._attempt += 1
        return self._attempt

    def next_lease(self) -> int:
        """Return a fencing token higher than any before."""
        return next(self._leases)


@cache
def _places_of_bytes(kind: type[TableRow], columns: Sequence[str]) -> list[int]:
    types = kind.__annotations__
    return [place for place, name in enumerate(columns) if types[name] is bytes]


@cache
def _insertion_of(kind: type[TableRow], columns: Sequence[str], count: int) -> str:
    marks = "(" + ", ".join("?" * len(columns)) + ")"
    # The first word is not in capitals: see `named` in `stores/sql/statements.py`.
    head = f'insert INTO "{kind.table()}" AS known ({", ".join(quoted(columns))})'
    return f"{head} VALUES {', '.join([marks] * count)}{conflict_of(kind)}"
