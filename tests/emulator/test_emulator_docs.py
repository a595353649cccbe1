"""docs/reference/emulator.md matches the code."""

import re
from pathlib import Path

import msgspec
import pytest

from twite_emulator.faults import FaultKind, InjectedFault
from twite_emulator.server.control import PREFIX, ROUTES
from twite_emulator.switches import Switches
from twite_emulator.world import default_document

PAGE = (Path(__file__).parents[2] / "docs/reference/emulator.md").read_text(encoding="utf-8")


def rows(heading):
    """The first two cells of each row of the tables under a heading."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return {line.split("|")[1].strip(" `"): line.split("|")[2].strip(" `") for line in lines}


def shown(value):
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)


def test_page_begins_with_what_the_emulator_does_not_do():
    headings = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)

    assert headings[0] == "What it does not do"


def test_every_switch_is_documented_with_its_default():
    defaults = {name: shown(value) for name, value in msgspec.structs.asdict(Switches()).items()}

    assert rows("Switches") == defaults


def test_every_kind_of_fault_is_documented():
    assert set(rows("Faults")) >= {str(kind) for kind in FaultKind}


@pytest.mark.parametrize("field", InjectedFault.__struct_fields__)
def test_every_field_of_a_fault_is_documented(field):
    assert f"`{field}`" in PAGE.split("\n## Faults\n")[1]


@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_every_control_route_is_documented(method, route):
    assert f"`{method} {PREFIX}/{route}`" in PAGE


def test_default_accounts_pixels_and_events_are_documented():
    document = default_document()
    keys = {entry.get("id", entry.get("token")) for kind in document.values() for entry in kind}
    secrets = {
        entry[name]
        for kind in document.values()
        for entry in kind
        for name in ("token", "secret", "consumer_key", "consumer_secret")
        if name in entry
    }

    missing = [text for text in keys | secrets if f"`{text}`" not in PAGE]
    assert missing == []
