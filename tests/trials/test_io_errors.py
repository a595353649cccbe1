"""Each read, write and sync in a short run of the store fails once; nothing acknowledged is lost.

This runs the shipped code: the writer and its session. Only the library differs: apsw's SQLite,
because Python's does not accept a VFS.
"""

import asyncio
import os
import threading

import pytest
from failing_disk import FailingConnection, FailingVFS

from builders import NOW, a_submission, an_entry
from twite.domain.delivery import Attempt, Settlement, State, Transition, Trigger
from twite.domain.errors import LedgerUnavailable
from twite.domain.history import total
from twite.domain.submission import Recorded
from twite.domain.times import HOUR
from twite.gateway.ports.outbox import Claim, SweepRequest
from twite.gateway.ports.queries import ByConversionId
from twite.stores.sql import outbox
from twite.stores.sqlite import SQLiteStore
from twite.stores.sqlite.engine.connection import WRITER_SETTINGS
from twite.stores.sqlite.engine.owner_session import OwnerSession, leases_of
from twite.stores.sqlite.engine.writer import Writer

# All of them in the long form; one in this many otherwise.
STEPS = {"read": 61, "write": 61, "full": 61, "sync": 12}
LONG = os.environ.get("TWITE_TRIAL") == "1"
SETTINGS = {name: asked for name, (asked, _) in WRITER_SETTINGS.items()}
CLAIM = Claim(pixel="o8z6j", now=NOW, lease_until=NOW + HOUR, limit=3, ambiguous_after=0)
# The numbers of orders that are submitted together.
ROUNDS = ((0,), (1, 2), (3,), (4, 5), (6,), (7,))
SWEEPING = SweepRequest(now=NOW, ambiguous_before=0, waiting_before=0)


@pytest.fixture(scope="module")
def vfs():
    return FailingVFS()


class Life:
    """Submits, sends and sweeps through one writer, and continues after failures."""

    def __init__(self, path, vfs):
        self.path = path
        self.vfs = vfs
        self.acknowledged = set()
        self.settled = set()
        self.failures = 0
        self.final = None

    def open_session(self):
        connection = FailingConnection(self.path)
        for name, value in SETTINGS.items():
            connection.execute(f"PRAGMA {name} = {value}")
        # A minimal cache, so that pages are read repeatedly.
        connection.execute("PRAGMA cache_size = 1")
        book = OwnerSession(connection, window=100 * HOUR, leases=self.leases, fresh_keys=2)
        # Skips the reading of body sizes at the first claim.
        book.largest_body = 1
        return book

    async def run(self, kind, nth):
        self.leases = leases_of(7)
        writer = Writer(
            open_session=self.open_session,
            committed=lambda: None,
            turn=threading.Lock(),
            most_conversions=1_000,
            most_bytes=1 << 20,
            failed=lambda error: setattr(self, "final", error),
        )
        writer.start()
        self.vfs.arm(kind, nth)
        for numbers in ROUNDS:
            await self.submit(writer, [f"order-{number}" for number in numbers])
            if len(numbers) == 2:
                await self.send(writer)
                await self.act(writer, lambda book: outbox.sweep(book, SWEEPING))
        self.vfs.disarm()
        await writer.close()

    async def submit(self, writer, names):
        """Submit together, as the direct route does."""
        results = asyncio.get_running_loop().create_future()
        writer.submit_soon(
            [a_submission(an_entry(name), receipt=f"r-{name}") for name in names],
            results.set_result,
        )
        for name, result in zip(names, await results, strict=True):
            if not isinstance(result, LedgerUnavailable):
                assert isinstance(result, Recorded)
                self.acknowledged.add(name)

    async def send(self, writer):
        batch = await self.act(writer, lambda book: outbox.claim(book, CLAIM, damaged=[]))
        if batch is None:
            return
        ids = tuple(delivery.id for delivery in batch.deliveries)
        settlement = Settlement(
            lease=batch.lease,
            attempt=Attempt(
                at=NOW, pixel="o8z6j", event=batch.event, outcome="delivered", deliveries=ids
            ),
            transitions=(Transition(trigger=Trigger.DELIVERED, deliveries=ids),),
            lease_until=NOW,
        )
        # The result is None if the second try failed, too.
        if await self.act(writer, lambda book: outbox.settle(book, settlement)) is not None:
            self.settled |= {delivery.conversion_id for delivery in batch.deliveries}

    async def act(self, writer, what):
        """Try twice, like a client after a temporary error."""
        for _ in range(2):
            try:
                return await writer.submit_act(what)
            except LedgerUnavailable:
                self.failures += 1
        return None


async def found(path):
    store = await SQLiteStore.open(str(path), fresh_keys=2)
    histories = {}
    for number in range(8):
        for history in await store.find(
            ByConversionId(pixel="o8z6j", events=["o8z6k"], conversion_id=f"order-{number}")
        ):
            histories[history.conversion_id] = history.state
    whole = total(await store.balance())
    await store.close()
    return histories, whole


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", STEPS)
def test_no_failed_disk_operation_loses_an_acknowledged_conversion(tmp_path, vfs, kind, figure):
    played = 0
    for nth in range(1, 2_000, 1 if LONG else STEPS[kind]):
        folder = tmp_path / f"{kind}-{nth}"
        folder.mkdir()
        path = folder / "twite.db"
        asyncio.run(made(path))
        history = Life(path, vfs)

        asyncio.run(history.run(kind, nth))

        if not history.vfs.fired:
            break
        played += 1
        histories, whole = asyncio.run(found(path))
        again = f"{kind} {nth}"
        assert history.acknowledged <= histories.keys(), again
        assert {histories[name] for name in history.settled} <= {State.DELIVERED}, again
        assert set(histories.values()) <= {State.DELIVERED, State.QUEUED}, again
        assert (whole.balance, whole.received) == (0, len(histories)), again
        # Nothing works after a failed sync; everything after other errors.
        assert (history.final is not None) == (kind == "sync"), again
    assert played >= 2
    what = {"full": "write on a full disk"}.get(kind, kind)
    figure(
        f"an I/O error: each {what} fails once",
        f"{played:,} runs, 0 acknowledged lost, 0 given up, balance 0 after each",
    )


async def made(path):
    store = await SQLiteStore.open(str(path))
    await store.close()
