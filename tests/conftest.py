import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = ["twite.testing.plugin"]
# Before any test imports them: what a law finds is then shown as a test would show it.
pytest.register_assert_rewrite("twite.testing.laws")

# A deadline would be a timed assertion: on a busy machine it fails for no fault of the code. The
# same examples each time: who runs the tests changes nothing of them. Trials look for new ones.
settings.register_profile("twite", deadline=None, derandomize=not os.environ.get("TWITE_TRIAL"))
settings.load_profile("twite")


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
