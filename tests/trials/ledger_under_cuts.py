"""The SQLite store's code on a lossy disk: work, cut the power, check, continue.

This uses Twite's own code: WRITER_SETTINGS, the migrations, OwnerSession, `intake.record`, and
`claim`, `settle`, `sweep` and `expire` of `outbox`, in transactions like the writer's. A second
connection runs checkpoints, with commits in between. Only the library differs:
apsw's SQLite, because Python's does not accept a VFS.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import apsw
import msgspec
from apsw_connection import Connection, Rows, rows_of
from lossy_disk import Disk, LossyVFS

from builders import NOW, a_submission, an_entry
from twite.domain.delivery import Attempt, Batch, Settlement, Transition, Trigger
from twite.domain.submission import Submission
from twite.domain.times import HOUR
from twite.gateway.ports.outbox import Claim, SweepRequest
from twite.stores.sql import outbox, records
from twite.stores.sql.intake import record
from twite.stores.sql.statements import query
from twite.stores.sqlite.engine import schema
from twite.stores.sqlite.engine.connection import WRITER_SETTINGS
from twite.stores.sqlite.engine.owner_session import OwnerSession, leases_of

CUTS_A_LIFE: Final = 4
EVENTS: Final = ("o8z6k", "o8z6m")
SETTINGS: Final = {name: asked for name, (asked, _) in WRITER_SETTINGS.items()}
# The number of dedup keys that fit in memory: so few that keys are always moved to the table, or
# enough.
FRESH_KEYS: Final = (24, 1_000, 1_000)


FOREVER = 1 << 62


class Broken(AssertionError):
    """The state after a cut is wrong."""


class Tally(msgspec.Struct):
    """The results of some lives.

    `lost` counts acknowledged conversions that were lost, `losing` the cuts at which some were
    lost.
    """

    cuts: int = 0
    transactions: int = 0
    acknowledged: int = 0
    in_flight_kept: int = 0
    losing: int = 0
    lost: int = 0
    corrupt: int = 0

    def __str__(self) -> str:
        return (
            f"{self.cuts:,} cuts, {self.acknowledged:,} acknowledged in {self.transactions:,} "
            f"commits, {self.lost:,} lost in {self.losing:,} of the cuts, {self.corrupt:,} damaged"
        )

    def add(self, other: "Tally") -> None:
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class _Noted:
    """A connection for migrations, each of which is a commit.

    Like apsw's connections, Twite does not copy a new database to it: see `Life._open`.
    """

    def __init__(self, connection: Connection, note: Callable[[], None]) -> None:
        self._connection = connection
        self._note = note
        self.execute = connection.execute

    def executescript(self, statements: str) -> None:
        self._connection.executescript(statements)
        self._note()


class Life:
    """One store, from its first disk image to its last cut. The seed decides everything."""

    def __init__(
        self,
        vfs: LossyVFS,
        folder: Path,
        *,
        seed: int,
        images: Mapping[str, bytes],
        settings: Mapping[str, str | int] = SETTINGS,
    ) -> None:
        self.tally = Tally()
        self._vfs = vfs
        self._folder = folder
        self._randomness = random.Random(seed)
        self._images = images
        self._settings = settings
        self._made = 0
        # The expected state after a cut: without or with the transaction in flight.
        self._kept: Rows = {}
        self._in_flight: Rows | None = None
        self._commits_left = -1

    def run(self, cuts: int = CUTS_A_LIFE) -> Tally:
        """Live through a number of cuts. Raises Broken."""
        for number in range(cuts):
            self._mount(self._folder / str(number))
            try:
                self._work()
            finally:
                self._unmount()
            self._images = self._disk.images(self._randomness)
            self.tally.cuts += 1
            self._look()
        return self.tally

    def _mount(self, folder: Path) -> None:
        self._disk = Disk(self._images)
        self._vfs.mount(folder, self._disk, self._images)
        self._open_in = folder
        self._connections: list[Connection] = []
        self._leases: list[Batch] = []
        self._in_flight = None

    def _unmount(self) -> None:
        self._disk.written = _nothing
        for connection in self._connections:
            connection.close()
        self._vfs.unmount(self._open_in)

    def _work(self) -> None:
        """Open the store, and use it until the power is cut."""
        randomness = self._randomness
        place = randomness.choice(["operation", "sync", "acknowledgement"])
        if place == "acknowledgement":
            self._commits_left = randomness.randint(1, 16)
        else:
            self._commits_left = -1
            self._disk.cut_before(place, randomness.randint(1, 400 if place == "operation" else 24))
        self._open()
        while not self._disk.off:
            step = randomness.choices(
                [self._group, self._sweep, self._checkpoint, self._restart], [80, 6, 12, 2]
            )
            step[0]()

    def _open(self) -> None:
        """Do what SQLiteStore.open does."""
        self._writer = self._connect()
        if not rows_of(self._writer) and self._randomness.random() < 0.5:
            with closing(schema.new_database()) as new:
                self._writer.fill(new.serialize())
            self._note()
        schema.migrate(_Noted(self._writer, self._note), "twite.db")
        self._note()
        if self._disk.off:
            return
        salt, epoch, _, turn, _ = self._writer.execute(query("read_deployment")).fetchone()
        assert len(salt) == 16
        opened = {"epoch": epoch + 1, "turn": turn}
        self._transact(lambda: self._writer.execute(query("opened"), opened))
        fresh_keys = self._randomness.choice(FRESH_KEYS)
        leases = leases_of(epoch + 1)
        self._book = OwnerSession(
            self._writer, window=100 * HOUR, leases=leases, fresh_keys=fresh_keys
        )
        if self._randomness.random() < 0.5:
            # Skips the reading of body sizes at the first claim.
            self._book.largest_body = 1
        self._mover = self._connect()
        self._taken = {
            tuple(row)
            for row in self._writer.execute(
                "SELECT queue.event, conversion_id FROM conversion JOIN queue ON queue.id = queue "
                "WHERE suppressed IS NULL"
            )
        }
        self._transact(lambda: outbox.expire(self._book, now=FOREVER, furthest=FOREVER, died=True))

    def _connect(self) -> Connection:
        connection = Connection(self._open_in / "twite.db", vfs="lossy")
        self._connections.append(connection)
        for name, value in self._settings.items():
            connection.execute(f"PRAGMA {name} = {value}")
        return connection

    def _transact(self, *acts: Callable[[], object]) -> None:
        """Commit actions together; do nothing once the disk is off."""
        if self._disk.off:
            return
        self._writer.execute("BEGIN IMMEDIATE")
        for act in acts:
            act()
        self._writer.execute("COMMIT")
        self._note()

    def _note(self) -> None:
        """Record the commit, which may be lost if the disk was off before it ended."""
        rows = rows_of(self._writer)
        if self._disk.off:
            # Transactions after the cut have no effect.
            self._in_flight = rows if self._in_flight is None else self._in_flight
            return
        self.tally.transactions += 1
        self.tally.acknowledged += len(rows["conversion"]) - len(self._kept.get("conversion", ()))
        self._kept = rows
        self._commits_left -= 1
        if self._commits_left == 0:
            self._disk.cut()

    def _group(self) -> None:
        """Commit queued submissions, claims and settlements together, as the writer does."""
        if self._disk.off:
            return
        randomness = self._randomness
        submissions = [self._submission() for _ in range(randomness.randint(0, 3))]
        acts = [self._record_them(submissions)] if submissions else []
        if randomness.random() < 0.4:
            acts.append(self._claim)
        settled = randomness.randint(0, min(2, len(self._leases)))
        acts += [self._settlement() for _ in range(settled)]
        if not acts:
            return
        self._transact(*acts)
        self._book.committed()

    def _record_them(self, submissions: Sequence[Submission]) -> Callable[[], None]:
        """Record, and check that exactly the acknowledged conversions are duplicates."""

        def act() -> None:
            recorded = record(self._book, submissions)
            for submission, reported in zip(submissions, recorded, strict=True):
                duplicates = []
                for entry in submission.entries:
                    name = (entry.event, entry.conversion_id)
                    if entry.suppressed is None and name in self._taken:
                        duplicates.append(entry.index)
                    elif entry.suppressed is None:
                        self._taken.add(name)
                if reported.duplicates != tuple(duplicates):
                    raise Broken(f"{reported.duplicates} are duplicates, and not {duplicates}")

        return act

    def _submission(self) -> Submission:
        randomness = self._randomness
        entries = []
        for index in range(randomness.choice([1, 1, 2, 5])):
            again = self._made and randomness.random() < 0.25
            number = randomness.randrange(self._made) if again else self._made
            self._made += not again
            entry = an_entry(
                f"order-{number}",
                event=EVENTS[number % 2],
                index=index,
                suppressed="no consent" if randomness.random() < 0.05 else None,
            )
            if number % 20 == 0:
                # Longer than a page and always the same, because another body would be a
                # correction.
                entry = msgspec.structs.replace(entry, body=entry.body * (20 + number % 41))
            entries.append(entry)
        return a_submission(*entries, receipt=f"r{randomness.getrandbits(80)}", received_at=NOW)

    def _claim(self) -> None:
        batch = outbox.claim(
            self._book,
            Claim(
                pixel="o8z6j",
                now=NOW,
                lease_until=NOW + HOUR,
                limit=self._randomness.randint(1, 12),
                ambiguous_after=NOW - 40 * HOUR,
            ),
            damaged=[],
        )
        if batch is not None:
            self._leases.append(batch)

    def _settlement(self) -> Callable[[], object]:
        batch = self._leases.pop(self._randomness.randrange(len(self._leases)))
        by_trigger: dict[Trigger, list[int]] = {}
        is_whole = self._randomness.random() < 0.5
        for delivery in batch.deliveries:
            trigger = self._randomness.choices(
                [Trigger.DELIVERED, Trigger.POSTPONED, Trigger.GIVEN_UP, Trigger.HELD],
                [1, 0, 0, 0] if is_whole else [8, 2, 1, 1],
            )
            by_trigger.setdefault(trigger[0], []).append(delivery.id)
        settlement = Settlement(
            lease=batch.lease,
            attempt=Attempt(
                at=NOW,
                pixel=batch.pixel,
                event=batch.event,
                outcome="delivered",
                deliveries=tuple(delivery.id for delivery in batch.deliveries),
                status=200,
                ambiguous=self._randomness.random() < 0.2,
            ),
            transitions=tuple(
                Transition(trigger=trigger, deliveries=tuple(ids), due_at=NOW, reason="because")
                for trigger, ids in by_trigger.items()
            ),
            lease_until=NOW + HOUR,
        )
        return lambda: outbox.settle(self._book, settlement)

    def _sweep(self) -> None:
        self._transact(
            lambda: outbox.sweep(
                self._book,
                SweepRequest(now=NOW, ambiguous_before=NOW - 1, waiting_before=NOW - HOUR),
            )
        )

    def _checkpoint(self) -> None:
        """Run a checkpoint, with a commit after some of the pages."""

        def meanwhile(name: str) -> None:
            if name == "twite.db" and self._randomness.random() < 0.1:
                self._disk.written = _nothing
                self._group()
                self._disk.written = meanwhile

        self._disk.written = meanwhile
        self._mover.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        self._disk.written = _nothing

    def _restart(self) -> None:
        """Close cleanly, as SQLiteStore.close does, and open again."""
        self._transact(lambda: self._writer.execute(query("closed")))
        if self._disk.off:
            return
        self._writer.close()
        self._mover.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._mover.close(log=False)
        self._connections.clear()
        self._leases.clear()
        if not self._disk.off:
            self._open()

    def _look(self) -> None:
        """Start the machine again and compare. Raises Broken unless all is well."""
        folder = self._folder / "look"
        self._vfs.mount(folder, Disk(self._images), self._images)
        connection = None
        try:
            connection = Connection(folder / "twite.db", vfs="lossy")
            self._compare(connection)
        finally:
            if connection is not None:
                connection.close()
            self._vfs.unmount(folder)

    def _compare(self, connection: Connection) -> None:
        try:
            sound = connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            found = rows_of(connection) if sound else {}
        except (apsw.CorruptError, apsw.NotADBError):
            sound = False
        if not sound:
            self.tally.corrupt += 1
            raise Broken("the database is damaged")
        if found == self._kept:
            pass
        elif self._in_flight is not None and found == self._in_flight:
            self.tally.in_flight_kept += 1
            self._kept = found
        else:
            missing = set(self._kept.get("conversion", ())) - set(found.get("conversion", ()))
            self.tally.losing += 1
            self.tally.lost += len(missing)
            tables = [name for name in self._kept if found.get(name) != self._kept[name]]
            raise Broken(
                f"{len(missing)} acknowledged conversions are missing; differing: {tables}"
            )
        if found and any(account.balance for account in records.accounts(connection)):
            raise Broken("the balance is not 0")


def _nothing(_name: str) -> None:
    pass
