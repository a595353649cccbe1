"""`make bench`: ratios, taken side by side in one run on the machine at hand.

    make bench                    about ten minutes
    make bench ARGS=--quick       without the store of five million, about two

Each figure is the median of several runs, the sides taken in turn. Everything runs on loopback, in
processes of its own: the load generator, the gateway, the emulator (its checks switched off, so
that it is not what is measured).
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

from bench import fill, raw
from bench.house import House, bare, deliver, ingest, posted, sdk
from bench.verdict import verdict

SETTLED = 5_000_000


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--quick", action="store_true")
    asked.add_argument("--runs", type=int, default=3)
    asked.add_argument("--seconds", type=float, default=5.0)
    asked.add_argument("--settled", type=int, default=SETTLED)
    asked.add_argument("--queued", type=int, default=100_000)
    asked.add_argument("--json", action="store_true")
    chosen = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix="twite-bench-") as folder:
        found = measure(Path(folder), chosen)
    if chosen.json:
        print(json.dumps(found, indent=2))
    else:
        print(verdict(found, chosen))
    return 0


def measure(folder: Path, chosen: argparse.Namespace) -> dict[str, float]:
    found: dict[str, float] = {}
    say("raw SQLite, 100 a commit")
    found["raw"] = raw.rate(folder)
    sizes = [0] if chosen.quick else [0, chosen.settled]
    singles: dict[str, list[float]] = {}
    for size in sizes:
        say(f"a store with {size:,} settled conversions")
        made = folder / f"settled-{size}.db"
        fill.make(made, settled=size, queued=0, first=0)
        for run in range(chosen.runs):
            for side, each, connections in (
                ("bare", 1, 64),
                ("single", 1, 64),
                ("hundred", 100, 16),
                ("sending", 100, 16),
            ):
                if side == "bare" and size:
                    continue
                say(f"  {side}, run {run + 1}")
                with House(folder, store=made, sending=side == "sending") as house:
                    took = (
                        bare(chosen.seconds)
                        if side == "bare"
                        else ingest(house, each, connections, chosen.seconds)
                    )
                    singles.setdefault(f"{side}-{size}", []).append(took["conversions_per_second"])
                    singles.setdefault(f"{side}-{size}-p99", []).append(took["p99_ms"])
                    singles.setdefault("memory", []).append(house.peak_memory())
        say("  delivery")
        for _ in range(chosen.runs):
            with House(folder, store=made, queued=chosen.queued) as house:
                singles.setdefault(f"deliver-{size}", []).append(deliver(house, chosen.queued))
                singles.setdefault("memory", []).append(house.peak_memory())
    say("the official SDK, one conversion a request; ready-made batches in a loop")
    with House(folder, store=None) as house:
        for _ in range(chosen.runs):
            singles.setdefault("sdk", []).append(sdk(house, chosen.seconds))
            singles.setdefault("loop", []).append(posted(house, chosen.seconds))
    found |= {name: statistics.median(values) for name, values in singles.items()}
    found["memory"] = max(singles["memory"])
    return found


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
