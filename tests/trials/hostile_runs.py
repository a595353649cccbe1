"""Runs generated hostile templates in child processes, and counts what they do to their process.

    .venv/bin/python tests/trials/hostile_runs.py --seed 7 --runs 2000
    .venv/bin/python tests/trials/hostile_runs.py --seed 7 --only 1234   # one of them, cut down

A child has the real engine and the hardened sandbox, and goes on until it dies or does not come
back; then the next one goes on behind the run that it was at. Limits are drawn with the code: of
memory there is often so little left that it runs out at some allocation of the turn.
"""

import argparse
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Final

import msgspec
from hostile_grammar import program, sweep

HERE = Path(__file__).resolve().parent
BEYOND: Final = 3.0  # seconds of CPU, after which a gateway leaves the thread behind
LOST: Final = 12.0  # seconds of CPU, after which a child is given up
SWEEP: Final = "sweep"  # the seed of the runs in which memory runs out everywhere
LEAK: Final = 64 * 1024  # bytes; of which a run is asked whether it leaves them each time
# Where memory runs out inside it the engine loses some for good: docs/reference/templates.md.
MOST_LEFT: Final = 32 * 1024 * 1024


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What one run is given. `room` is what memory there is for the turn, or None for all of it."""

    time: float = 0.1
    stack: int = 256 * 1024
    room: int | None = None


class Told(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a child tells of one run.

    `took` is the CPU of its longest turn, `held` how long of that Python was not let go, `changed`
    what a harmless run said after it, if not the same as before, `left` bytes that stay taken.
    """

    run: int
    outcome: str
    took: float = 0.0
    held: float = 0.0
    changed: str = ""
    left: int = 0


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One run that did harm: how, and how to have it again."""

    run: int
    harm: str
    settings: Settings
    code: str


class Tally:
    """What all runs came to."""

    def __init__(self) -> None:
        self.runs = 0
        self.outcomes: dict[str, int] = {}
        self.longest = self.most_held = 0.0
        self.left: list[int] = []  # bytes that each run left to the process
        self.findings: list[Finding] = []

    def hear(self, seed: str, told: Told) -> None:
        """Count one run that its child came back from."""
        self.runs += 1
        self.outcomes[told.outcome] = self.outcomes.get(told.outcome, 0) + 1
        self.longest = max(self.longest, told.took)
        self.most_held = max(self.most_held, told.held)
        self.left.append(told.left)
        limit = settings(seed, told.run).time
        for harm, is_so in (
            (f"took {told.took:.1f} s", told.took > limit + BEYOND),
            (f"held all of Python for {told.held:.1f} s", told.held > 0.5),
            (f"changed what comes after it: {told.changed}", bool(told.changed)),
            (f"left {told.left:,} bytes", told.left > MOST_LEFT),
        ):
            if is_so:
                self.find(seed, told.run, harm)

    def find(self, seed: str, run: int, harm: str) -> None:
        """Keep a run that did harm."""
        self.findings.append(
            Finding(run=run, harm=harm, settings=settings(seed, run), code=code(seed, run))
        )

    @property
    def leaks(self) -> int:
        """Return how many runs left memory behind."""
        return sum(left > LEAK for left in self.left)


def settings(seed: str, run: int) -> Settings:
    """Return the limits of a run."""
    if seed == SWEEP:
        return Settings(time=2.0, room=300_000 + 16 * (run % 4))
    random = Random(f"{seed}:{run}:limits")
    return Settings(
        time=random.choice((0.1, 0.1, 0.02, 0.003)),
        stack=random.choice((256, 256, 256, 128, 96)) * 1024,
        room=random.choice((None, *(int(2 ** random.uniform(*of)) for of in ((7, 21), (10, 17))))),
    )


def code(seed: str, run: int) -> str:
    """Return the template's code of a run."""
    return sweep(run) if seed == SWEEP else program(f"{seed}:{run}")


def run_all(seed: str, runs: range, *, command: tuple[str, ...] = (sys.executable,)) -> Tally:
    """Have children run these, one child after the other."""
    tally = Tally()
    at = runs.start
    while at < runs.stop:
        at = _one_child(seed, range(at, runs.stop), command, tally)
    return tally


def _one_child(seed: str, runs: range, command: tuple[str, ...], tally: Tally) -> int:
    """Run as many as one child will; return where to go on."""
    child = subprocess.Popen(
        [*command, str(HERE / "hostile_child.py"), seed, str(runs.start), str(runs.stop)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    at = runs.start
    try:
        for line in _lines(child):
            if line is None:
                tally.find(seed, at, "did not come back")
                return at + 1
            told = msgspec.json.decode(line, type=Told)
            tally.hear(seed, told)
            at = told.run + 1
        status = child.wait()
        if status == 0 or at >= runs.stop:
            return runs.stop
        words = child.stderr.read().decode(errors="replace")
        tally.find(seed, at, f"ended its process ({status}) {words[-3000:]}")
        return at + 1
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
        child.stderr.close()


def _lines(child: subprocess.Popen[bytes]) -> Iterator[bytes | None]:
    """Yield the lines that a child writes, and None once it burns CPU without writing any."""
    burned, buffer = 0.0, b""
    os.set_blocking(child.stdout.fileno(), False)
    while True:
        ready, _, _ = select.select([child.stdout], [], [], 1.0)
        if not ready:
            if _burned(child.pid) - burned > LOST:
                yield None
            continue
        read = child.stdout.read()
        if not read:
            return
        *lines, buffer = (buffer + read).split(b"\n")
        burned = _burned(child.pid)
        yield from lines


def _burned(pid: int) -> float:
    """Return the seconds of CPU that a process has taken."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cut_down(found: Finding, *, command: tuple[str, ...] = (sys.executable,)) -> str:
    """Return as few lines of the code as still do the same harm."""
    lines, kind = found.code.split("\n"), found.harm.split(" ")[0]
    size = max(1, len(lines) // 2)
    while size:
        at = 0
        while at < len(lines):
            fewer = lines[:at] + lines[at + size :]
            if harm_of("\n".join(fewer), found.settings, command).startswith(kind):
                lines = fewer
            else:
                at += size
        size //= 2
    return "\n".join(lines)


def harm_of(text: str, limits: Settings, command: tuple[str, ...] = (sys.executable,)) -> str:
    """Run code by itself; return the harm it does, or nothing."""
    given = json.dumps({"code": text, "settings": msgspec.to_builtins(limits)})
    tally = Tally()
    with subprocess.Popen(
        [*command, str(HERE / "hostile_child.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as child:
        child.stdin.write(given.encode())
        child.stdin.close()
        for line in _lines(child):
            if line is None:
                child.kill()
                return "did not come back"
            tally.hear("", msgspec.json.decode(line, type=Told))
        if child.wait() != 0:
            return f"ended its process ({child.returncode})"
    return tally.findings[0].harm if tally.findings else ""


def main() -> int:
    """Run from the command line; say what was found, the code cut down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--only", type=int)
    parser.add_argument(
        "--python", default=sys.executable, help="another interpreter, or a wrapper"
    )
    given = parser.parse_args()
    runs = range(given.runs) if given.only is None else range(given.only, given.only + 1)
    began = time.monotonic()
    tally = run_all(given.seed, runs, command=(given.python,))
    print(f"{tally.runs} runs in {time.monotonic() - began:.0f} s: {tally.outcomes}")
    print(f"{tally.leaks} left memory, {max(tally.left, default=0):,} bytes at most")
    print(f"longest turn {tally.longest:.2f} s of CPU; Python held for {tally.most_held:.2f} s")
    for finding in tally.findings:
        print(f"\n--seed {given.seed} --only {finding.run}: {finding.harm}\n{finding.settings}")
        print(
            cut_down(finding, command=(given.python,)) if given.only is not None else finding.code
        )
    return 1 if tally.findings else 0


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    sys.exit(main())
