"""Writer session on PostgreSQL: one transaction after another on one connection.

Ids come from the database, in blocks that a session uses for a second. Inserted rows are buffered
until another statement may need them, and then sent as one statement: a group of submissions needs
only a few round trips.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from time import monotonic
from typing import Any, Final, TypeVar

import msgspec

from twite.domain.stats.tally import Counted
from twite.gateway.ports.ownership import PAUSES, SECRETS
from twite.stores.postgres.claim_starts import ClaimStarts
from twite.stores.postgres.driver.connection import PostgresConnection, ResultRows
from twite.stores.postgres.keys import OptOutCopy, PostgresKeys, PostgresOptOuts
from twite.stores.postgres.statements import SLOTTED, at_once
from twite.stores.sql.database import WriterSession, seed_of
from twite.stores.sql.rows.insertions import Insertion, TallyRow, insertion
from twite.stores.sql.rows.table_row import TableRow
from twite.stores.sql.rows.tables import OutboxRow
from twite.stores.sql.tallies import TallyWriter

T = TypeVar("T")

# The most sessions of a node.
MOST_SESSIONS: Final = 8
# The number of ids in one block: 11 bits.
_PLACES: Final = 1 << 11
# How long a block is used: ids must rise with time.
BLOCK_FOR: Final = 1.0  # seconds
_NEVER: Final = 1 << 62
_NO_COUNTS: Final = TallyRow(account=0)
# Units that must run one at a time begin with this lock.
_LOCKED: Final[Mapping[str, str]] = {
    "last_audit_event": "lock_audit_events",
    "rejected_so_far": "lock_rejections",
    "all_rejections": "lock_ring",
    "ignored": "lock_ignored",
}
# Statements that may open a transaction if the ids for them are already known.
_FIRST: Final[Mapping[str, str]] = {"take_keys": "take_first_keys"}
# Statements that can make deliveries ready.
_READYING: Final = frozenset({"promote", "promote_far", "postpone", "replay", "recall"})
# Statements that change what other gateways must read again.
_FOLLOWED: Final[Mapping[str, str]] = {
    "add_pause": PAUSES,
    "remove_pause": PAUSES,
    "remove_same_pause": PAUSES,
    "put_sealed": SECRETS,
    "reseal": SECRETS,
    "forget_sealed": SECRETS,
}


class SharedNames:
    """Ids of events and accounts, opt-outs and claim starts, shared by a process's connections.

    Rows of events and accounts never change, so the copies stay valid.
    """

    def __init__(self) -> None:
        self.events: dict[tuple[str, str], int] = {}
        self.accounts: dict[tuple[str, str], int] = {}
        self.whose: dict[int, tuple[str, str]] = {}  # the reverse mapping
        self.seeds: dict[int, int] = {}
        self.opt_outs = OptOutCopy()
        self.claim_starts = ClaimStarts()


class CommitUnknown(Exception):
    """The connection was lost during COMMIT. If `mark` is in the database, `result` is valid."""

    def __init__(self, mark: int, result: object) -> None:
        super().__init__(mark)
        self.mark = mark
        self.result = result


class _Seeds(dict[int, int]):
    """The checksum seeds by event. The seed of an event that another node added is looked up."""

    def __init__(self, shared: dict[int, int], look_up: Callable[[int], int]) -> None:
        self._shared = shared
        self._look_up = look_up

    def __missing__(self, event: int) -> int:
        seed = self._shared.get(event)
        return self._look_up(event) if seed is None else seed


class PostgresSession(WriterSession):
    """The writer session. Used by one transaction at a time, in a greenlet."""

    connection: PostgresConnection
    keys: PostgresKeys
    opt_outs: PostgresOptOuts
    seeds: dict[int, int]
    turn = 0

    def __init__(
        self,
        connection: PostgresConnection,
        *,
        names: SharedNames,
        window: int,
        place: int,
        node: Callable[[], int],
    ) -> None:
        """`place` is the position of the connection in its node; `node` returns its id, or 0."""
        self.connection = connection
        self._names = names
        self.place = place
        self._node = node
        self._pending: dict[type[TableRow], Insertion] = {}
        self._tally: dict[int, TallyRow] = {}
        self._new_events: dict[tuple[str, str], int] = {}
        self._new_accounts: dict[tuple[str, str], int] = {}
        self._next = self._end = self._first = 0
        self._block_until = 0.0  # by the monotonic clock
        self._denied: set[int] | None = None
        self.claim_starts = names.claim_starts
        # When the oldest delivery that the transaction makes ready was received.
        self._ready_from: int = _NEVER
        self._changed: set[str] = set()
        # The transaction's id, or 0. If `_is_marked`, the transaction has written it to the
        # database.
        self.mark = 0
        self._is_marked = False
        self.seeds = _Seeds(names.seeds, self._seed)
        self.keys = PostgresKeys(self.run, window=window)
        self.opt_outs = PostgresOptOuts(self.run, names.opt_outs)
        self.tally = TallyWriter(run=self.run, add=self.add)

    @property
    def _slot(self) -> int:
        """The slot of the session's counts. Connections with the same slot wait for each other."""
        return self._node() % 64 * MOST_SESSIONS + self.place

    def transact(
        self,
        unit: Callable[["PostgresSession"], T],
        lost: tuple[type[Exception], ...],
        *,
        begins: bool = False,
    ) -> T:
        """Commit a unit of work, and return its result.

        `begins` is whether the unit's first statement may begin the transaction.
        Raises CommitUnknown if COMMIT fails with one of `lost`.
        """
        # Never use the id of the last transaction again.
        self._next = max(self._next, self.mark + 1)
        self.mark, self._is_marked = 0, False
        try:
            self.connection.begin()
            if not begins:
                self._begin()
            result = unit(self)
            self.tally.write()
            self._flush(counters=True)
            # Locks that every transaction acquires last, in the same order.
            for what in sorted(self._changed):
                self.run("note_change", what=what)
        except BaseException:
            self._forget()
            # Use no block twice after a rollback: after 4096 blocks in a second, another session
            # may get the same one.
            self._end = 0
            if self.connection.is_open:
                self.connection.execute("ROLLBACK")
            raise
        try:
            self.connection.commit()
        except lost as error:
            self._forget()
            raise CommitUnknown(self.mark, result) from error
        except BaseException:
            self._forget()
            raise
        self._names.events |= self._new_events
        self._names.accounts |= self._new_accounts
        self._names.whose |= {id_: names for names, id_ in self._new_accounts.items()}
        self._names.seeds |= self.seeds
        self.tally.committed()
        self.claim_starts.made_ready(self._ready_from)
        self._forget()
        return result

    def new_counts(self) -> Sequence[Counted]:
        """Return the counts committed since the last call."""
        return self.tally.new_counts(self._names.whose)

    def run(self, name: str, /, **values: object) -> ResultRows:
        """Run a named statement, after inserting the buffered rows."""
        if name in _FIRST and self.mark and not self._is_marked and not self._pending:
            name, values["mark"] = _FIRST[name], self.mark
            self._is_marked = True
        else:
            self._begin()
            self._flush()
        if name in _LOCKED:
            self.connection.run(_LOCKED[name], **values)
        if name in _FOLLOWED:
            self._changed.add(_FOLLOWED[name])
        values["slot"], values["node"] = self._slot, self._node()
        found = self.connection.run(name, **values)
        if name in _READYING and found.rowcount:
            self._ready_from = 0
        if name == "rejected_so_far":
            pending = self._tally.get(int(str(values["account"])), _NO_COUNTS).rejected
            return ResultRows([(found.fetchone()[0] + pending,)], 1)
        return found

    def run_first(self, name: str, /, **values: object) -> list[Any]:
        """Run a statement that includes `begin`; return its row, without the mark at the start."""
        mark = None if self._is_marked else self.mark or None
        values |= {"node": self._node(), "mark": mark}
        began = monotonic()
        row: list[Any] = list(self.connection.run(name, **values).fetchone())
        self.mark, self._is_marked = row.pop(0), True
        if mark is None:
            self._next, self._end = self.mark, self.mark + _PLACES
            self._block_until = began + BLOCK_FOR
        return row

    def _begin(self) -> None:
        if not self._is_marked:
            self.run_first("begin")

    def add(self, rows: Sequence[TableRow]) -> None:
        """Buffer rows, to insert them together with others."""
        if not rows:
            return
        kind = type(rows[0])
        if kind is OutboxRow:
            self._made_ready(rows)
        if kind in self._pending:
            self._flush(counters=kind in SLOTTED)
        self._pending[kind] = insertion(rows)

    def _made_ready(self, rows: Sequence[TableRow]) -> None:
        for row in rows:
            if isinstance(row, OutboxRow) and row.is_ready:
                self._ready_from = min(self._ready_from, row.received_at)

    def count_accounts(self, rows: Sequence[TallyRow]) -> None:
        for row in rows:
            self._tally.setdefault(row.account, TallyRow(account=row.account)).add(row)

    def _flush(self, *, counters: bool = False) -> None:
        """Send the buffered rows.

        Counters are sent only at the end of a transaction, because other transactions wait for
        their rows, and in a fixed order.
        """
        kinds = self._pending.keys() if counters else self._pending.keys() - SLOTTED
        pending = {
            kind: self._pending.pop(kind) for kind in sorted(kinds, key=lambda kind: kind.__name__)
        }
        if counters and self._tally:
            # PostgreSQL executes the last part of a statement first. Moves write to `tally` before
            # anything else, so this statement must do so, too.
            pending[TallyRow] = insertion(list(self._tally.values()))
            self._tally.clear()
        if not pending:
            return
        self._begin()
        values: list[Sequence[object]] = []
        for kind, (columns, added) in pending.items():
            width = len(columns)
            if kind in SLOTTED:
                values.append([self._slot] * (len(added) // width))
            values += [added[place::width] for place in range(width)]
        text = at_once(tuple([(kind, columns) for kind, (columns, _) in pending.items()]))
        self.connection.execute(text, values)

    def _forget(self) -> None:
        self._pending.clear()
        self._tally.clear()
        self._new_events.clear()
        self._new_accounts.clear()
        self.seeds.clear()
        self.tally.clear()
        self._changed.clear()
        self._ready_from = _NEVER
        self._denied = None

    def is_row_damage(self, error: Exception) -> bool:
        """Return False: no row can be skipped, because an error aborts the whole transaction."""
        del error
        return False

    @property
    def denied(self) -> set[int]:
        """Deliveries in flight for which a later copy denied consent."""
        if self._denied is None:
            self._denied = {delivery for (delivery,) in self.run("denied")}
        return self._denied

    @denied.setter
    def denied(self, deliveries: set[int]) -> None:
        self._denied = deliveries

    def queue(self, pixel: str, event: str) -> int:
        pair = pixel, event
        id_ = self._names.events.get(pair) or self._new_events.get(pair)
        if id_ is None:
            id_ = self._added("add_queue", pixel=pixel, event=event)
            self._new_events[pair] = id_
            self.seeds[id_] = seed_of(pixel, event)
        return id_

    def known_event(self, pixel: str, event: str) -> int | None:
        """Return the id of a pixel's event if this process has used it before."""
        return self._names.events.get((pixel, event))

    def queues(self) -> Sequence[int]:
        return [id_ for id_, _, _ in self.run("queues")]

    def account(self, source: str, pixel: str, *, since: int) -> int:
        pair = source, pixel
        id_ = self._names.accounts.get(pair) or self._new_accounts.get(pair)
        if id_ is None:
            id_ = self._added("add_account", source=source, pixel=pixel, since=since)
            self._new_accounts[pair] = id_
        return id_

    def _added(self, name: str, **values: object) -> int:
        row = self.run(name, **values).fetchone()
        # If there is no row, another transaction has just added it, and a second statement can read
        # it.
        return int((row or self.run(name, **values).fetchone())[0])

    def _seed(self, event: int) -> int:
        seed = self.seeds[event] = seed_of(*self.run("names_of_event", event=event).fetchone())
        return seed

    def next_conversions(self, count: int) -> int:
        """Return the first of `many` consecutive conversion ids."""
        if not self.mark:
            if self._next + count <= self._end and monotonic() < self._block_until:
                self.mark = self._next
            else:
                self._begin()
        if self._next + count > self._end:
            self._next = self.run("more_ids").fetchone()[0]
            self._end = self._next + _PLACES
        self._first = self._next
        self._next += count
        return self._first

    def next_submission(self) -> int:
        """Return the first id of the latest block of conversion ids."""
        return self._first

    def next_attempt(self) -> int:
        return self.next_conversions(1)

    def next_lease(self) -> int:
        return int(self.run("next_lease").fetchone()[0])

    def lock_names(self, keys: Iterable[bytes]) -> None:
        """Lock names, so that other requests wait; in sorted order, to prevent deadlocks."""
        names = sorted({key.hex() for key in keys})
        if names:
            self.run("lock_name", names=names)

    def lock_batch(self, lease: int, deliveries: Iterable[int]) -> None:
        """Lock a lease and its deliveries before a settlement."""
        self.run("lock_lease", lease=lease)
        ids = msgspec.json.encode(sorted(deliveries)).decode()
        self.run("lock_deliveries", deliveries=ids)
