"""Runs generated hostile templates in engine processes, and counts what they do.

    .venv/bin/python tests/trials/tags/hostile_runs.py --seed 7 --runs 1000000 --each 50
    .venv/bin/python tests/trials/tags/hostile_runs.py --seed 7 --only 1234   # a program, cut down

This process stands for the gateway: it runs the gateway's side of the engine processes, and must
survive all their failures. Limits are random, too: often so little memory is left that an
allocation fails during a turn.
"""

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Final

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "tags" / "engines")]

import msgspec  # noqa: E402  after the path
from hostile_grammar import program, sweep  # noqa: E402
from template_stage import call, template  # noqa: E402

from twite.domain.incoming_request import IncomingRequest  # noqa: E402
from twite.tags.engines.context_limits import TOO_LONG  # noqa: E402
from twite.tags.engines.process.engine_process import QuickJsProcess  # noqa: E402
from twite.tags.engines.process.engine_server import EngineServer  # noqa: E402
from twite.tags.engines.quickjs.engine import QuickJsEngine  # noqa: E402
from twite.tags.ports.engines import EngineLost  # noqa: E402
from twite.tags.template.sandbox import EffectAnswer, RunLimits, Turn  # noqa: E402
from twite.tags.template.template import Template, TemplateUnusable  # noqa: E402

SWEEP: Final = "sweep"  # the seed for runs in which memory runs out at every possible point
HONEST = (HERE / "hostile_honest.js").read_text()
GIVEN = {
    "fields": {"field": "value", "list": [1, 2]},
    "event": {"event_name": "x", "items": [{"a": 1}]},
}
REQUEST = IncomingRequest(
    path="/g/collect", query="v=2&tid=1&a=1&a=2", headers=(("x", "y"),), body="{}"
)
EACH: Final = 20  # runs of a program, with other random numbers and answers
_AT_ONCE: Final = 2
_CHUNK: Final = 20  # programs
_ENDLESS: Final = 5  # consecutive runs that took too long: the program is skipped
_LONGEST: Final = 200.0  # wall-clock seconds for one run


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of one run. `room` is the memory for the turn, or None for all of it."""

    time: float = 0.1
    stack: int = 256 * 1024
    room: int | None = None


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A harmful run: what happened, and how to repeat it."""

    run: int
    harm: str
    settings: Settings
    code: str


class Tally:
    """The results of all programs, and how often they ran."""

    def __init__(self) -> None:
        self.programs = 0
        self.runs = 0
        self.outcomes: Counter[str] = Counter()
        self.findings: list[Finding] = []

    @property
    def ended(self) -> int:
        """Return how many processes ended during a run for a reason other than a limit."""
        return sum(count for outcome, count in self.outcomes.items() if "process" in outcome)

    @property
    def crashes(self) -> int:
        """Return how many processes ended by a signal that Twite did not send."""
        return sum(count for outcome, count in self.outcomes.items() if "ended by SIG" in outcome)


def settings(seed: str, run: int) -> Settings:
    """Return the limits of a run."""
    if seed == SWEEP:
        return Settings(time=2.0, room=300_000 + 16 * (run % 4))
    random = Random(f"{seed}:{run}:limits")
    return Settings(
        time=random.choice((0.03, 0.01, 0.01, 0.003)),
        stack=random.choice((256, 256, 256, 128, 96)) * 1024,
        room=random.choice((None, *(int(2 ** random.uniform(*of)) for of in ((7, 21), (10, 17))))),
    )


def code(seed: str, run: int) -> str:
    """Return the template's code of a run."""
    return sweep(run) if seed == SWEEP else program(f"{seed}:{run}")


def run_all(seed: str, programs: Iterable[int], *, each: int = EACH) -> Tally:
    """Run each of these programs `each` times, and return the results."""
    return asyncio.run(_run_all(seed, iter(programs), each))


async def _run_all(seed: str, programs: Iterable[int], each: int) -> Tally:
    tally, server = Tally(), EngineServer()
    before = await _unharmed(server)

    async def go_through() -> None:
        for run in programs:
            limits, text = settings(seed, run), code(seed, run)
            outcomes, harm = await ran(server, text, limits, before, each)
            tally.programs += 1
            tally.runs += outcomes.total()
            tally.outcomes += outcomes
            if harm:
                tally.findings.append(Finding(run=run, harm=harm, settings=limits, code=text))

    await asyncio.gather(*(go_through() for _ in range(_AT_ONCE)))
    await server.stop()
    return tally


async def _unharmed(server: EngineServer) -> str:
    process = server.process(RunLimits())
    try:
        return await _honest(process, template(HONEST))
    finally:
        process.stop()


async def ran(
    server: EngineServer, text: str, limits: Settings, before: str, each: int
) -> tuple[Counter[str], str]:
    """Run one program; return how its runs ended, and the harm that it did."""
    hostile = template(HONEST + text)
    outcomes: Counter[str] = Counter()
    process, endless = None, 0
    try:
        process = server.process(_limits_of(hostile, limits))
        for seed in range(1, each + 1):
            async with asyncio.timeout(_LONGEST):
                outcome = await _one(process, hostile, seed)
            outcomes[outcome] += 1
            endless = endless + 1 if outcome.startswith(TOO_LONG) else 0
            if "process" in outcome or endless == _ENDLESS:
                break  # it would again
        is_usual = limits.stack == Settings().stack and limits.time > 0.005
        if is_usual and limits.room is None:
            after = await _honest(process, hostile)
            if after != before:
                return outcomes, f"changed what comes after it: {after[:2_000]}"
    except TemplateUnusable as unusable:
        outcomes[f"unusable: {unusable.message}"[:80]] += 1
    except TimeoutError:
        return outcomes, "did not come back"
    finally:
        if process is not None:
            process.stop()
    return outcomes, ""


def _limits_of(hostile: Template, limits: Settings) -> RunLimits:
    usual = RunLimits(time=limits.time, stack=limits.stack)
    if limits.room is None:
        return usual
    held = QuickJsEngine(hostile).memory()  # it loads the code without running it
    return msgspec.structs.replace(usual, memory=held + limits.room)


async def _honest(process: QuickJsProcess, hostile: Template) -> str:
    """Return the output of a harmless run."""
    said = call(**GIVEN | {"fields": {"honest": True}}, request=REQUEST)
    turn = await process.start(hostile, said)
    return repr(msgspec.structs.replace(turn, run=0, took=0.0))


async def _one(process: QuickJsProcess, hostile: Template, seed: int) -> str:
    """Run a template, answering its requests; return how it ended."""
    try:
        turn = await process.start(hostile, call(**GIVEN, seed=seed, request=REQUEST))
        for answered in range(5):
            if turn.done:
                break
            now = call().now + 2_000 * (seed + answered)
            turn = await process.resume(turn.run, _answers(turn, seed + answered), now=now)
    except EngineLost as lost:
        return str(lost)
    process.end(turn.run)
    return _outcome(turn)


def _answers(turn: Turn, seed: int) -> tuple[EffectAnswer, ...]:
    return tuple(
        EffectAnswer(id=at, status=200, headers={"a": "b"}, body='{"a":[1]}', value=[{"b": 1}])
        if (at + seed) % 3
        else EffectAnswer(id=at, reason="timed_out")
        for at in turn.waiting
    )


def _outcome(turn: Turn) -> str:
    if turn.error is None:
        return "done" if turn.done else "waits"
    return turn.error.partition(". ")[0] if turn.spent else "error"


def harm_of(text: str, limits: Settings) -> str:
    """Run code alone; return its harm, or that its process ended, or nothing."""

    async def alone() -> str:
        server = EngineServer()
        outcomes, harm = await ran(server, text, limits, await _unharmed(server), EACH)
        await server.stop()
        return harm or next((outcome for outcome in outcomes if "process" in outcome), "")

    return asyncio.run(alone())


def cut_down(text: str, limits: Settings) -> str:
    """Return the fewest lines of the code that do the same harm."""
    lines, kind = text.split("\n"), harm_of(text, limits)[:30]
    size = max(1, len(lines) // 2)
    while size and kind:
        at = 0
        while at < len(lines):
            fewer = lines[:at] + lines[at + size :]
            if harm_of("\n".join(fewer), limits).startswith(kind):
                lines = fewer
            else:
                at += size
        size //= 2
    return "\n".join(lines)


def _run_in_processes(seed: str, programs: range, each: int, processes: int) -> Tally:
    """Run the programs in this many processes, each standing for a gateway."""
    total = Tally()
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        chunks = [programs[at : at + _CHUNK] for at in range(0, len(programs), _CHUNK)]
        for done in as_completed(pool.submit(run_all, seed, part, each=each) for part in chunks):
            tally = done.result()
            total.programs += tally.programs
            total.runs += tally.runs
            total.outcomes += tally.outcomes
            total.findings += tally.findings
            found = f"{total.crashes} crashes, {len(total.findings)} findings"
            print(f"{total.runs:,} runs, {found}", flush=True)
    return total


def main() -> int:
    """Run from the command line; print the findings; reduce a single run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--each", type=int, default=EACH, help="runs of a program")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--only", type=int)
    given = parser.parse_args()
    if given.only is not None:
        text, limits = code(given.seed, given.only), settings(given.seed, given.only)
        print(f"{harm_of(text, limits)}\n{limits}\n{cut_down(text, limits)}")
        return 0
    began = time.monotonic()
    programs = range(-(-given.runs // given.each))
    if given.processes == 1:
        tally = run_all(given.seed, programs, each=given.each)
    else:
        tally = _run_in_processes(given.seed, programs, given.each, given.processes)
    took = time.monotonic() - began
    print(f"{tally.runs:,} runs of {tally.programs:,} programs in {took:.0f} s")
    print(f"{tally.ended} processes ended in a run, {tally.crashes} of them by a fault")
    for outcome, count in tally.outcomes.most_common(20):
        print(f"{count:9,}  {outcome}")
    for finding in tally.findings:
        print(f"\n--seed {given.seed} --only {finding.run}: {finding.harm}\n{finding.code}")
    return 1 if tally.findings else 0


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
