"""The commands that docs and docstrings quote exist, and so do the files that they name.

`tests/contributing/tags/test_bench.py` parses the arguments of those that measure.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
PAGES = [
    *(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md",
    *(path for folder in ("tests", "bench") for path in (ROOT / folder).rglob("*.py")),
]  # fmt: skip
# In a code span, or at the start of a line of a code block.
MAKE = re.compile(r"(?:`|^(?:\$ | {4})?)make ([a-z]+)(?: TRIALS=([\w/.]+))?", re.MULTILINE)
PYTHON = re.compile(r"python (?:-m pytest )?(?:-\w+ )*((?:tests|bench|docs|sgtm|deploy)/[\w/.]+)")


def quoted(pattern):
    found = {
        match.groups() for page in PAGES for match in pattern.finditer(page.read_text("utf-8"))
    }
    return sorted(found, key=str)


@pytest.mark.parametrize(("target", "trials"), quoted(MAKE))
def test_documented_make_target_exists(target, trials):
    assert target in TARGETS
    assert trials is None or trials == "FILE" or (ROOT / trials).exists()


@pytest.mark.parametrize("file", [file for (file,) in quoted(PYTHON)])
def test_file_in_a_documented_python_command_exists(file):
    assert (ROOT / file).exists()


def test_documented_commands_are_found():
    assert {("lint", None), ("torture", "tests/trials/test_poison.py")} <= set(quoted(MAKE))
    assert ("tests/upgrades/write_store.py",) in quoted(PYTHON)
