"""Latency beside an export of a full store into PostgreSQL, and without one.

The load is that of `latency`. The gateway begins its export at the start, and a run is void if the
export ends before the load.
"""

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import uvloop

from bench.back_fill import RotatingLoop
from bench.latency import Arrivals, OpenLoop, StandInForX, fractions
from bench.postgres import postgres
from bench.rig import Rig
from bench.servers import free_port
from builders import an_entry

if TYPE_CHECKING:
    from bench.figures import Bench
    from postgres_server import PostgresServer

_SETTLED: Final = 400_000
_RATES: Final = (200, 1_000)  # conversions a second, of one a request
_SECONDS: Final = 15.0
_URL: Final = "TWITE_BENCH_WAREHOUSE"
_EXPORT: Final = f"""
[[export]]
name = "warehouse"
to = "env:{_URL}"
"""


class ExportLatencies(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds (p50, p99) of a 202, and from it until X has the conversion.

    `rows` is how many were exported meanwhile, and `cpu` the seconds of CPU of the gateway.
    """

    answered: tuple[float, ...]
    at_x: tuple[float, ...]
    rows: int
    cpu: float


def exporting(bench: "Bench") -> None:
    """Measure with and without an export, in turns."""
    store = bench.store(settled=_SETTLED)
    _fill_bodies(store)
    with postgres() as server:
        for run in bench.runs("an open loop beside an export"):
            for rate in _RATES:
                for exports in (False, True):
                    name = f"warehouse_{run}_{rate}"
                    os.environ[_URL] = server.create(name) if exports else ""
                    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                        measured = _measured(bench, store, rate, server if exports else None, name)
                        bench.exports[rate, exports].append(runner.run(measured))


def _fill_bodies(path: Path) -> None:
    """Give the settled conversions a body that X accepts, so that their rows cost what they do."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE conversion SET body = ?", (an_entry().body,))


async def _measured(
    bench: "Bench", store: Path, rate: int, server: "PostgresServer | None", name: str
) -> ExportLatencies:
    arrivals = Arrivals()
    port = free_port()
    x = await asyncio.get_running_loop().create_server(
        lambda: StandInForX(arrivals), "127.0.0.1", port
    )
    extra = "" if server is None else _EXPORT
    with Rig(bench.folder, store=store, extra=extra, x=f"http://127.0.0.1:{port}") as rig:
        await OpenLoop(rig.url).run(rate, 1.0, "usual")
        before, spent = _rows(server, name), rig.gateway.cpu()
        loop = RotatingLoop(rig.url)
        await loop.run(rate, _SECONDS, "usual")
        after, spent = _rows(server, name), rig.gateway.cpu() - spent
        await arrivals.all_of(loop.begun)
    x.close()
    if server is not None and not before < after < _SETTLED:
        raise SystemExit(f"the run is void: the export wrote {before} to {after} rows")
    received = arrivals.times
    return ExportLatencies(
        answered=fractions([loop.answered[id_] - at for id_, at in loop.begun.items()]),
        at_x=fractions([max(0.0, received[id_] - at) for id_, at in loop.answered.items()]),
        rows=after - before,
        cpu=spent,
    )


def _rows(server: "PostgresServer | None", name: str) -> int:
    if server is None:
        return 0
    return int(server.psql("SELECT count(*) FROM twite_conversions", name).strip())


def verdict(found: dict[tuple[int, bool], list[ExportLatencies]]) -> list[str]:
    lines = []
    for (rate, exports), several in found.items():
        name = "beside an export" if exports else "no export"
        medians = [
            sorted(sample[part] for sample in side)[len(several) // 2]
            for side in ([each.answered for each in several], [each.at_x for each in several])
            for part in (0, 1)
        ]
        worst = max(each.answered[1] for each in several)
        rows = sum(each.rows for each in several) / len(several) / _SECONDS
        cpu = sum(each.cpu for each in several) / len(several) / _SECONDS
        lines.append(
            f"  {name}, {rate:,} a second: 202 p50 {medians[0]:.1f} ms, p99 {medians[1]:.1f} ms "
            f"(worst run {worst:.1f}), then at X p50 {medians[2]:.1f} ms, p99 {medians[3]:.1f} ms; "
            f"{rows:,.0f} rows a second, {cpu:.0%} of a core"
        )
    return lines
