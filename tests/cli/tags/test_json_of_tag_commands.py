"""Commands of tags print what their schemas say."""

import json
from pathlib import Path

import pytest
from command_stage import settings_in

from command_schemas import commands, documents, problems
from twite.cli.command_group import CommandGroup
from twite.features import contributed

TESTS = Path(__file__).parents[2]
KEEPER = str(TESTS / "tags/templates/cookie_keeper.tpl")
META = str(TESTS / "tags/templates/meta_post.tpl")
SHOP = str(TESTS / "tags/containers/shop.json")
EXAMPLES = {
    "import": (SHOP, "--out", "{folder}", "--secrets", "env"),
    "compare": ("{folder}/capture.jsonl", "--config", "{folder}/container-settings.toml"),
    "tag test": (KEEPER,),
    "tag run": (KEEPER,),
    "tag try": (META, "--data", '{{"pixelId": "1", "accessToken": "a-token"}}'),
    "tag list": ("--find", "cookie"),
    "tag lint": ("{folder}/wrong.tpl",),
    "tag fields": (META,),
}
# It runs until Ctrl-C: `tests/journeys/tags/test_tag_preview.py` compares all that it prints.
ENDLESS = {"tag preview"}


def test_each_command_of_a_feature_has_an_example():
    added = {name for group in contributed("commands", CommandGroup) for name in group.summaries}
    known = {words for words in commands() if words.split()[0] in added}

    assert known == EXAMPLES.keys() | ENDLESS


@pytest.fixture
def folder(command, tmp_path):
    """A folder with a container, settings and captured traffic."""
    assert command("import", SHOP, "--out", str(tmp_path), "--secrets", "env")[0] in {0, 1}
    settings_in(tmp_path)
    (tmp_path / "container-settings.toml").write_text('[container]\nfile = "container.toml"\n')
    (tmp_path / "capture.jsonl").write_text(json.dumps({"request": {"path": "/odd"}}) + "\n")
    (tmp_path / "wrong.tpl").write_text(
        '___INFO___\n{"type": "TAG", "displayName": "A tag"}\n'
        "___SANDBOXED_JS_FOR_SERVER___\nconst a = ;\n"
    )
    return tmp_path


@pytest.mark.parametrize("words", EXAMPLES)
def test_command_of_tags_prints_what_its_schema_says(command, folder, words):
    arguments = [each.format(folder=folder) for each in EXAMPLES[words]]

    code, out, err = command(*words.split(), *arguments, "--json")

    assert code in {0, 1}, err
    assert [each for each in documents(out) if each in ([], {})] == []
    assert documents(out), err
    assert problems(words, out) == []


@pytest.mark.parametrize("option", [(), ("--json",)])
def test_preview_without_a_gateway_is_an_error_of_one_line(command, tmp_path, option):
    config = settings_in(tmp_path)

    code, out, err = command("tag", "preview", "--config", str(config), *option)

    assert (code, out) == (1, "")
    assert err.startswith("Error: no gateway is running on ")
    assert len(err.splitlines()) == 1
