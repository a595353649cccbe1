"""`twite connect` switches settings from the built-in emulator to X."""

import json
import tomllib
from pathlib import Path

import pytest

from twite.cli import run
from twite.config.settings import load
from twite.config.switch_to_x import switched_to_x
from twite_emulator.process import running_emulator

TOKEN = "emulator-pixel-token-o8z6j"
IDS = ("--pixel", "o8z6j", "--event", "purchase=o8z6k", "--event", "sign_up=o8z6m")


@pytest.fixture(scope="module")
def x():
    with running_emulator() as emulator:
        yield emulator


@pytest.fixture
def emulated(tmp_path, monkeypatch, x):
    """Settings that send to the built-in emulator, and the environment of another X."""
    monkeypatch.setenv("TWITE_X__API_URL", x.url)
    monkeypatch.chdir(tmp_path)
    assert run(["init", "--emulator", "--pixel", "o9aaa", "--event", "purchase=o9aab"]) == 0
    return tmp_path / "twite.toml"


@pytest.fixture
def typed(monkeypatch, tmp_path):
    """Give the command's standard input these lines."""

    with (tmp_path / "typed").open("w+") as file:

        def give(text):
            file.write(text)
            file.seek(0)
            monkeypatch.setattr("sys.stdin", file)

        yield give


def test_connect_switches_to_x_with_a_new_store(emulated, typed, command):
    typed(TOKEN)

    code, out, err = command("connect", *IDS)

    assert (code, err) == (0, "")
    settings = load(emulated, {})
    assert settings.x.emulator is None
    assert settings.x.api_url == "https://ads-api.x.com"
    assert settings.store.path.name == "twite.db"
    assert settings.pixels[0].pixel == "o8z6j"
    assert settings.pixels[0].events == {"purchase": "o8z6k", "sign_up": "o8z6m"}
    assert settings.submitters[0].pixel == "o8z6j"
    assert TOKEN not in emulated.read_text() + out
    assert "# Host and port; IPv6 in brackets\n" in emulated.read_text()
    assert sorted(emulated.parent.glob(".*")) == [emulated.parent / ".gitignore"]


def test_connect_with_a_refused_token_changes_nothing(emulated, typed, command):
    before = emulated.read_bytes()
    typed("another-token")

    code, _, err = command("connect", *IDS)

    assert (code, emulated.read_bytes()) == (1, before)
    assert "X refused this pixel token for pixel o8z6j (401" in err
    assert "another-token" not in err
    assert not list(emulated.parent.glob("*.connect"))


def test_connect_changes_nothing_if_x_does_not_answer(emulated, typed, command, monkeypatch):
    monkeypatch.setenv("TWITE_X__API_URL", "http://127.0.0.1:9")
    before = emulated.read_bytes()
    typed(TOKEN)

    code, out, err = command("connect", *IDS)

    assert (code, out, emulated.read_bytes()) == (1, "", before)
    assert "is unchanged, because http://127.0.0.1:9 did not answer the check" in err
    assert not list(emulated.parent.glob("*.connect"))


def test_connect_without_a_terminal_names_the_missing_option(emulated, typed, command):
    typed(TOKEN)

    code, _, err = command("connect")

    assert code == 2
    assert "--pixel" in err
    assert "Events Manager" in err


def test_connect_refuses_settings_that_already_send_to_x(tmp_path, command):
    config = str(tmp_path / "twite.toml")
    command("init", "--config", config, "--pixel", "o8z6j", "--event", "purchase=o8z6k")

    code, _, err = command("connect", "--config", config, *IDS)

    assert (code, err) == (
        1,
        (
            f"Error: {config}: already sends to X. Use twite login to change the credentials of a "
            "pixel\n"
        ),
    )


def test_connect_with_several_pixels_explains_what_to_edit(emulated, command):
    with emulated.open("a") as file:
        file.write('[[pixel]]\nid = "o9bbb"\nevents = { purchase = "o9bbc" }\n')

    code, _, err = command("connect", *IDS)

    assert code == 1
    assert "does not have exactly one [[pixel]]" in err


def test_connect_result_as_json_names_the_new_store(emulated, typed, command):
    typed(TOKEN)

    _, out, _ = command("connect", *IDS, "--json")

    assert json.loads(out) == {
        "config": "twite.toml",
        "pixel": "o8z6j",
        "store": str(emulated.parent / "twite.db"),
        "restart": False,
    }


def test_store_for_x_is_in_the_folder_of_the_emulators_store():
    settings = (
        '[x]\nemulator = "127.0.0.1:8090"\n[store]\nurl = "sqlite:/var/lib/twite/emulator.db"\n'
    )

    text = switched_to_x(settings, path=Path("twite.toml"), old_pixel="a", pixel="b", events={})

    assert tomllib.loads(text)["store"] == {"url": "sqlite:/var/lib/twite/twite.db"}
