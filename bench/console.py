"""`make bench ARGS=--console`: how long the console's pages take, on a full store and a bare one.

    make bench ARGS=--console                   an agency's store of five million conversions
    python -m bench.console --settled 500000    a smaller one
    python -m bench.console --store FILE        one that was made before; it is used as it is

The store is an agency's (`bench.agency`): ten pixels, twenty accounts, with all that is counted,
what rests, and what pages sent X's pixel. Each page is asked for so many times from a browser's
place, one after the other; printed are the median and the slowest, in milliseconds, from the
request to the last byte, beside the same on a store of one conversion; and the median of the
processor time of it all, the browser's place included, which a busy machine changes less. The first
time of a page is left out of all: templates are read then. Whatever does not answer 200 ends the
run.
"""

import argparse
import asyncio
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import aiohttp
import msgspec

from bench import agency, fill
from twite.app.gateway import RunningGateway
from twite.app.gateway_builder import start_gateway
from twite.app.store_access import open_staff
from twite.config.settings import load
from twite.domain.people.users import Role

PASSWORD = "a sentence that does well"  # noqa: S105  made up
LIMIT = 100
ADMIN, CLIENT = "ada", "client"
_COUNTING = "They are being counted"


class ConsoleRig(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway on a store, and who is signed in: an admin, and a client who sees one pixel."""

    gateway: RunningGateway
    visitors: Mapping[str, aiohttp.ClientSession]
    settled: int


def parser() -> argparse.ArgumentParser:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--settled", type=int, default=5_000_000)
    asked.add_argument("--store", type=Path)
    asked.add_argument("--times", type=int, default=15)
    return asked


def main() -> int:
    chosen = parser().parse_args()
    return run(chosen.settled, store=chosen.store, times=chosen.times)


def run(size: int, *, store: Path | None, times: int) -> int:
    """Measure on a store that exists, or on a new one of that size."""
    with tempfile.TemporaryDirectory(prefix="twite-bench-") as scratch:
        folder = Path(scratch)
        full = store or folder / "full.db"
        if not full.exists():
            print(f"filling a store with {size:,} conversions …", file=sys.stderr)
            agency.make(full, size)
        bare = folder / "bare.db"
        fill.make(bare, settled=1, queued=0, first=0)
        several = asyncio.run(measured(folder, {"bare": bare, "full": full}, times))
    return printed(several)


def pages(settled: int) -> Mapping[str, tuple[str, str]]:
    """Return the pages that are asked for, by what they are called: who asks, and where."""
    middle = max(1, settled // 2)
    error_group = (
        f"/dead/group?pixel={fill.PIXEL}&event=o8z6k&state=dead"
        "&reason=400+INVALID_PARAMETER%3A+reason+number+7"
    )
    by_admin = {
        "overview, an hour": "?span=hour",
        "overview, a day": "",
        "overview, a week": "?span=week",
        "overview, a month": "?span=month",
        "overview, a month of one pixel": f"?span=month&pixel={fill.PIXEL}",
        "live": "/live",
        "live, deep in the past": f"/live?before={max(1, settled // 3)}",
        "live, before a moment": "/live?at=2026-01-01T00:00",
        "live, of an event that never comes": "/live?event=o9zzz",
        "live, delivered": "/live?state=delivered",
        "live, dead": "/live?state=dead",
        "live, suppressed (none)": "/live?state=suppressed",
        "a history": f"/live/{middle}",
        "a history, by its id": f"/live?id=old-{middle}",
        "match keys, 7 days": "/match-keys",
        "match keys, 90 days": "/match-keys?days=90",
        "deduplication": "/deduplication",
        "pixels and sources": "/pixels",
        "a pixel": f"/pixels/{fill.PIXEL}",
        "audit": "/audit",
        "dead letters and held": "/dead",
        "an error group": error_group,
        "value guards": "/value-guards",
        "value guards, one kind (no entries)": "/value-guards?reason=zero",
    }
    by_client = {
        "to a client: overview, a month": "?span=month",
        "to a client: live": "/live",
        "to a client: match keys, 90 days": "/match-keys?days=90",
        "to a client: dead letters and held": "/dead",
    }
    return {name: (ADMIN, path) for name, path in by_admin.items()} | {
        name: (CLIENT, path) for name, path in by_client.items()
    }


async def measured(
    folder: Path, stores: Mapping[str, Path], times: int
) -> Mapping[str, Mapping[str, Sequence[tuple[float, float]]]]:
    """Return milliseconds by page and store, by the clock and of the processor.

    The stores take turns.
    """
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    rigs = {name: await opened(folder / f"{name}.toml", path) for name, path in stores.items()}
    seconds = await counted(rigs["full"])
    print(f"the deduplication report was counted in {seconds:.1f} s", file=sys.stderr)
    for _ in range(times + 1):
        for store, rig in rigs.items():
            for name, (who, path) in pages(rig.settled).items():
                began, spent = time.perf_counter(), time.process_time()
                url = f"{rig.gateway.url}/console{path}"
                async with rig.visitors[who].get(url) as answer:
                    await answer.read()
                took = time.perf_counter() - began, time.process_time() - spent
                if answer.status != 200:
                    raise SystemExit(f"{name} answered {answer.status}")
                if "by its id" in name and "/live/" not in answer.url.path:
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


async def opened(config: Path, store: Path) -> ConsoleRig:
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
    db = sqlite3.connect(store)
    settled = db.execute("SELECT coalesce(max(id), 0) FROM conversion").fetchone()[0]
    db.close()
    visitors = {name: await signed_in(gateway, name) for name in (ADMIN, CLIENT)}
    return ConsoleRig(gateway=gateway, visitors=visitors, settled=settled)


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
    print(f"{'page':36}{'bare':>8}{'full':>8}{'slowest':>9}{'processor':>11}")
    slow = 0
    for name, by_store in found.items():
        bare, full = (
            1_000 * statistics.median(took for took, _ in by_store[store])
            for store in ("bare", "full")
        )
        slowest = 1_000 * max(took for took, _ in by_store["full"])
        spent = 1_000 * statistics.median(spent for _, spent in by_store["full"])
        slow += full >= LIMIT
        print(f"{name:36}{bare:8.1f}{full:8.1f}{slowest:9.1f}{spent:11.1f}")
    print(f"{len(found) - slow} of {len(found)} pages in less than {LIMIT} ms")
    return int(slow > 0)


if __name__ == "__main__":
    sys.exit(main())
