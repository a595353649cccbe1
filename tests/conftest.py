import gc
import json
import os
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

import fork_server
from gateway_process import GatewayProcess
from twite_emulator.process import Emulator

pytest_plugins = ["twite_emulator.plugin", "postgres_server", "forked_workers", "unexpected_skips"]
# Before any test imports them, so that pytest explains their assertions.
pytest.register_assert_rewrite("store_contract")

# A deadline would be a timed assertion, which fails on a busy machine. Every run uses the same
# examples. Trials use new and more
# examples.
TRIAL = bool(os.environ.get("TWITE_TRIAL"))
settings.register_profile(
    "twite", deadline=None, derandomize=not TRIAL, max_examples=400 if TRIAL else 25
)
settings.load_profile("twite")
GatewayProcess.popen = fork_server.Popen
Emulator.popen = fork_server.Popen
SHUFFLE = os.environ.get("TWITE_SHUFFLE")
# A background job of a script ignores SIGINT, and so would the processes that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """Start one fork server for all workers. It imports while this process collects the tests."""
    if config.option.forks and fork_server.HAS_PIDFD:
        fork_server.started()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Exclude long-lived objects (thousands of tests and modules) from garbage collection."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With TWITE_SHUFFLE=seed, the order is random, so that tests that depend on others fail."""
    if SHUFFLE:
        random.Random(SHUFFLE).shuffle(items)


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Record what a trial measured: (promise, figure). `make torture` prints them as a table."""

    def note(promise: str, measured: str) -> None:
        print(f"\n{promise}: {measured}")
        collected = os.environ.get("TWITE_FIGURES")
        if collected:
            # Each trial has its own process, and appends one short line atomically.
            line = {"promise": promise, "figure": measured, "test": request.node.nodeid}
            with Path(collected).open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    return note
