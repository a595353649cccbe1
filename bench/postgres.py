"""The figures of a store on PostgreSQL, with a server of their own, on SQLite's disk."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import uvloop

from bench import fill
from bench.rig import Rig, fresh
from bench.sample import Sample
from builders import a_submission, an_entry
from twite.domain.delivery import Attempt, Settlement, Transition, Trigger
from twite.domain.destination import RATE_WINDOW
from twite.domain.times import DAY, HOUR
from twite.gateway.ports.outbox import Claim
from twite.gateway.ports.store import StoreOptions
from twite.stores.postgres.store import PostgresStore

if TYPE_CHECKING:
    from bench.figures import Bench
    from postgres_server import PostgresServer

SHAPES = {"single": (1, 64), "hundred": (100, 16)}  # conversions a request, connections
_FEW = 2  # connections of a node, so that its commits limit it, and not the machine
_SETTINGS = {"shared_buffers": "512MB", "max_wal_size": "8GB", "max_connections": "100"}
_SLOW = {"commit_delay": "5000", "commit_siblings": "0"}
_BATCH = 500
# The index is made in the end: quicker, and with less room in its pages than it would have.
_KEYS = """
ALTER TABLE dedup DROP CONSTRAINT dedup_pkey;
INSERT INTO dedup SELECT gen_random_uuid(), i, {now} FROM generate_series(1, {many}) AS i;
ALTER TABLE dedup ADD PRIMARY KEY (key);
VACUUM ANALYZE dedup;
CHECKPOINT
"""


@contextmanager
def postgres(**settings: str) -> Iterator["PostgresServer"]:
    """Start a server, until the end of the block."""
    from postgres_server import PostgresServer, programs  # noqa: PLC0415

    server = PostgresServer(programs(), on_disk=True, **_SETTINGS | settings)
    try:
        yield server
    finally:
        server.remove()


def new(server: "PostgresServer", name: str) -> None:
    """Make a database with the tables, and use up X's rate limit."""

    async def migrate() -> None:
        store = await PostgresStore.open(server.create(name), StoreOptions())
        await store.close()

    asyncio.run(migrate())
    until = time.time_ns() // 1_000_000 + RATE_WINDOW
    server.psql(
        f"INSERT INTO closure VALUES ('{fill.PIXEL}', {until}, 'make bench')",  # noqa: S608
        name,
    )


class PostgresRig(Rig):
    """An emulator, and gateways on a new database. X's rate limit is used up."""

    def __init__(
        self,
        folder: Path,
        server: "PostgresServer",
        *,
        nodes: int = 1,
        workers: int = 1,
        filled: str = "",
    ) -> None:
        """`filled` is a database that stays; otherwise it is a new one."""
        super().__init__(folder, store=None, sending=False)
        self.filled = filled
        self.server = server
        self.nodes = nodes
        self.workers = workers
        self.name = filled or f"bench{fresh(1)}"

    @property
    def store_url(self) -> str:
        return self.server.url(self.name)

    def __enter__(self) -> Self:
        super().__enter__()
        if not self.filled:
            new(self.server, self.name)
        self.urls = []
        for _ in range(self.nodes):
            self.start_gateway()
            self.urls.append(self.url)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, at)
        if not self.filled:
            self.server.drop(self.name)

    def cpu(self) -> float:
        """Return the seconds of CPU time of the gateways and the database."""
        return self.server.cpu() + sum(gateway.cpu() for gateway in self.servers[1:])


def ingest(bench: "Bench") -> None:
    """One process on PostgreSQL and on SQLite, in turns."""
    with postgres() as server:
        for run in bench.runs("one process on PostgreSQL"):
            for side, shape in SHAPES.items():
                with PostgresRig(bench.folder, server) as rig:
                    sample = bench.under_load(rig, rig.url, *shape)
                bench.samples[f"postgres-{side}"].append(sample)
                bench.ingest(side, shape, run)


def workers(bench: "Bench") -> None:
    """Two workers of one gateway."""
    with postgres() as server:
        for _ in bench.runs("two workers on PostgreSQL"):
            for side, shape in SHAPES.items():
                for name, many in ((f"workers-{side}", 2), (f"worker-{side}", 1)):
                    with PostgresRig(bench.folder, server, workers=many) as rig:
                        bench.samples[name].append(bench.under_load(rig, rig.url, *shape))


def nodes(bench: "Bench") -> None:
    """Three gateways and one, with commits of 5 ms."""
    with postgres(**_SLOW) as server:
        for _ in bench.runs("three nodes on PostgreSQL, commits of 5 ms"):
            for name, many in (("node", 1), ("nodes", 3)):
                with PostgresRig(bench.folder, server, nodes=many) as rig:
                    bench.samples[name].append(bench.under_load(rig, rig.urls, 1, _FEW))


def keys(bench: "Bench") -> None:
    """A database with millions of dedup keys, and an empty one, in turns."""
    many = bench.chosen.keys
    now = time.time_ns() // 1_000_000
    with postgres() as server:
        new(server, "filled")
        for statement in _KEYS.format(now=now, many=many).split(";"):
            server.psql(statement, "filled")
        for _ in bench.runs(f"{many:,} keys on PostgreSQL"):
            for side, shape in SHAPES.items():
                for name, filled in ((f"few-{side}", ""), (f"keys-{side}", "filled")):
                    with PostgresRig(bench.folder, server, filled=filled) as rig:
                        bench.samples[name].append(bench.under_load(rig, rig.url, *shape))


def claims(bench: "Bench") -> None:
    """Claims and settlements of two senders; then with a transaction held open elsewhere."""
    with postgres() as server:
        for _ in bench.runs("claims and settlements on PostgreSQL"):
            for name, hold in (("claims", False), ("claims-held", True)):
                database = f"bench{fresh(1)}"
                url = server.create(database)
                sample = uvloop.run(claimed(server, url, bench.chosen.queued, hold=hold))
                bench.samples[name].append(sample)
                server.drop(database)


async def claimed(
    server: "PostgresServer", url: str, many: int, *, hold: bool, batch: int = _BATCH
) -> Sample:
    import asyncpg  # noqa: PLC0415  an extra

    store = await PostgresStore.open(url, StoreOptions(dedup_window=7 * DAY))
    for first in range(0, many, 1_000):
        await store.record(_submission(first, min(1_000, many - first)))
    other = await asyncpg.connect(url)
    await other.execute("VACUUM ANALYZE outbox")
    await other.execute("CHECKPOINT")
    if hold:
        await other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await other.execute("SELECT count(*) FROM dedup")
    began, spent = time.perf_counter(), server.cpu() + time.process_time()
    await asyncio.gather(*(_send(store, pixel, batch) for pixel in ("a", "b")))
    took = time.perf_counter() - began
    cpu = server.cpu() + time.process_time() - spent
    await other.close()
    await store.close()
    return Sample(rate=many / took, cpu=cpu / many)


def _submission(first: int, many: int) -> object:
    entries = [
        an_entry(f"{first + index}", pixel="ab"[first // 1_000 % 2], index=index)
        for index in range(many)
    ]
    return a_submission(*entries, receipt=f"r-{first}")


async def _send(store: PostgresStore, pixel: str, batch_size: int) -> None:
    now = time.time_ns() // 1_000_000
    while True:
        batch = await store.claim(
            Claim(pixel=pixel, now=now, lease_until=now + HOUR, limit=batch_size, ambiguous_after=0)
        )
        if batch is None:
            return
        ids = tuple(delivery.id for delivery in batch.deliveries)
        attempt = Attempt(
            at=now, pixel=pixel, event=batch.event, outcome="delivered", deliveries=ids, status=200
        )
        done = Transition(trigger=Trigger.DELIVERED, deliveries=ids)
        await store.settle(
            Settlement(lease=batch.lease, attempt=attempt, transitions=(done,), lease_until=now)
        )


FIGURES: dict[str, Callable[["Bench"], None]] = {
    "postgres": ingest,
    "workers": workers,
    "nodes": nodes,
    "keys": keys,
    "claims": claims,
}


def verdict(found: dict[str, Sample], ratio: Callable[..., list[str]]) -> list[str]:
    """Return the lines of these figures."""
    lines: list[str] = []
    for ours, other, name, target in (
        ("postgres-single", "single", "PostgreSQL, single posts, of SQLite", "clock 0.60"),
        ("postgres-hundred", "hundred", "PostgreSQL, 100 a request, of SQLite", "clock 0.40"),
        ("workers-single", "worker-single", "two workers, single posts, of one", ""),
        ("workers-hundred", "worker-hundred", "two workers, 100 a request, of one", ""),
        ("workers-single", "peer-single", "two workers, single posts, of the peer", ""),
        ("workers-hundred", "peer-hundred", "two workers, 100 a request, of the peer", "(2)"),
        ("nodes", "node", "three nodes with commits of 5 ms, of one", "clock 2.3"),
        ("keys-single", "few-single", "single posts, millions of keys, of none", "0.80"),
        ("keys-hundred", "few-hundred", "100 a request, millions of keys, of none", "0.80"),
        ("claims-held", "claims", "claim + settle, a transaction open, of none", "0.90"),
        *(
            (
                f"pruned-{what}-{side}",
                f"kept-{what}-{side}",
                f"{name}, pruning {what}, of none",
                "clock 0.90",
            )
            for what in ("bodies", "histories")
            for side, name in (("single", "single posts"), ("hundred", "100 a request"))
        ),
    ):
        if {ours, other} <= found.keys():
            lines += ratio(name, found[ours], found[other], target)
    return lines
