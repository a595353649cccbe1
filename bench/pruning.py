"""What pruning costs on PostgreSQL: a process that records, with and without old rows to prune."""

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Final

import uvloop

from bench import fill
from bench.postgres import SHAPES, new, postgres
from bench.rig import fresh
from bench.sample import Sample
from builders import a_submission, an_entry
from twite.domain.times import DAY
from twite.gateway.ports.store import Retention, StoreOptions
from twite.stores.postgres.store import PostgresStore

if TYPE_CHECKING:
    from bench.figures import Bench
    from postgres_server import PostgresServer

_KEEPING: Final = Retention(bodies=3 * DAY, history=30 * DAY, dead=30 * DAY)
_EACH: Final = 100
# Days since receipt, whether bodies are pruned already, and the name.
_OLD: Final = ((10, False, "bodies"), (40, True, "histories"))
# Settled conversions with ids of the time of their receipt, as intake would have given them.
_SETTLED: Final = """
INSERT INTO queue (pixel, event) VALUES ('{pixel}', 'o8z6k');
INSERT INTO submission SELECT {first} + i * {each}, 'old-' || i, 'shop', 'native', {at},
  {first} + i * {each}, {each}, CASE WHEN {gone} THEN '' ELSE convert_to(repeat('x', 20000), 'UTF8')
  END FROM generate_series(0, {many} / {each} - 1) AS i;
INSERT INTO conversion (id, submission, queue, conversion_id, body, checksum)
SELECT {first} + i, {first} + i - i % {each}, (SELECT max(id) FROM queue), 'old-' || i,
  CASE WHEN {gone} THEN '' ELSE convert_to(repeat('x', 300), 'UTF8') END, 0
  FROM generate_series(0, {many} - 1) AS i;
INSERT INTO attempt SELECT {first} + i, {at}, (SELECT max(id) FROM queue), 'delivered', 200, '',
  false, 500 FROM generate_series(0, {many} / 500) AS i;
INSERT INTO attempted SELECT {first} + i, {first} + i / 500
  FROM generate_series(0, {many} - 1) AS i;
INSERT INTO dedup SELECT gen_random_uuid(), {first} + i, {at}
  FROM generate_series(0, {many} - 1) AS i;
UPDATE pruning SET bodies = CASE WHEN {gone} THEN {first} + {many} ELSE 0 END;
VACUUM ANALYZE;
CHECKPOINT
"""


def pruning(bench: "Bench") -> None:
    """Record with and without pruning, in turns, in a database with a million old conversions."""
    many = bench.chosen.pruned
    with postgres() as server:
        for days, gone, name in _OLD:
            new(server, name)
            at = time.time_ns() // 1_000_000 - days * DAY
            first = (at // 1_000 - 1_767_225_600) << 23
            values = {"pixel": fill.PIXEL, "many": many, "each": _EACH, "at": at, "first": first}
            for statement in _SETTLED.format(**values, gone=str(gone).lower()).split(";"):
                server.psql(statement, name)
            for _ in bench.runs(f"{many:,} conversions with old {name} on PostgreSQL"):
                for side, shape in SHAPES.items():
                    before = max(first, _place(server, name))
                    for word, keeping in (("kept", None), ("pruned", _KEEPING)):
                        seconds = bench.chosen.seconds
                        options = StoreOptions(retention=keeping)
                        recording = _recorded(server, name, shape, options, seconds=seconds)
                        sample = uvloop.run(recording)
                        bench.samples[f"{word}-{name}-{side}"].append(sample)
                    done = (_place(server, name) - before) / seconds
                    print(f"  pruned {done:,.0f} conversions/s", file=sys.stderr, flush=True)


def _place(server: "PostgresServer", name: str) -> int:
    """Return the id up to which conversions are pruned."""
    return int(server.psql(f"SELECT {name} FROM pruning", name))  # noqa: S608  a column


async def _recorded(
    server: "PostgresServer",
    name: str,
    shape: tuple[int, int],
    options: StoreOptions,
    *,
    seconds: float,
) -> Sample:
    each, clients = shape
    store = await PostgresStore.open(server.url(name), options)
    recorded = 0
    began, spent = time.perf_counter(), server.cpu() + time.process_time()

    async def record() -> None:
        nonlocal recorded
        while time.perf_counter() - began < seconds:
            first, now = fresh(each), time.time_ns() // 1_000_000
            entries = [an_entry(f"new-{first + n}", index=n) for n in range(each)]
            await store.record(a_submission(*entries, receipt=f"new-{first}", received_at=now))
            recorded += each

    await asyncio.gather(*(record() for _ in range(clients)))
    took = time.perf_counter() - began
    cpu = server.cpu() + time.process_time() - spent
    await store.close()
    return Sample(rate=recorded / took, cpu=cpu / recorded)
