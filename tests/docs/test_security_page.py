"""What the page on security promises has a test that there is."""

import ast
import re
from pathlib import Path

import pytest

from twite.config.server_tables import ConsoleSettings
from twite.domain.times import HOUR, MINUTE
from twite.gateway.identity.accounts import LONGEST, SHORTEST
from twite.gateway.identity.two_factor import PERIOD, RECOVERY_CODES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/security.md").read_text()
ROWS = re.findall(
    r"^\| ([\d., ]+) \| ([^|]+) \| `(tests/[\w/]+\.py)::(test_\w+)` \|$",
    PAGE,
    re.MULTILINE,
)


def test_every_requirement_of_the_table_names_a_test():
    head = "| ASVS | requirement | test |\n|---|---|---|\n"
    table = PAGE.split(head)[1].split("\n\n")[0]

    assert len(ROWS) == len(table.splitlines()) > 40


@pytest.mark.parametrize(("numbers", "file", "name"), [(row[0], row[2], row[3]) for row in ROWS])
def test_the_test_of_a_requirement_exists(numbers, file, name):
    tree = ast.parse((ROOT / file).read_text())

    there = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }

    assert name in there


def test_the_figures_of_the_page_are_those_of_the_code():
    assert f"{SHORTEST} to {LONGEST:,} characters" in PAGE
    assert (ConsoleSettings().idle, ConsoleSettings().session) == (30 * MINUTE, 12 * HOUR)
    assert (PERIOD, RECOVERY_CODES) == (30, 10)
