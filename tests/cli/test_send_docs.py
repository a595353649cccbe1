"""The pages about files match the code."""

import re
from pathlib import Path

from typer.main import get_command

from twite.cli.application import application
from twite.formats.files.findings import ERRORS, NOTES
from twite.formats.files.table import NAMES

DOCS = Path(__file__).parents[2] / "docs"


def table(heading):
    page = (DOCS / "reference/file-formats.md").read_text()
    section = page.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| (.+?) \|$", section, re.MULTILINE))


def test_every_recognized_column_is_documented():
    assert table("Columns") == {
        field: ", ".join(f"`{name}`" for name in names) for field, names in NAMES.items()
    }


def test_every_error_code_of_files_is_documented_with_its_meaning():
    assert table("Codes of rejected rows") == dict(ERRORS)
    assert table("Codes of notes") == dict(NOTES)


def test_every_documented_option_of_send_exists():
    page = (DOCS / "how-to/send-a-file.md").read_text()
    command = get_command(application("send")).commands["send"]

    shown = set(re.findall(r"--[a-z][a-z-]+", page))

    known = {option for parameter in command.params for option in parameter.opts}
    assert shown <= known
