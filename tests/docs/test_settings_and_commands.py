"""Every setting, command and option is documented, with its default, or one of these fails."""

import re
from pathlib import Path

import pytest
from msgspec import NODEFAULT, inspect, json
from typer.main import get_command

from twite.cli import COMMANDS, application
from twite.config.settings import load
from twite.config.shape import ROOT, keys, some

REFERENCE = Path(__file__).parents[2] / "docs/reference"


def default_of(key: str) -> str:
    """Return how the page must spell the default of a key."""
    kind = ROOT
    *tables, name = key.removesuffix(".*").replace("[]", "").split(".")
    for step in tables:
        kind = next(field.type for field in some(kind).fields if field.name == step)
        kind = some(kind)
        kind = kind.item_type if isinstance(kind, inspect.VarTupleType) else kind
    field = next(field for field in kind.fields if field.name == name)
    if field.required:
        return "required"
    default = field.default_factory() if field.default is NODEFAULT else field.default
    return "none" if default is None else f"`{json.encode(default).decode()}`"


def test_every_setting_is_documented_with_its_default():
    page = (REFERENCE / "configuration.md").read_text()

    documented = dict(re.findall(r"^\| `([a-z_]+(?:\[\])?\.\S+)` \| (.+?) \|", page, re.MULTILINE))

    assert documented == {key: default_of(key) for key in keys()}


def test_the_example_of_the_page_can_be_loaded(tmp_path):
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


def test_every_command_has_a_section_and_no_other_has():
    page = (REFERENCE / "commands.md").read_text()

    assert re.findall(r"^## twite ([\w-]+)$", page, re.MULTILINE) == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_is_documented_and_no_other_is(name):
    command = get_command(application(name)).commands[name]
    parts = [command, *getattr(command, "commands", {}).values()]
    options = {
        next(word for word in parameter.opts if word.startswith("--"))
        for part in parts
        for parameter in part.params
        if parameter.param_type_name == "option"
    }

    documented = set(re.findall(r"^\| `(--[\w-]+)", section_of(name), re.MULTILINE))

    assert documented == options


@pytest.mark.parametrize("command", ["dead", "events"])
def test_every_command_below_another_is_told(command):
    below = get_command(application(command)).commands[command].commands

    told = section_of(command)
    assert [name for name in below if f"`twite {command} {name}" not in told] == []
