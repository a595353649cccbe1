"""`python -m bench.counting`: what taking in pays for what the console counts.

Accept and a store on disk, in one process, once as they are and once with the counting cut out, in
turns: match keys and their defects, amounts, and what came in by minute. Printed is processor
time for a conversion, since a busy machine does not change that; the ratio is of medians.

    python -m bench.counting                      requests of one, 64 at a time
    python -m bench.counting --profile            where the time goes, as the profiler sees it
"""

import argparse
import asyncio
import cProfile
import pstats
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from unittest.mock import patch

from bench import fill
from bench.orders import bodies
from twite.domain.destination import Destination, PixelToken, Source
from twite.domain.secret import Secret
from twite.domain.stats.value_guard import ValueGuard
from twite.domain.times import DAY
from twite.gateway.ingest.accept import Accept
from twite.gateway.ingest.value_guard import ValueGuards
from twite.gateway.ports.store import StoreOptions
from twite.machine.system import SystemClock, SystemRandomness
from twite.stores.sql.tallies import TallyWriter
from twite.stores.sqlite import SQLiteStore

AT_ONCE = 64


def parser() -> argparse.ArgumentParser:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--conversions", type=int, default=20_000)
    asked.add_argument("--turns", type=int, default=7)
    asked.add_argument("--profile", action="store_true")
    return asked


def main() -> int:
    chosen = parser().parse_args()
    for each in (1, 100):
        with tempfile.TemporaryDirectory(prefix="twite-bench-") as folder:
            took = asyncio.run(measured(Path(folder), each, chosen))
        if not chosen.profile:
            printed(each, took)
    return 0


async def measured(folder: Path, each: int, chosen: argparse.Namespace) -> dict[str, list[float]]:
    """Return microseconds for a conversion, by side, turn by turn."""
    took: dict[str, list[float]] = {"counted": [], "not counted": []}
    many = chosen.conversions // each
    first = 0
    options = StoreOptions(dedup_window=7 * DAY)
    stores = {side: await SQLiteStore.open(folder / f"{side}.db", options) for side in took}
    accepts = {
        "counted": accepting(stores["counted"], ValueGuards()),
        "not counted": accepting(
            stores["not counted"], ValueGuards(pixels={fill.PIXEL: ValueGuard.OFF})
        ),
    }
    for turn in range(chosen.turns + 1):
        ready = list(bodies(first, many, each))
        first += many * each
        for side in took if turn % 2 else reversed(took):
            with uncounted() if side == "not counted" else nullcontext():
                if chosen.profile:
                    await profiled(accepts[side], ready, side, shown=turn == chosen.turns)
                    continue
                began = time.process_time()
                await submitted(accepts[side], ready)
                spent = time.process_time() - began
            if turn:
                took[side].append(spent / (many * each) * 1_000_000)
    for store in stores.values():
        await store.close()
    return took


def accepting(store: SQLiteStore, guards: ValueGuards) -> Accept:
    destination = Destination(
        pixel=fill.PIXEL,
        credentials=PixelToken(token=Secret(fill.TOKEN)),
        events={"purchase": "o8z6k"},
    )
    return Accept(
        intake=store,
        clock=SystemClock(),
        randomness=SystemRandomness(),
        destinations={fill.PIXEL: destination},
        salt=store.salt,
        wake=lambda _pixel: None,
        guards=guards,
    )


async def submitted(accept: Accept, ready: Sequence[bytes]) -> None:
    """Submit them, so many at once as connections would."""
    source = Source(
        name="shop", key=None, pixel=fill.PIXEL, pixels=frozenset({fill.PIXEL}), region="GB"
    )
    left = iter(ready)

    async def connection() -> None:
        for body in left:
            await accept.native(source=source, body=body)

    await asyncio.gather(*(connection() for _ in range(AT_ONCE)))


@contextmanager
def uncounted() -> Iterator[None]:
    """Cut out what the console counts."""
    with ExitStack() as cut:
        nothing = lambda *_args, **_more: None  # noqa: E731
        for name in ("flow", "write"):
            cut.enter_context(patch.object(TallyWriter, name, nothing))
        cut.enter_context(patch("twite.formats.native.conversion.flaws_of", lambda *_, **__: ()))
        cut.enter_context(patch("twite.gateway.ingest.submissions.flawed", lambda _: ()))
        cut.enter_context(patch("twite.gateway.ingest.entries.key_set_of", nothing))
        yield


async def profiled(accept: Accept, ready: Sequence[bytes], side: str, *, shown: bool) -> None:
    profile = cProfile.Profile()
    profile.enable()
    await submitted(accept, ready)
    profile.disable()
    if shown:
        print(side)
        pstats.Stats(profile, stream=sys.stdout).sort_stats("tottime").print_stats(25)


def printed(each: int, took: dict[str, list[float]]) -> None:
    counted, plain = (statistics.median(took[side]) for side in ("counted", "not counted"))
    print(
        f"requests of {each:3}: {counted:5.1f} µs a conversion counted, {plain:5.1f} not counted: "
        f"{counted / plain:.3f}"
    )


if __name__ == "__main__":
    sys.exit(main())
