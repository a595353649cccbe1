"""Every setting, command and option is documented with its default."""

import re
from pathlib import Path

import msgspec
import pytest
from typer.main import get_command

from twite.cli.application import application
from twite.cli.groups import SUMMARIES
from twite.config.kinds import REQUIRED, Setting
from twite.config.schema import ROOT
from twite.config.settings import load

REFERENCE = Path(__file__).parents[2] / "docs/reference"


def default_of(setting: Setting) -> str:
    """Return how the page must spell the default of a setting."""
    if setting.default is REQUIRED:
        return "required"
    spelled = msgspec.json.encode(setting.default).decode()
    return "none" if setting.default is None else f"`{spelled}`"


def rows_of_the_page() -> dict[str, tuple[str, str]]:
    """Return the default and the meaning of each key, without links."""
    page = re.sub(r"\[([^]]+)\]\([^)]*\)", r"\1", (REFERENCE / "configuration.md").read_text())
    rows = re.findall(r"^\| `([a-z_]+(?:\[\])?\.\S+)` \| (.+?) \| (.+) \|$", page, re.MULTILINE)
    return {key: (default, meaning) for key, default, meaning in rows}


def test_every_setting_is_documented_with_its_default():
    documented = {key: default for key, (default, _) in rows_of_the_page().items()}

    assert documented == {key: default_of(setting) for key, setting in ROOT.settings()}


def test_documented_meaning_of_a_setting_begins_as_in_the_code():
    page = rows_of_the_page()

    other = {
        key: setting.meaning
        for key, setting in ROOT.settings()
        if not page[key][1].startswith(setting.meaning)
    }

    assert other == {}


def test_documented_settings_file_can_be_loaded(tmp_path):
    page = (REFERENCE / "configuration.md").read_text()
    (tmp_path / "shop.key").write_text("a-key-of-sixteen-or-more")
    path = tmp_path / "twite.toml"
    path.write_text(page.split("```toml\n")[1].split("```")[0])

    assert load(path, {"X_PIXEL_TOKEN": "token"}).warnings == ()


def section_of(command: str) -> str:
    page = (REFERENCE / "commands.md").read_text()
    sections = dict(
        re.findall(r"^## twite ([\w-]+)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    )
    return sections.get(command, "")


def test_every_command_has_a_section_in_the_docs():
    page = (REFERENCE / "commands.md").read_text()

    assert re.findall(r"^## twite ([\w-]+)$", page, re.MULTILINE) == list(SUMMARIES)


@pytest.mark.parametrize("name", SUMMARIES)
def test_every_option_is_documented(name):
    command = get_command(application(name)).commands[name]
    parts = [command, *getattr(command, "commands", {}).values()]
    options = {
        next(word for word in parameter.opts if word.startswith("--"))
        for part in parts
        for parameter in part.params
        if parameter.param_type_name == "option"
    }

    documented = set(re.findall(r"^\| `(--[\w-]+)", section_of(name), re.MULTILINE))

    # The head of the page documents `--config` for all commands.
    assert documented | {"--config"} == options | {"--config"}


@pytest.mark.parametrize("command", ["dead", "events"])
def test_every_subcommand_is_documented(command):
    below = get_command(application(command)).commands[command].commands

    reported = section_of(command)
    assert [name for name in below if f"`twite {command} {name}" not in reported] == []
