"""The pytest plugin: the fixture `x_emulator` is an emulator of X, reset for each test."""

from collections.abc import Iterator

import pytest

from twite_emulator.process import Emulator, running_emulator


@pytest.fixture(scope="session")
def x_emulator_process() -> Iterator[Emulator]:
    """The session's emulator, in a separate process on a free loopback port."""
    with running_emulator() as emulator:
        yield emulator


@pytest.fixture
def x_emulator(x_emulator_process: Emulator) -> Emulator:
    """The session's emulator, reset: no requests, no faults, default switches and world."""
    x_emulator_process.reset()
    return x_emulator_process
