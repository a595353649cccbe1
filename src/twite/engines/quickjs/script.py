"""Join the sandbox's JavaScript files into one closure."""

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Final

# Each file may use the files before it; functions are hoisted.
PARTS: Final = (
    "natives",
    "text",
    "names",
    "url",
    "regex",
    "permissions",
    "promise",
    "values",
    "incoming",
    "outgoing",
    "services",
    "turns",
)

# Lines of a trace below the first are the template's, those between the two the scenario's.
SCENARIO_LINE: Final = 50_000
SANDBOX_LINE: Final = 100_000


@cache
def script(*, testing: bool = False) -> str:
    """Return the sandbox as an expression; with the test globals, if requested."""
    return "".join(_pieces(testing=testing))


def _pieces(*, testing: bool) -> Iterator[str]:
    # A trace names lines alone: those of the sandbox begin where no template ends.
    yield "\n" * SANDBOX_LINE + "(function (globalThis) {\n'use strict';\n"
    for name in (*PARTS, *(("testing",) if testing else ()), "harden"):
        yield (files(__package__) / "sandbox" / f"{name}.js").read_text("utf-8")
    yield "return enter;\n})(globalThis)"
