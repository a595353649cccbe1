"""How long `twite what-if` takes for a store of a million, and what intake notices of it.

The store has requests of one conversion each, as a shop's server sends them, a third of them with
consent signals. They are orders that were accepted by the gateway's own intake, and repeated under
other ids. The changed settings add a consent policy and a rule for values.

Then one gateway accepts requests at a fixed rate, by turns alone and beside `twite what-if`, until
that ends.

    python -m bench --only what-if
    python -m bench --only what-if --stored 100000 --runs 5
"""

import asyncio
import json
import os
import sqlite3
import statistics
import subprocess
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import uvloop

from bench import fill
from bench.back_fill import RotatingLoop
from bench.latency import fractions
from bench.orders import order
from bench.rig import Rig
from bench.servers import ServerProcess, python
from twite.domain.times import DAY, MINUTE
from twite.stores.sqlite import SQLiteStore

if TYPE_CHECKING:
    from bench.figures import Bench

_ORDERS: Final = 600  # of which the others are copies
_RATE: Final = 200  # conversions a second, of one a request
_CHANGED: Final = """region = "GB"
[source.consent_policy]
user_data_denied = "strip"
[[value_rule]]
name = "net"
value = "divide(value, `1.19`)"
"""
_REQUEST: Final = """
INSERT INTO submission (id, receipt, source, endpoint, received_at, first, entries, body)
VALUES (?, ?, 'shop', 'native', ?, ?, 1, ?)"""
_CONVERSION: Final = """
INSERT INTO conversion (id, submission, queue, conversion_id, body, suppressed, cause)
VALUES (?, ?, ?, ?, ?, ?, ?)"""
_ACCOUNT: Final = """
INSERT INTO account (source, pixel, received, delivered, suppressed) VALUES (?, ?, ?, ?, ?)"""
_SIGNALS: Final = (
    {"ad_storage": "granted", "ad_user_data": "granted", "ad_personalization": "granted"},
    {"ad_storage": "granted", "ad_user_data": "denied", "ad_personalization": "denied"},
    {"ad_storage": "granted", "ad_user_data": "granted", "region": "DE"},
)


class WhatIfFigures(msgspec.Struct, kw_only=True):
    """Of `conversions`, seconds of a run by the clock and of CPU, and its memory in MB.

    `alone` and `beside` are milliseconds (p50, p99) of a 202, by turns without and with what-if,
    whose runs took `seconds_beside`.
    """

    conversions: int = 0
    seconds: list[float] = []
    cpu: list[float] = []
    memory: float = 0.0
    alone: list[Sequence[float]] = []
    beside: list[Sequence[float]] = []
    seconds_beside: list[float] = []


def what_if(bench: "Bench") -> None:
    many = bench.chosen.stored
    bench.runs(f"what-if over {many:,} conversions")
    orders, path = bench.folder / "orders.db", bench.folder / "past.db"
    asyncio.run(_accepted(orders))
    asyncio.run(fill.create(path))
    repeat(orders, path, many)
    figures = bench.past = WhatIfFigures()
    with Rig(bench.folder, store=path, sending=False) as rig:
        config = next(rig.folder.glob("twite-*.toml"))
        changed = rig.folder / "changed.toml"
        changed.write_text(config.read_text().replace('region = "GB"', _CHANGED, 1))
        for _ in range(bench.chosen.runs):
            began = time.perf_counter()
            run = started(config, changed).process
            assert run.stdout is not None
            figures.conversions = int(json.loads(run.stdout.read())["conversions"])
            _, status, used = os.wait4(run.pid, 0)
            run.returncode = os.waitstatus_to_exitcode(status)
            figures.seconds.append(time.perf_counter() - began)
            figures.cpu.append(used.ru_utime + used.ru_stime)
            figures.memory = max(figures.memory, used.ru_maxrss / 1_024)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            for _ in range(bench.chosen.runs):
                figures.alone.append(runner.run(_loaded(rig, bench.chosen.seconds)))
                process = started(config, changed).process
                beside, seconds = runner.run(_loaded_beside(rig, process, bench.chosen.seconds))
                figures.beside.append(beside)
                figures.seconds_beside.append(seconds)


def started(config: Path, changed: Path) -> ServerProcess:
    secrets = {"TWITE_BENCH_TOKEN": fill.TOKEN, "TWITE_BENCH_KEY": fill.KEY}
    paths = ("--config", str(config), "--settings", str(changed))
    return python("-m", "twite", "what-if", *paths, "--since", "2d", "--json", env=secrets)


async def _accepted(path: Path) -> None:
    """Accept the orders that are repeated."""
    store = await SQLiteStore.open(path)
    await fill.accept(store, map(_request, range(_ORDERS)))
    await store.close()


def _request(number: int) -> bytes:
    given = order(number) | {"conversion_id": _name(number)}
    if number % 3 == 0:
        given["consent"] = _SIGNALS[number // 3 % len(_SIGNALS)]
    return json.dumps(given).encode()


def _name(number: int) -> str:
    return f"past-{number:07}"


def repeat(orders: Path, path: Path, many: int) -> None:
    """Write accepted orders into an empty store, again and again, over the last day."""
    with closing(sqlite3.connect(orders)) as db:
        queues = db.execute("SELECT * FROM queue").fetchall()
        rows = db.execute(
            "SELECT submission.body, queue, conversion.body, suppressed, cause, evidence "
            "FROM submission JOIN conversion ON submission = submission.id "
            "LEFT JOIN consent ON delivery = conversion.id ORDER BY submission.id"
        ).fetchall()
    began, denied = time.time_ns() // 1_000_000 - DAY, 0
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous=OFF")
        db.execute("BEGIN")
        db.executemany("INSERT INTO queue VALUES (?, ?, ?)", queues)
        for number in range(many):
            nth = number % len(rows)
            given, queue, body, suppressed, cause, evidence = rows[nth]
            name, before = _name(number), _name(nth).encode()
            at = began + (DAY - MINUTE) * number // many
            stored = given.replace(before, name.encode()), body.replace(before, name.encode())
            db.execute(_REQUEST, (number + 1, f"past-{number:09}", at, number + 1, stored[0]))
            db.execute(
                _CONVERSION, (number + 1, number + 1, queue, name, stored[1], suppressed, cause)
            )
            if evidence is not None:
                db.execute("INSERT INTO consent VALUES (?, ?)", (number + 1, evidence))
            denied += suppressed is not None
        db.execute(_ACCOUNT, ("shop", fill.PIXEL, many, many - denied, denied))
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


async def _loaded(rig: Rig, seconds: float) -> Sequence[float]:
    """Return p50 and p99 of a 202."""
    # A turn without what-if ends long after the last response of most connections.
    loop = RotatingLoop(rig.url)
    await loop.run(_RATE, seconds, "usual")
    return await _answered(loop)


async def _loaded_beside(
    rig: Rig, process: subprocess.Popen[bytes], seconds: float
) -> tuple[Sequence[float], float]:
    """Return p50 and p99 of a 202 until a process ends, and how many seconds that took."""
    began, loop = time.perf_counter(), RotatingLoop(rig.url)
    run = asyncio.create_task(asyncio.to_thread(_ended, process))
    while not run.done():
        await loop.run(_RATE, seconds, "usual")
    return await _answered(loop), await run - began


def _ended(process: subprocess.Popen[bytes]) -> float:
    """Wait for the end of a process. Raises SystemExit if it failed."""
    process.communicate()
    if process.returncode:
        raise SystemExit(f"what-if ended with {process.returncode}")
    return time.perf_counter()


async def _answered(loop: RotatingLoop) -> Sequence[float]:
    await asyncio.sleep(1.0)
    late = time.perf_counter()
    return fractions([loop.answered.get(id_, late) - at for id_, at in loop.begun.items()])


def verdict(figures: WhatIfFigures | None) -> list[str]:
    if figures is None:
        return []
    took = f"{_all(figures.seconds)} s, {_all(figures.cpu)} s of CPU, {figures.memory:.0f} MB"
    lines = [f"  what-if over {figures.conversions:,} conversions: {took}"]
    for name, found in (("alone", figures.alone), ("beside what-if", figures.beside)):
        p50, p99 = zip(*found, strict=True)
        lines.append(f"  {_RATE} a second {name}, 202: p50 {_all(p50)} ms, p99 {_all(p99)} ms")
    lines.append(f"  what-if beside them: {_all(figures.seconds_beside)} s")
    return lines


def _all(runs: Sequence[float]) -> str:
    """Return the median of some runs, and all of them."""
    return f"{statistics.median(runs):.1f} ({', '.join(f'{run:.1f}' for run in runs)})"
