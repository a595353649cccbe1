"""A sync of a database into a double of the gateway's intake, which remembers ids."""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from types import SimpleNamespace

import msgspec

from fakes import MovingClock
from memory_store.state import MemoryState
from twite.app.sync.run import QueryRun, SyncBasis
from twite.app.sync.state import SyncRun, load_state
from twite.app.sync.submit import SyncTarget
from twite.config.syncs import SyncSettings
from twite.domain.secret import Secret
from twite.domain.submission import Endpoint
from twite.domain.times import DAY, MINUTE
from twite.formats.files.rows import RowOptions
from twite.gateway.ingest.receipts import AcceptReceipt

NOW = int(datetime(2026, 11, 30, 12, tzinfo=UTC).timestamp()) * 1_000
QUERY = "SELECT id AS conversion_id, at AS time, changed, total AS value FROM orders"


def at(ms):
    """Return a time as the shop's database has it."""
    return datetime.fromtimestamp(ms / 1_000, UTC).isoformat(timespec="seconds")


class Intake:
    """Accepts conversions. `sent` lists the new ones, `received` all, also after `forget`.

    `rejected` has the codes of the rows with errors. `fails` raises in the next calls.
    """

    def __init__(self):
        self.sent: list[str] = []
        self.received: list[str] = []
        self.rejected: list[tuple[str, ...]] = []
        self.calls = 0
        self.fails: list[Exception] = []

    async def native(self, *, source, body):
        assert source.name == "shop"
        self.calls += 1
        if self.fails:
            raise self.fails.pop(0)
        ids = [each["conversion_id"] for each in json.loads(body)["conversions"]]
        self.received += ids
        again = tuple(index for index, id_ in enumerate(ids) if id_ in self.sent)
        self.sent += [id_ for id_ in ids if id_ not in self.sent]
        return AcceptReceipt(
            receipt="r",
            accepted=len(ids) - len(again),
            duplicates=len(again),
            suppressed=0,
            duplicate_indexes=again,
        )

    async def parsed(self, parsed, *, source, endpoint):
        assert (source.name, endpoint) == ("shop", Endpoint.NATIVE)
        self.rejected += [tuple(fault.code for fault in faults) for faults in parsed.faults]
        return AcceptReceipt(receipt="r", accepted=0, duplicates=0, suppressed=0)

    async def find_received(self, rows):
        """Look into the history, which is longer than the deduplication window."""
        return {row.number for row in rows if row.order in self.received}

    def forget(self):
        """Forget everything, as the gateway does after its deduplication window."""
        self.sent.clear()


class SyncStage:
    """A shop with a SQLite file, and a sync of its orders."""

    def __init__(self, folder, **settings):
        self.path = folder / "shop.db"
        self.intake = Intake()
        self.state = MemoryState()
        self.clock = MovingClock(NOW)
        self.owned = True
        self.history = 30 * DAY
        defaults = {"event": "purchase", "currency": "EUR"}
        self.sync = SyncSettings(
            **{
                "name": "orders",
                "source": "shop",
                "secret_url": Secret(f"sqlite:///{self.path}"),
                "query": QUERY,
                "cursor": "changed",
                "key": "conversion_id",
                "interval": 5 * MINUTE,
                "look_back": 5 * MINUTE,
                "history": True,
                "older": "skip",
                "rows": RowOptions(**defaults),
                "map": {},
                "write_back": None,
            }
            | settings
        )

    @property
    def basis(self):
        return SyncBasis(
            state=self.state,
            clock=self.clock,
            find_target=lambda _name: SyncTarget(
                accept=self.intake,
                source=SimpleNamespace(name="shop"),
                find_received=self.intake.find_received,
            ),
            dedup_window=7 * DAY,
            history=self.history,
            may_write=lambda: self.owned,
        )

    def execute(self, *statements):
        with closing(sqlite3.connect(self.path)) as database, database:
            for statement in statements:
                database.execute(*statement if isinstance(statement, tuple) else (statement,))
        database.close()

    def create(self):
        self.execute("CREATE TABLE orders(id TEXT, at TEXT, changed, total TEXT)")

    def order(self, id_, changed=None, *, time=None, total="1.00"):
        """Insert or change an order; by default, it was made and changed now."""
        now = self.clock.now()
        values = id_, at(now if time is None else time), changed or at(now), total
        self.execute(
            ("DELETE FROM orders WHERE id = ?", (id_,)),
            ("INSERT INTO orders VALUES (?, ?, ?, ?)", values),
        )

    async def run(self, *, until=lambda: False, **settings):
        """Run the sync once; return the run."""
        sync = msgspec.structs.replace(self.sync, **settings)
        run = SyncRun(at=self.clock.now())
        await QueryRun(sync, self.basis).run(
            await load_state(self.state, "orders"), run, until=until
        )
        return run
