"""`python -m bench.fast_paths`: what each fast path saves, in CPU time per conversion.

Each turn runs a gateway with all fast paths, and then one without each: intake of requests with 1
and with 100 conversions, or delivery in requests of 1 and of 100 to X. On PostgreSQL, claims and
settlements are measured alone, with the server's CPU time. The figures are medians.

    python -m bench.fast_paths                          all
    python -m bench.fast_paths direct_heads --turns 3   one

`python -m bench.fast_paths --without NAME serve …` runs the gateway without a fast path.
"""

import argparse
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import uvloop

from bench import postgres
from bench.figures import Bench, rest
from bench.rig import Rig, fresh

_SIZES = {1: 64, 100: 16}  # conversions in a request: connections
_QUEUED = {1: 2_000, 100: 100_000}  # conversions in a request to X: backlog


def _nothing(*_args: object, **_more: object) -> None:
    return None


def _without_direct() -> dict[str, object]:
    from twite.http.application import HttpApplication  # noqa: PLC0415

    init = HttpApplication.__init__

    def plain(self: Any, *args: Any, **more: Any) -> None:
        init(self, *args, **more)
        self.direct = None

    return {"twite.http.application.HttpApplication.__init__": plain}


def _without_usual() -> dict[str, object]:
    from twite.stores.sql import outbox  # noqa: PLC0415

    return {
        "twite.stores.sqlite.engine.usual.claim": outbox.claim,
        "twite.stores.sqlite.engine.usual.settle": outbox.settle,
    }


# What replaces each fast path, and what uses it.
INTAKE: dict[str, Callable[[], dict[str, object]]] = {
    "direct": _without_direct,
    "direct_heads": lambda: {"twite.http.direct_heads.DirectHeads.remember": _nothing},
    "fast_read": lambda: {
        "twite.formats.native.read.read_fast": _nothing,
        "twite.formats.native.read.read_typical": _nothing,
    },
    "read_typical": lambda: {"twite.formats.native.read.read_typical": _nothing},
    "key_filters": lambda: {
        "twite.stores.sqlite.engine.key_filters.KeyFilters.possible": lambda _, wanted: list(wanted)
    },
}
DELIVERY: dict[str, Callable[[], dict[str, object]]] = {"usual": _without_usual}
POSTGRES: dict[str, Callable[[], dict[str, object]]] = {
    "postgres_usual": lambda: {
        "twite.stores.postgres.usual.claim": lambda *_, **__: (None, False),
        "twite.stores.postgres.usual.settle": _nothing,
    },
    "postgres_usual_claim": lambda: {
        "twite.stores.postgres.usual.claim": lambda *_, **__: (None, False),
    },
    "postgres_usual_settle": lambda: {
        "twite.stores.postgres.usual.settle": _nothing,
    },
    "claim_starts": lambda: {"twite.stores.postgres.claim_starts.ClaimStarts.claimed": _nothing},
}


def without(name: str) -> ExitStack:
    """Replace a fast path until the stack is closed."""
    stack = ExitStack()
    paths = {"": dict, **INTAKE, **DELIVERY, **POSTGRES}
    for target, plain in paths[name]().items():
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


def claims(bench: Bench, name: str, each: int, server: Any) -> float:
    url = server.create(f"bench{fresh(1)}")
    hold = False
    with without(name):
        return uvloop.run(postgres.claimed(server, url, _QUEUED[each], hold=hold, batch=each)).cpu


def _rig(bench: Bench, name: str, **how: Any) -> Rig:
    rig = Rig(bench.folder, **how)
    rig.gateway_module = ("bench.fast_paths", "--without", name)
    return rig


def main(arguments: Sequence[str]) -> int:
    if arguments[:1] == ["--without"]:
        from twite.cli import main as serve  # noqa: PLC0415

        sys.argv = ["twite", *arguments[2:]]
        with without(arguments[1]):
            serve()
        return 0
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("names", nargs="*", help="fast paths; all of them by default")
    asked.add_argument("--turns", type=int, default=5)
    asked.add_argument("--seconds", type=float, default=3.0)
    asked.add_argument("--keys", type=int, default=0, help="deduplication keys of the store")
    chosen = asked.parse_args(arguments)
    chosen.runs = chosen.turns
    taken: dict[tuple[str, int], list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="twite-bench-") as folder:
        bench = Bench(Path(folder), chosen)
        stack = bench.stack = ExitStack()
        stack.__enter__()
        for paths, measured in ((INTAKE, intake), (DELIVERY, delivery), (POSTGRES, claims)):
            names = [name for name in paths if name in (chosen.names or paths)]
            if names:
                _measure(bench, names, measured, taken)
                for name in names:
                    _tell(name, taken)
                taken.clear()
    stack.close()
    return 0


def _measure(bench, names, measured, taken) -> None:
    if measured is claims:
        server = bench.stack.enter_context(postgres.postgres())
        stores = dict.fromkeys(_SIZES, server)
    else:
        stores = {
            each: bench.store(queued=_QUEUED[each]) if measured is delivery else bench.store()
            for each in _SIZES
        }
    for turn in bench.runs(", ".join(names)):
        for each in _SIZES:
            sides = ["", *names]
            for name in sides if turn % 2 else sides[::-1]:
                taken[name, each].append(measured(bench, name, each, stores[each]))


def _tell(name: str, taken: dict[tuple[str, int], list[float]]) -> None:
    print(f"{name:<24}", end="")
    for each in _SIZES:
        usual, plain = taken["", each], taken[name, each]
        ratios = sorted(1 - one / other for one, other in zip(usual, plain, strict=True))
        print(
            f"  {each:3}: {statistics.median(usual) * 1e6:6.1f} µs, without "
            f"{statistics.median(plain) * 1e6:6.1f} µs, gain {statistics.median(ratios):4.0%} "
            f"({ratios[0]:.0%} to {ratios[-1]:.0%})",
            end="",
        )
    print(flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
