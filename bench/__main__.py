"""`make bench`: ratios, measured side by side in one run on the machine at hand.

    make bench                                       all figures, about twenty-five minutes
    make bench ARGS=--quick                          without a store of millions, about three
    make bench ARGS="--only single --only hundred"   two of them
    make bench ARGS="--only delivery --only start --queued 1000000"
    make bench ARGS=--console                        the console's pages, on a full store
    make bench ARGS="--only peer --peer 'node server.js --port {port}'"

Each figure is the median of several runs, the sides taken in turn, by the clock and by CPU time.
CPU time changes less on a busy machine. Everything runs on loopback, in processes of its own: the
load generator, the gateway, and an X emulator whose checks are switched off, so that the emulator
is not what is measured.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from bench import console
from bench.figures import FIGURES, Bench
from bench.orders import SHAPES
from bench.verdict import verdict

_PEER = """starts another server, for the figure `peer`. {port} in the command, and the environment
variable PORT, are the port on 127.0.0.1 that the server must listen on. The server must answer
POST /v1/conversions with 200, 201, 202 or 204. The body is a JSON object: a conversion
(bench/orders.py), or {"conversions": [...]} with a hundred. CPU time includes child processes"""

_LONG = ("settled", "keys", "pruning", "results", "exports", "what-if")


def parser() -> argparse.ArgumentParser:
    asked = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    asked.add_argument("--only", action="append", choices=FIGURES, metavar="FIGURE",
                       help=f"measure one figure: {', '.join(FIGURES)} (repeatable)")  # fmt: skip
    asked.add_argument("--shape", action="append", choices=SHAPES, metavar="SHAPE",
                       help="measure a shape beside the usual one (repeatable)")  # fmt: skip
    asked.add_argument("--quick", action="store_true", help=f"leave out {', '.join(_LONG)}")
    asked.add_argument("--runs", type=int, default=3)
    asked.add_argument("--seconds", type=float, default=5.0,
                       help="how long a run lasts; at least 90 seconds for `results`")  # fmt: skip
    asked.add_argument("--settled", type=int, default=5_000_000)
    asked.add_argument("--keys", type=int, default=10_000_000)
    asked.add_argument("--pruned", type=int, default=1_000_000)
    asked.add_argument("--queued", type=int, default=100_000)
    asked.add_argument("--stored", type=int, default=1_000_000)
    asked.add_argument("--peer", metavar="COMMAND", help=_PEER.replace("%", "%%"))
    asked.add_argument("--console", action="store_true",
                       help="measure the console's pages, on --settled conversions")  # fmt: skip
    asked.add_argument("--json", action="store_true")
    return asked


def main() -> int:
    chosen = parser().parse_args()
    if chosen.console:
        return console.run(chosen.settled, store=None, times=15)
    names = chosen.only or [
        name for name in FIGURES if name != "peer" and not (chosen.quick and name in _LONG)
    ]
    if chosen.peer and "peer" not in names:
        names.append("peer")
    if "peer" in names and not chosen.peer:
        parser().error("the figure `peer` needs --peer COMMAND")
    with tempfile.TemporaryDirectory(prefix="twite-bench-") as folder:
        bench = Bench(Path(folder), chosen)
        for name in names:
            FIGURES[name](bench)
    if chosen.json:
        found = {side: [sample._asdict() for sample in samples]
                 for side, samples in bench.samples.items()}  # fmt: skip
        print(json.dumps({"samples": found, "memory": bench.memory, "starts": bench.starts}))
    else:
        print(verdict(bench))
    return 0


if __name__ == "__main__":
    sys.exit(main())
