"""docs/reference/script.md matches the code."""

import re
from pathlib import Path

from builders import a_destination, a_source
from twite.http.script import settings_line

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/script.md").read_text("utf-8")
SCRIPT = (ROOT / "src/twite/http/script/twite.js").read_text("utf-8")


def first_cells(heading):
    section = PAGE.split(f"\n{heading}\n")[1].split("\n#")[0]
    cells = re.findall(r"^\|([^|]+)\|", section, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def test_every_setting_of_the_script_is_documented():
    read = set(re.findall(r"\bsettings\.(\w+)", SCRIPT))
    said = set(re.findall(r'"(\w+)":', settings_line(a_source(), a_destination())))

    documented = first_cells("## Settings")

    # The line also contains the events' names.
    assert documented == read | (said - set(a_destination().events))


def test_every_parameter_of_a_conversion_is_documented():
    read = set(re.findall(r"\bgiven\.([a-z]\w+)", SCRIPT))
    for names in re.findall(r"\bpick\(given, '([\w,]+)'\)", SCRIPT):
        read.update(names.split(","))

    documented = first_cells("### A conversion's parameters")

    assert documented == read


def test_debugger_knows_every_documented_parameter():
    debugger = (ROOT / "src/twite/http/script/debug.js").read_text("utf-8")
    fields = debugger.split("const FIELDS = [")[1].split("]")[0]

    assert set(re.findall(r"'(\w+)'", fields)) == first_cells("### A conversion's parameters")
