"""A seeded simulator: the whole gateway in one thread, with virtual time, a fake X and crashes.

    python -m simulator.simulator --seed 123 --days 10 -v

runs one scenario; `--seeds 0:1000` runs many. What is checked: `simulator_checks.CHECKS`.
`--store module:Class` uses another store: `open(path)` opens it, `close()` stops it cleanly, and
the simulator simulates a crash by opening a copy of its files.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from simulator.checks import Finding
from simulator.clock import TrialClock
from simulator.files import FileStoreData
from simulator.scenario import SeededScenario
from simulator.store import MemoryStoreData, StoreData
from simulator.world import World

_COMMAND: Final = "python -m simulator.simulator"


class SimulationResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one scenario. `command` runs it again."""

    seed: int
    findings: tuple[Finding, ...]
    known: tuple[Finding, ...]
    conversions: int
    requests: int
    copies: int
    processes: int
    command: str


def play(
    seed: int,
    *,
    days: float = 10,
    store: str | None = None,
    exact: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> SimulationResult:
    """Play one scenario. `store` is `module:Class`, or None for the memory store."""
    clock = TrialClock(exact=exact)
    return asyncio.run(_play(seed, days, store, clock, tell))


async def _play(
    seed: int, days: float, store: str | None, clock: TrialClock, tell: Callable[[str], None]
) -> SimulationResult:
    store_data: StoreData = MemoryStoreData() if store is None else FileStoreData(store)
    world = World(
        scenario=SeededScenario(seed, days=days, elapsed=clock.elapsed),
        store_data=store_data,
        clock=clock,
        tell=tell,
    )
    try:
        await world.play()
    finally:
        await store_data.close()
    judge = world.judge
    more = ["" if store is None else f" --store {store}", " --exact" if clock.exact else ""]
    return SimulationResult(
        seed=seed,
        findings=tuple(judge.findings),
        known=tuple(judge.known),
        conversions=len(judge.truths),
        requests=judge.requests,
        copies=judge.copies,
        processes=world.spans,
        command=f"{_COMMAND} --seed {seed} --days {days:g}{''.join(more)} -v",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the scenarios of the command line; return 1 if a check failed."""
    parser = argparse.ArgumentParser(prog=_COMMAND)
    parser.add_argument("--seed", type=int, help="one scenario")
    parser.add_argument("--seeds", help="several, such as 0:1000")
    parser.add_argument("--days", type=float, default=10, help="virtual days")
    parser.add_argument("--store", help="module:Class of a store on files; default: in memory")
    parser.add_argument("--exact", action="store_true", help="skip none of the looks for nothing")
    parser.add_argument("-v", "--verbose", action="store_true", help="print each step")
    given = parser.parse_args(arguments)
    first, last = 0, 10
    if given.seeds:
        first, last = (int(part) for part in given.seeds.split(":"))
    seeds = range(first, last) if given.seed is None else [given.seed]
    tell: Callable[[str], None] = print if given.verbose else _ignore
    began = time.monotonic()
    results = [
        _print_findings(
            play(seed, days=given.days, store=given.store, exact=given.exact, tell=tell)
        )
        for seed in seeds
    ]
    failed = [result for result in results if result.findings]
    sys.stdout.write(
        f"{len(results)} scenarios of {given.days:g} virtual days "
        f"in {time.monotonic() - began:.1f} s: "
        f"{sum(result.conversions for result in results)} conversions, "
        f"{sum(result.requests for result in results)} requests of "
        f"{sum(result.copies for result in results)} copies, "
        f"{sum(result.processes for result in results)} processes; {len(failed)} failed, "
        f"{sum(bool(result.known) for result in results)} met what is known not to hold\n"
    )
    return 1 if failed else 0


def _print_findings(played: SimulationResult) -> SimulationResult:
    for finding in played.findings:
        sys.stdout.write(f"seed {played.seed}: {finding}\n")
    if played.findings:
        sys.stdout.write(f"  {played.command}\n")
    return played


def _ignore(_: str) -> None:
    """Tell nothing."""


if __name__ == "__main__":
    sys.exit(main())
