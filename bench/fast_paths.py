"""`python -m bench.fast_paths`: what each fast path saves, in CPU time per conversion.

Each turn runs a gateway with all fast paths, and then one without each: intake of requests with 1
and with 100 conversions, or delivery in requests of 1 and of 100 to X. On PostgreSQL, claims and
settlements are measured alone, with the server's CPU time. The figures are medians.

    PYTHONPATH=tests python -m bench.fast_paths                          all
    PYTHONPATH=tests python -m bench.fast_paths direct_heads --turns 3   one

With `--without NAME`, the other arguments are those of `twite`, run without that fast path.
"""

import argparse
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import uvloop

from bench import fill, postgres
from bench.figures import Bench, rest
from bench.rig import Rig, fresh
from twite.cli import main as serve
from twite.http.application import HttpApplication

if TYPE_CHECKING:
    from postgres_server import PostgresServer

_SIZES = {1: 64, 100: 16}  # conversions in a request: connections
_QUEUED = {1: 2_000, 100: 100_000}  # conversions in a request to X: backlog
_construct = HttpApplication.__init__


def _nothing(*_args: object, **_more: object) -> None:
    return None


def _without_direct(self: HttpApplication, *args: Any, **more: Any) -> None:
    _construct(self, *args, **more)
    self.direct = None


# What replaces each fast path, or the part of it that other code calls.
INTAKE = {
    "direct": {"twite.http.application.HttpApplication.__init__": _without_direct},
    "direct_heads": {"twite.http.direct_heads.DirectHeads.remember": _nothing},
    "read_typical": {"twite.formats.native.read.read_typical": _nothing},
    "key_filters": {
        "twite.stores.sqlite.engine.key_filters.KeyFilters.possible": lambda _, wanted: list(wanted)
    },
}
DELIVERY = {
    "unmarked_leases": {
        "twite.stores.sqlite.engine.owner_session.OwnerSession.leave_unmarked": lambda *_: False
    },
}
POSTGRES = {
    "usual": {
        "twite.stores.postgres.usual.claim": lambda *_, **__: (None, False),
        "twite.stores.postgres.usual.settle": _nothing,
    },
    "claim_starts": {"twite.stores.postgres.claim_starts.ClaimStarts.claimed": _nothing},
}
Replacements = Mapping[str, Callable[..., object]]
Measure = Callable[[Bench, str, int, Any], float]


def without(name: str) -> ExitStack:
    """Replace a fast path until the stack is closed."""
    stack = ExitStack()
    paths: Mapping[str, Replacements] = {"": {}, **INTAKE, **DELIVERY, **POSTGRES}
    for target, plain in paths[name].items():
        stack.enter_context(patch(target, plain))
    return stack


def intake(bench: Bench, name: str, each: int, store: Path) -> float:
    with _rig(bench, name, store=store, sending=False) as rig:
        rest(rig.gateway)
        return bench.under_load(rig.gateway, rig.url, each, _SIZES[each]).cpu


def delivery(bench: Bench, name: str, each: int, store: Path) -> float:
    with _rig(bench, name, store=store, start=False) as rig:
        rig.batch = each
        return bench.delivered(rig, _QUEUED[each]).cpu


def claims(_bench: Bench, name: str, each: int, server: "PostgresServer") -> float:
    """Claim starts matter most while another session keeps a transaction open."""
    url = server.create(f"bench{fresh(1)}")
    with without(name):
        claimed = postgres.claimed(server, url, _QUEUED[each], hold=False, batch=each)
        return uvloop.run(claimed).cpu


def _rig(bench: Bench, name: str, **how: Any) -> Rig:
    rig = Rig(bench.folder, **how)
    rig.gateway_module = ("bench.fast_paths", "--without", name)
    return rig


def _measure(
    bench: Bench, names: Sequence[str], measure: Measure, stores: Mapping[int, Any]
) -> None:
    taken: dict[tuple[str, int], list[float]] = defaultdict(list)
    for turn in bench.runs(", ".join(names)):
        for each, store in stores.items():
            sides = ["", *names]
            for name in sides if turn % 2 else reversed(sides):
                taken[name, each].append(measure(bench, name, each, store))
    for name in names:
        figures = ""
        for each in stores:
            usual, plain = taken["", each], taken[name, each]
            gains = sorted(1 - one / other for one, other in zip(usual, plain, strict=True))
            figures += (
                f"  {each:3}: {statistics.median(usual) * 1e6:6.1f} µs, without "
                f"{statistics.median(plain) * 1e6:6.1f} µs, gain {statistics.median(gains):4.0%} "
                f"({gains[0]:.0%} to {gains[-1]:.0%})"
            )
        print(f"{name:<16}{figures}", flush=True)


def parser() -> argparse.ArgumentParser:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("names", nargs="*", help="fast paths; all of them by default")
    asked.add_argument("--turns", type=int, default=5, dest="runs")
    asked.add_argument("--seconds", type=float, default=3.0)
    asked.add_argument("--keys", type=int, default=0, help="deduplication keys in the table")
    asked.add_argument("--without", metavar="NAME", help="run a gateway; must come first")
    return asked


def main(arguments: Sequence[str]) -> int:
    if arguments[:1] == ["--without"]:
        sys.argv = ["twite", *arguments[2:]]
        with without(arguments[1]):
            serve()
        return 0
    chosen = parser().parse_args(arguments)

    def among(paths: Mapping[str, Replacements]) -> list[str]:
        return [name for name in paths if name in (chosen.names or paths)]

    with tempfile.TemporaryDirectory(prefix="twite-bench-") as folder:
        bench = Bench(Path(folder), chosen)
        if names := among(INTAKE):
            fill.add_keys(bench.store(), chosen.keys)
            _measure(bench, names, intake, dict.fromkeys(_SIZES, bench.store()))
        if names := among(DELIVERY):
            stores = {each: bench.store(queued=many) for each, many in _QUEUED.items()}
            _measure(bench, names, delivery, stores)
        if names := among(POSTGRES):
            with postgres.postgres() as server:
                _measure(bench, names, claims, dict.fromkeys(_SIZES, server))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
