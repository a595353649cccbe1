"""The store: the sum of its ports, and the engine that opens, copies and recovers stores.

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
from twite.gateway.ports.privacy import EraseSearch, EraseTraces, Privacy
from twite.gateway.ports.queries import Queries
from twite.gateway.ports.state import StateReader, StateStore


class Intake(Protocol):
    """Takes submissions in."""

    async def record(self, submission: Submission) -> Recorded:
        """Commit a submission, its conversions, dedup keys and deliveries, all or nothing.

        Returns once the commit would survive power loss. An entry whose key was seen within the
        dedup window, in this submission or before, or whose delivery is still to be sent, is a
        duplicate: counted, and never sent.
        Suppressed entries are kept and counted, and neither take nor match a key. What the
        submission ignored is counted; where it brought nothing else, nothing else is kept of it.
        What it refused is counted, and kept as rejections.

        Raises LedgerFull when more waits than memory may hold, LedgerUnavailable when the commit
        failed; nothing of the submission was kept then.
        """


class StoreReader(Queries, StateReader, Protocol):
    """What any process reads of a store, beside the one that owns it."""

    salt: bytes

    @property
    def people(self) -> DirectoryReader:
        """Users, sessions, API keys and the audit log."""

    async def traces(self, wanted: EraseSearch) -> EraseTraces:
        """Return the rows and texts that name a person."""

    async def close(self) -> None:
        """Let go of the store."""


class Store(Intake, Outbox, Queries, StateStore, Privacy, Protocol):
    """All ports of a store. `told` is what a person must know of the store as it was found."""

    salt: bytes
    told: tuple[str, ...]
    # Done when the store can do nothing more: the process must end, and open it again.
    failed: asyncio.Future[StoreUnusable]

    @property
    def people(self) -> Directory:
        """Users, sessions, API keys and the audit log."""

    async def close(self) -> None:
        """Finish what was begun, and let go of the store."""


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """How long things are kept, in milliseconds. `lives` is no less than the dedup window."""

    bodies: int
    lives: int
    dead: int


class StoreOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to own a store. The default is that of a command: nothing is pruned.

    `dedup_window` is in milliseconds; `queue_limit` is how many conversions may wait for a commit;
    `reserve` bytes are kept for a full disk; `now` is the moment by which records are old (ms; None
    without a trusted clock); `timed` gets the seconds of each commit, on any thread, `counted` what
    was counted with it.
    """

    dedup_window: int = DEFAULT_WINDOW
    queue_limit: int = 20_000
    reserve: int = 0
    keeping: Retention | None = None
    now: Callable[[], int | None] | None = None
    observer: Observer = SilentObserver()
    timed: Callable[[float], None] = lambda _seconds: None
    counted: Callable[[Sequence[Counted]], None] = lambda _counted: None


class StoreExamination(msgspec.Struct, frozen=True, kw_only=True):
    """What a sound store still has to tell; None where there is nothing.

    `stray`: why a log beside it is of another copy. `older`: why it is an older copy of itself.
    """

    stray: str | None = None
    older: str | None = None


class Backup(msgspec.Struct, frozen=True, kw_only=True):
    """A copy that was looked through and is on the disk. `seconds` is what it took."""

    to: str
    size: int
    seconds: float


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What is in the place of the database now, and what the next start does with it.

    `pending` deliveries are `sent` at the next start, or held where they may have been sent since
    the backup (`why` says so). `received_after` conversions are known to have come after the backup
    and are not in it. `latest` is when its last request came in (ms since 1970; None: none).
    `aside` is where the former database is, None where there was none.
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
    """What came of it.

    `rows` counts what was saved by table; `held` deliveries were pending, or may have been; `dead`
    ones are damaged themselves; `lost` counts conversions by source and pixel that were received,
    and of which nothing is left that could be sent; `behind` conversions are known to have been
    received after all that the file knows of. `unsure` names tables that may lack rows.
    """

    to: str
    quarantined: str
    rows: Mapping[str, int]
    damaged_pages: int
    log_is_whole: bool
    behind: int
    pending: int
    held: int
    dead: int
    lost: Mapping[str, int]
    unsure: tuple[str, ...]


class StoreEngine(Protocol):
    """One kind of store. `place` is where one is: for SQLite, the path of its file."""

    @property
    def version(self) -> str:
        """The name and version of the database software."""

    async def open(self, place: str, options: StoreOptions) -> Store:
        """Own a store, and create it if there is none. Raises StoreInUse, StoreUnusable."""

    async def open_reader(self, place: str) -> StoreReader:
        """Read a store, whether or not a process owns it. Raises StoreUnusable."""

    async def examine(self, place: str, *, is_owned: bool) -> StoreExamination:
        """Look for damage without owning the store. Raises StoreUnusable, LedgerUnavailable."""

    def back_up(self, place: str, to: str) -> Backup:
        """Copy the store into a new file, whether or not it is owned. Raises StoreUnusable."""

    def restore(self, place: str, source: str) -> Restored:
        """Put a copy of a backup in the store's place. Raises StoreInUse, StoreUnusable."""

    def recover(self, place: str, to: str | None, known: Sequence[tuple[str, str]]) -> Recovered:
        """Save the readable parts into a new store, put in its place or written `to` a file.

        `known` are the (pixel, event) pairs of the settings. Raises StoreInUse, StoreUnusable.
        """
