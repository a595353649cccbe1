import gc
import json
import os
import random
from collections.abc import Callable, Generator, Iterator
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import settings

import fork_server
from twite.testing.emulator import Emulator
from twite.testing.gateway import GatewayProcess

pytest_plugins = ["twite.testing.plugin", "postgres_server"]
# Before any test imports them: what a law finds is then shown as a test would show it.
pytest.register_assert_rewrite("store_contract")

# A deadline would be a timed assertion: on a busy machine it fails for no fault of the code. The
# same examples each time: who runs the tests changes nothing of them. Trials look for new ones, and
# for more of them.
TRIAL = bool(os.environ.get("TWITE_TRIAL"))
settings.register_profile(
    "twite", deadline=None, derandomize=not TRIAL, max_examples=400 if TRIAL else 25
)
settings.load_profile("twite")
GatewayProcess.popen = fork_server.Popen
Emulator.popen = fork_server.Popen
PROCESSES = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
PROCESS = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
HERE = Path(__file__).parent
SHUFFLE = os.environ.get("TWITE_SHUFFLE")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Keep the collector of garbage away from what lasts: thousands of tests and modules."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Let each process begin with other folders.

    In a new clone, every test module is compiled once, not by all processes at the same time.
    """
    report = yield
    if collector.path == HERE and report.passed:
        folders = report.result
        first = len(folders) * int(PROCESS.removeprefix("gw")) // PROCESSES
        report.result = [*folders[first:], *folders[:first]]
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the trials, in each process: at the end others could take nothing of them over.

    A process is given a piece of the list at first (`--dist worksteal`). With TWITE_SHUFFLE=seed,
    the order is drawn instead: a test that needs another one fails.
    """
    if PROCESSES > 1:
        items.sort(key=lambda item: item.nodeid.split("/", 2)[1])
    if SHUFFLE:
        random.Random(SHUFFLE).shuffle(items)
        return
    trials = [item for item in items if item.path.parent.name == "trials"]
    others = iter([item for item in items if item.path.parent.name != "trials"])
    ordered: list[pytest.Item] = []
    for process in range(PROCESSES):
        own = trials[process::PROCESSES]
        size = (len(items) - len(ordered)) // (PROCESSES - process)
        ordered += [*own, *islice(others, size - len(own))]
    items[:] = [*ordered, *others]


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Note what a trial measured: (promise, figure). `make torture` prints them as a table."""

    def note(promise: str, measured: str) -> None:
        print(f"\n{promise}: {measured}")
        collected = os.environ.get("TWITE_FIGURES")
        if collected:
            # Each trial has a process of its own: one short line is appended whole.
            line = {"promise": promise, "figure": measured, "test": request.node.nodeid}
            with Path(collected).open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    return note
