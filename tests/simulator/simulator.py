"""A seeded simulator: the whole gateway in one thread, with virtual time, a fake X and crashes.

    python -m simulator.simulator --seed 123 --days 10 -v

runs one story; `--seeds 0:1000` runs many. What is checked: `simulator_checks.CHECKS`.
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
from simulator.files import FileGround
from simulator.store import Ground, MemoryGround
from simulator.story import Story
from simulator.world import World

_COMMAND: Final = "python -m simulator.simulator"


class Played(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one story. `command` runs it again."""

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
) -> Played:
    """Play one story. `store` is `module:Class`, or None for the memory store."""
    clock = TrialClock(exact=exact)
    return asyncio.run(_play(seed, days, store, clock, tell))


async def _play(
    seed: int, days: float, store: str | None, clock: TrialClock, tell: Callable[[str], None]
) -> Played:
    ground: Ground = MemoryGround() if store is None else FileGround(store)
    world = World(
        plot=Story(seed, days=days, elapsed=clock.elapsed), ground=ground, clock=clock, tell=tell
    )
    try:
        await world.play()
    finally:
        await ground.close()
    judge = world.judge
    more = ["" if store is None else f" --store {store}", " --exact" if clock.exact else ""]
    return Played(
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
    """Run the stories of the command line; return 1 if a check failed."""
    parser = argparse.ArgumentParser(prog=_COMMAND)
    parser.add_argument("--seed", type=int, help="one story")
    parser.add_argument("--seeds", help="several, such as 0:1000")
    parser.add_argument("--days", type=float, default=10, help="virtual days")
    parser.add_argument("--store", help="module:Class of a store on files; default: in memory")
    parser.add_argument("--exact", action="store_true", help="skip none of the looks for nothing")
    parser.add_argument("-v", "--verbose", action="store_true", help="tell the story")
    given = parser.parse_args(arguments)
    first, last = 0, 10
    if given.seeds:
        first, last = (int(part) for part in given.seeds.split(":"))
    seeds = range(first, last) if given.seed is None else [given.seed]
    tell: Callable[[str], None] = print if given.verbose else _ignore
    began = time.monotonic()
    stories = [
        _told(play(seed, days=given.days, store=given.store, exact=given.exact, tell=tell))
        for seed in seeds
    ]
    failed = [story for story in stories if story.findings]
    sys.stdout.write(
        f"{len(stories)} stories of {given.days:g} virtual days "
        f"in {time.monotonic() - began:.1f} s: "
        f"{sum(story.conversions for story in stories)} conversions, "
        f"{sum(story.requests for story in stories)} requests of "
        f"{sum(story.copies for story in stories)} copies, "
        f"{sum(story.processes for story in stories)} processes; {len(failed)} failed, "
        f"{sum(bool(story.known) for story in stories)} met what is known not to hold\n"
    )
    return 1 if failed else 0


def _told(played: Played) -> Played:
    for finding in played.findings:
        sys.stdout.write(f"seed {played.seed}: {finding}\n")
    if played.findings:
        sys.stdout.write(f"  {played.command}\n")
    return played


def _ignore(_: str) -> None:
    """Tell nothing."""


if __name__ == "__main__":
    sys.exit(main())
