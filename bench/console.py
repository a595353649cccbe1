"""`make bench ARGS=--console`: how long the console's pages take, on a full store and a bare one.

    make bench ARGS=--console                   an agency's store of five million conversions
    python -m bench.console --settled 500000    a smaller one
    python -m bench.console --store FILE        one that was made before; it is used as it is
    python -m bench.console --postgres          the same, copied into PostgreSQL

The store is an agency's (`bench.agency`): forty pixels, twenty accounts, with all that is counted,
what rests, and what pages sent X's pixel. Each page of the console, with its filters, is asked
for so many times from a browser's place, one after the other; printed are the median and the
slowest, in milliseconds, from the request to the last byte, beside the same on a store of one
conversion; and the median of the processor time of it all, the browser's place included, which a
busy machine changes less. The first time of a page is left out of all: templates are read then.
Whatever does not answer 200 ends the run.
"""

import argparse
import asyncio
import re
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Final

import aiohttp
import msgspec

from bench import agency, fill
from bench.postgres import postgres
from twite.app.gateway import RunningGateway
from twite.app.gateway_builder import start_gateway
from twite.app.store_access import copy_stores, open_staff
from twite.config.settings import load
from twite.console.page import PageRoute
from twite.console.problems import ProblemKind
from twite.console.time_range import RANGES
from twite.domain.people.users import Role
from twite.gateway.ports.listing import ListedState

if TYPE_CHECKING:
    from postgres_server import PostgresServer

PASSWORD = "a sentence that does well"  # noqa: S105  made up
LIMIT = 100
ADMIN, CLIENT = "ada", "client"
_COUNTING = "The report is being prepared"
PROBLEM = "/console/problems/{problem}"
_PROBLEM_LINK = re.compile(r'href="/console/problems/(?!replays|amounts)([^"/?]+)')


class ConsoleRig(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway on a store, and who is signed in: an admin, and a client who sees one pixel."""

    gateway: RunningGateway
    visitors: Mapping[str, aiohttp.ClientSession]
    settled: int
    pages: Mapping[str, tuple[str, str]]


def parser() -> argparse.ArgumentParser:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--settled", type=int, default=5_000_000)
    asked.add_argument("--store", type=Path)
    asked.add_argument("--postgres", action="store_true", help="copy the store into PostgreSQL")
    asked.add_argument("--times", type=int, default=15)
    return asked


def main() -> int:
    chosen = parser().parse_args()
    return run(chosen.settled, store=chosen.store, times=chosen.times, on_postgres=chosen.postgres)


def run(size: int, *, store: Path | None, times: int, on_postgres: bool = False) -> int:
    """Measure on a store that exists, or on a new one of that size."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="twite-bench-")))
        full = store or folder / "full.db"
        if not full.exists():
            print(f"filling a store with {size:,} conversions …", file=sys.stderr)
            agency.make(full, size)
        bare = folder / "bare.db"
        fill.make(bare, settled=1, queued=0, first=0)
        settled = _latest(full)
        url = f"sqlite:{full}"
        if on_postgres:
            url = copied(url, stack.enter_context(postgres()))
        stores = {"bare": (f"sqlite:{bare}", 1), "full": (url, settled)}
        several = asyncio.run(measured(folder, stores, times))
    return printed(several)


def copied(store: str, server: "PostgresServer") -> str:
    """Copy a store into a new database; return the value of store.url for it."""
    url = server.create("console")
    began = time.perf_counter()
    copying = copy_stores(store, url, {}, accept_weak_durability=False, progress=_progress)
    done = asyncio.run(copying)
    took = time.perf_counter() - began
    print(f"{sum(done.rows.values()):,} rows were copied in {took:.0f} s", file=sys.stderr)
    return url


def _progress(table: str, done: int, total: int, *, is_checking: bool) -> None:
    """Report nothing."""


def _latest(store: Path) -> int:
    """Return the id of the latest conversion."""
    db = sqlite3.connect(store)
    found = db.execute("SELECT coalesce(max(id), 0) FROM conversion").fetchone()[0]
    db.close()
    return int(found)


# Pages that are not measured, with the reason.
ASIDE: Final[Mapping[str, str]] = {
    "/console/changes": "a stream",
    "/console/tags/{session}/changes": "a stream",
    "/console/tags/{session}": "there is no tag",
    "/console/connect/callback": "X's redirect",
    "/console/link/{token}": "works once",
    "/console/sign-in": "everyone who asks is signed in",
    "/console/problems/replays/{replay}": "the store has no replay",
    "/console/pixels/{pixel}/try/{conversion_id}": "the store has no test conversion",
    "/console/pixels/{pixel}/events": "waits for X",
    "/console/pixels/{pixel}/events/{event}": "waits for X",
}
_RANGES = tuple(f"when={name}" for name in RANGES)
# The queries of a page beside none, by its path.
QUERIES: Final[Mapping[str, Sequence[str]]] = {
    "/console": ("span=hour", "span=week", "span=month", f"pixel={fill.PIXEL}", "account=agency0"),
    "/console/conversions": (
        "before={third}",
        "event=o9zzz",  # of which there is none
        "id=old-{middle}",
        "from=2026-01-01&to=2026-01-02",
        f"source=shop&pixel={fill.PIXEL}&when=today",
        *(f"state={state}" for state in ListedState),
        *(f"state={state}&pixel={fill.PIXEL}&when=30d" for state in ListedState),
        *_RANGES,
    ),
    "/console/problems": (*(f"kind={kind}" for kind in ProblemKind), "when=7d", "sort=last-seen"),
    "/console/match-keys": ("days=90", f"pixel={fill.PIXEL}"),
    "/console/deduplication": (f"pixel={fill.PIXEL}",),
}
BY_CLIENT: Final = (
    "/console?span=month",
    "/console/conversions",
    "/console/problems",
    "/console/match-keys?days=90",
)


def pages(
    routes: Sequence[PageRoute], settled: int, problem: str | None
) -> Mapping[str, tuple[str, str]]:
    """Return who asks for which path, by the names of the pages: every GET route that is not aside.

    `problem` is the id of one, if there is one. Raises SystemExit.
    """
    values = {
        "third": max(1, settled // 3),
        "middle": max(1, settled // 2),
        "delivery": max(1, settled // 2),
        "pixel": fill.PIXEL,
        "source": fill.source_of(0),
        "name": CLIENT,
    }
    if problem is not None:
        values["problem"] = problem
    paths = dict.fromkeys(
        route.path for route in routes if route.method == "GET" and route.path not in ASIDE
    )
    if unknown := {*ASIDE, *QUERIES} - {route.path for route in routes}:
        raise SystemExit(f"the console has no page {unknown}: change bench/console.py")
    if problem is None:
        del paths[PROBLEM]
    asked = [*paths, *(f"{path}?{query}" for path in paths for query in QUERIES.get(path, ()))]
    by_name = [("", ADMIN, path) for path in asked]
    by_name += [("client: ", CLIENT, path) for path in BY_CLIENT]
    try:
        return {f"{by}{path}": (who, path.format_map(values)) for by, who, path in by_name}
    except KeyError as field:
        raise SystemExit(f"a page needs a value of {field}: change bench/console.py") from None


async def measured(
    folder: Path, stores: Mapping[str, tuple[str, int]], times: int
) -> Mapping[str, Mapping[str, Sequence[tuple[float, float]]]]:
    """Return milliseconds by page and store, by the clock and of the processor.

    A store is its address and the id of its latest conversion. The stores take turns.
    """
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    rigs = {name: await opened(folder / f"{name}.toml", *store) for name, store in stores.items()}
    seconds = await counted(rigs["full"])
    print(f"the deduplication report was counted in {seconds:.1f} s", file=sys.stderr)
    for _ in range(times + 1):
        for store, rig in rigs.items():
            for name, (who, path) in rig.pages.items():
                began, spent = time.perf_counter(), time.process_time()
                async with rig.visitors[who].get(f"{rig.gateway.url}{path}") as answer:
                    text = await answer.text()
                took = time.perf_counter() - began, time.process_time() - spent
                if answer.status != 200:
                    raise SystemExit(f"{name} answered {answer.status}")
                if "?id=" in name and f"old-{max(1, rig.settled // 2)}" not in text:
                    raise SystemExit(f"{name} was not found")
                found.setdefault(name, {}).setdefault(store, []).append(took)
    for rig in rigs.values():
        for http in rig.visitors.values():
            await http.close()
        await rig.gateway.stop()
    return {
        name: {store: several[1:] for store, several in by_store.items()}
        for name, by_store in found.items()
    }


async def counted(rig: ConsoleRig) -> float:
    """Wait until the deduplication report exists; return the seconds."""
    began = time.perf_counter()
    while True:
        async with rig.visitors[ADMIN].get(f"{rig.gateway.url}/console/deduplication") as page:
            if _COUNTING not in await page.text():
                return time.perf_counter() - began
        await asyncio.sleep(0.1)


async def opened(config: Path, store: str, settled: int) -> ConsoleRig:
    """Return a gateway on a store, and who looks at it."""
    await asyncio.to_thread(config.write_text, agency.settings(store))
    settings = load(config, {})
    async with open_staff(settings) as user_accounts:
        there = {user.name for user in await user_accounts.users()}
        for name, role, pixels in (
            (ADMIN, Role.ADMIN, None),
            (CLIENT, Role.VIEWER, [fill.PIXEL]),
        ):
            if name not in there:
                await user_accounts.add(
                    name, role=role, password=PASSWORD, pixels=pixels, by="bench"
                )
    gateway = await start_gateway(settings)
    visitors = {name: await signed_in(gateway, name) for name in (ADMIN, CLIENT)}
    async with visitors[ADMIN].get(f"{gateway.url}/console/problems") as answer:
        found = re.search(
            r'href="/console/problems/(?!replays|amounts)([^"/?]+)', await answer.text()
        )
    routes = gateway.console.opened().routes
    return ConsoleRig(
        gateway=gateway,
        visitors=visitors,
        settled=settled,
        pages=pages(routes, settled, found and unescape(found[1])),
    )


async def signed_in(gateway: RunningGateway, name: str) -> aiohttp.ClientSession:
    http = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))
    async with http.get(f"{gateway.url}/console/sign-in") as page:
        token = (await page.text()).split('name="form_token" value="')[1][:64]
    form = {"form_token": token, "name": name, "password": PASSWORD, "code": ""}
    async with http.post(
        f"{gateway.url}/console/sign-in", data=form, headers={"Origin": gateway.url}
    ) as answer:
        await answer.read()
    return http


def printed(found: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]]) -> int:
    """Print it; 1 where a page's median is over the limit on the full store."""
    print(f"{'page':52}{'bare':>8}{'full':>8}{'slowest':>9}{'processor':>11}")
    slow = 0
    for name, by_store in found.items():
        bare, full = (
            1_000 * statistics.median([took for took, _ in by_store.get(store, ())] or [0.0])
            for store in ("bare", "full")
        )
        slowest = 1_000 * max(took for took, _ in by_store["full"])
        spent = 1_000 * statistics.median(spent for _, spent in by_store["full"])
        slow += full >= LIMIT
        print(f"{name:52}{bare:8.1f}{full:8.1f}{slowest:9.1f}{spent:11.1f}")
    print(f"{len(found) - slow} of {len(found)} pages in less than {LIMIT} ms")
    return int(slow > 0)


if __name__ == "__main__":
    sys.exit(main())
