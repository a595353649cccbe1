"""The store: all its ports together, and the engine that opens, copies and recovers stores.

The engines are in `twite.stores`.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from twite.domain.conversion import DEFAULT_WINDOW
from twite.domain.errors import StoreUnusable
from twite.domain.stats.tally import Counted
from twite.domain.submission import Recorded, Submission
from twite.gateway.ports.directory import Directory, DirectoryReader
from twite.gateway.ports.events import Observer, SilentObserver
from twite.gateway.ports.outbox import Outbox
from twite.gateway.ports.ownership import Ownership
from twite.gateway.ports.privacy import EraseSearch, EraseTraces, Privacy
from twite.gateway.ports.queries import Queries
from twite.gateway.ports.state import StateReader, StateStore
from twite.gateway.ports.store_copy import CopySource, CopyTarget


class Intake(Protocol):
    """The intake of submissions."""

    async def record(self, submission: Submission) -> Recorded:
        """Commit a submission, its conversions, dedup keys and deliveries, all or nothing.

        Returns when the commit is durable. An entry is a duplicate if its key was seen within the
        dedup window, or belongs to a delivery that is still unsent. Duplicates are counted and
        never sent. Suppressed entries are stored without a key. Ignored and rejected items are
        counted; rejections are stored. Raises QueueFull, LedgerUnavailable; nothing is stored
        then.
        """
        ...

    def record_soon(
        self,
        submissions: Sequence[Submission],
        done: Callable[[Sequence[Recorded | Exception]], None],
    ) -> None:
        """Commit each submission as `record` does, without a task and a future for each.

        `done` is called on the thread of the event loop. It gets the result or error of each
        submission, in order, and must not raise. If no submission can be queued, `done` is called
        before this returns. A submission that fails does not affect the others.
        """


class StoreReader(Queries, StateReader, Protocol):
    """Read access to a store, from any process."""

    salt: bytes

    @property
    def people(self) -> DirectoryReader: ...

    async def traces(self, search: EraseSearch) -> EraseTraces:
        """Return the rows and texts that name a person."""

    async def close(self) -> None: ...


class Store(Intake, Outbox, Queries, StateStore, Privacy, Protocol):
    """All ports of a store.

    `notices` contains remarks for the operator about the store's state when it was opened. `weak`
    describes settings that let the database server lose commits.
    """

    salt: bytes
    notices: tuple[str, ...]
    weak: tuple[str, ...]
    # Completed after a permanent failure of the store. The process must then end and open the store
    # again.
    failed: asyncio.Future[StoreUnusable]

    @property
    def people(self) -> Directory: ...

    @property
    def ownership(self) -> Ownership | None:
        """Which accounts this process sends to; None if no other process can send."""

    async def close(self) -> None:
        """Finish queued operations, and close the store."""


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """How long data is kept, in milliseconds. `history` is at least the dedup window."""

    bodies: int
    history: int
    dead: int


class StoreOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to open a store as its owner. The default, for commands, prunes nothing.

    `dedup_window` is in milliseconds. `queue_limit` is the number of conversions that may wait for
    a commit. `reserve` is the number of bytes reserved for when the disk is full. `size_limit` is
    the most bytes of a database on a server (None: no limit). `now` returns the time for pruning
    (ms; None if the clock is not trusted). `timed` gets the duration of each commit in seconds, on
    any thread, and `counted` what was counted in the commit. With `accept_weak_durability`, a
    server that may lose commits in a power failure is accepted.
    """

    dedup_window: int = DEFAULT_WINDOW
    queue_limit: int = 20_000
    reserve: int = 0
    size_limit: int | None = None
    accept_weak_durability: bool = False
    retention: Retention | None = None
    now: Callable[[], int | None] | None = None
    observer: Observer = SilentObserver()
    timed: Callable[[float], None] = lambda _seconds: None
    counted: Callable[[Sequence[Counted]], None] = lambda _counted: None


class ConnectedGateway(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway with a lease in a database."""

    name: str
    version: str
    is_leader: bool


class ServerExamination(msgspec.Struct, frozen=True, kw_only=True):
    """Findings about a database on a server.

    `weak` has a sentence for each setting that can cause lost commits. `clock_ahead` is how far its
    clock is ahead of this machine's, in milliseconds. `schema` is 0 if the database is new.
    `may_migrate` is whether the role may create and change tables. `hosts` and `attributes`
    (`target_session_attrs`) come from the URL; `size` is in bytes. `connections` is the limit for
    all gateways together, and `connections_each` the number that one gateway needs.
    """

    software: str
    weak: tuple[str, ...]
    clock_ahead: int
    schema: int
    newest_schema: int
    may_migrate: bool
    hosts: int
    attributes: str
    is_pooled: bool
    size: int
    connections: int
    connections_each: int
    gateways: tuple[ConnectedGateway, ...]


class StoreExamination(msgspec.Struct, frozen=True, kw_only=True):
    """Findings about an undamaged store. A field is None if there is nothing to report.

    `stray` is a message about a log that belongs to another copy of the store; `older` is one about
    a file that is an older copy of the store.
    """

    stray: str | None = None
    older: str | None = None
    server: ServerExamination | None = None


class Backup(msgspec.Struct, frozen=True, kw_only=True):
    """A verified copy on disk."""

    to: str
    size: int
    seconds: float


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a restore.

    At the next start, the `pending` deliveries are sent if `sent` is true. Otherwise they are held,
    because they may have been sent since the backup (`why`). `received_after` counts lost
    conversions that are newer than the backup; `latest` is the time of the last request (ms since
    1970); `aside` is the path of the previous database.
    """

    database: str
    backup: str
    aside: str | None
    conversions: int
    latest: int | None
    pending: int
    sent: bool
    why: str | None
    received_after: int


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a recovery.

    `rows` counts the saved rows by table. `held` counts deliveries that were or may have been
    pending, and `unknown` those of them with values that Twite does not write. `dead` counts the
    damaged deliveries, `lost` the lost conversions by source and pixel, and `behind` the
    conversions received after the file's last state. `incomplete_tables` names tables that may lack
    rows.
    """

    to: str
    quarantined: str
    rows: Mapping[str, int]
    damaged_pages: int
    log_is_whole: bool
    behind: int
    pending: int
    held: int
    unknown: int
    dead: int
    lost: Mapping[str, int]
    incomplete_tables: tuple[str, ...]


class StoreEngine(Protocol):
    """One kind of store. `place` is its location: for SQLite, the path of the file."""

    @property
    def is_server(self) -> bool:
        """Whether a place is the URL of a database server, not the path of a file."""

    @property
    def version(self) -> str:
        """The name and version of the database software."""

    async def open(self, place: str, options: StoreOptions) -> Store:
        """Open a store as its owner. Creates a missing store. Raises StoreInUse, StoreUnusable."""

    async def open_reader(self, place: str) -> StoreReader:
        """Open a store for reading, whether or not a process owns it. Raises StoreUnusable."""

    async def examine(self, place: str) -> StoreExamination:
        """Check a store for damage without owning it. Raises StoreUnusable, LedgerUnavailable."""

    def back_up(self, place: str, to: str) -> Backup:
        """Copy the store into a new file, whether or not it is owned. Raises StoreUnusable."""

    def restore(self, place: str, source: str) -> Restored:
        """Put a copy of a backup in the store's place. Raises StoreInUse, StoreUnusable."""

    async def hold_pending(self, place: str) -> int:
        """Hold all pending deliveries of a restored store; return their number.

        Raises StoreUnusable, also if a gateway uses the store, or if the engine does it by itself.
        """

    def recover(self, place: str, to: str | None, known: Sequence[tuple[str, str]]) -> Recovered:
        """Save the readable parts into a new store.

        The new store replaces the old one unless `to` names a file for it. `known` contains the
        (pixel, event) pairs of the settings. Raises StoreInUse, StoreUnusable.
        """

    async def open_copy_source(self, place: str) -> CopySource:
        """Open a store to copy it. Raises StoreUnusable, and StoreInUse if a process owns it."""

    async def open_copy_target(
        self, place: str, *, state: str, accept_weak_durability: bool
    ) -> CopyTarget:
        """Begin a copy into a new store, or continue an interrupted copy.

        A copy can be continued if the source's state is still `state`. Raises StoreUnusable, and
        StoreInUse if a process owns the target.
        """
