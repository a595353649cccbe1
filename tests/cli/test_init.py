import json
import re
import stat
import subprocess
import tomllib
from pathlib import Path

import pytest
from command_stage import ENVIRONMENT

from twite.cli import init as init_module
from twite.config.schema import ROOT
from twite.config.settings import load
from twite.config.template import rendered
from twite.domain.destination import PixelToken


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_init_writes_settings_and_keys_that_only_the_owner_can_read(command, tmp_path):
    path = tmp_path / "twite.toml"

    code, out, err = command("init", "--config", str(path))

    assert (code, out, err) == (
        0,
        (
            f"Wrote {path}.\n"
            f"Wrote the key of the source “shop” to {tmp_path}/shop.key.\n"
            f"The key in {tmp_path}/twite.secret encrypts stored credentials and events "
            "queued for tags. Keep a copy.\n"
            "Next: fill in the ids, set X_PIXEL_TOKEN, and run twite check.\n"
        ),
        "",
    )
    made = {file.name: mode(file) for file in tmp_path.iterdir() if file.name != ".gitignore"}
    assert made == {"shop.key": 0o600, "twite.secret": 0o600, "twite.toml": 0o600}
    assert re.fullmatch(r"[0-9A-Za-z_-]{43}\n", (tmp_path / "shop.key").read_text())


def test_settings_written_by_init_can_be_loaded(command, tmp_path):
    path = tmp_path / "twite.toml"

    _, out, _ = command(
        "init", "--config", str(path), "--pixel", "o8z6j",
        "--event", "purchase=o8z6k", "--event", "sign_up=tw-o8z6j-o8z6m",
    )  # fmt: skip

    assert out.endswith("\nNext: set X_PIXEL_TOKEN, and run twite check.\n")
    settings = load(path, ENVIRONMENT)
    assert settings.warnings == ()
    assert settings.pixels[0].events == {"purchase": "o8z6k", "sign_up": "o8z6m"}
    key = (tmp_path / "shop.key").read_text().strip()
    assert settings.submitters[0].key.reveal() == key


def test_settings_in_etc_have_their_store_in_var_lib(command, tmp_path, monkeypatch):
    monkeypatch.setattr(init_module, "_ETC", str(tmp_path))
    path = tmp_path / "twite" / "twite.toml"
    path.parent.mkdir()

    command("init", "--emulator", "--config", str(path))

    assert tomllib.loads(path.read_text())["store"] == {"url": "sqlite:/var/lib/twite/emulator.db"}


def test_environment_variable_selects_the_settings_file(command, tmp_path, monkeypatch):
    path = tmp_path / "shop.toml"
    monkeypatch.setenv("TWITE_CONFIG", str(path))

    assert command("init", "--emulator")[0] == 0
    assert path.exists()
    path.write_text("nonsense")
    code, out, err = command("serve")
    assert (code, out) == (1, "")
    assert err.startswith(f"Error: {path}, ")
    assert command("serve", "--workers", "1") == (code, out, err)


def test_git_ignores_keys_and_stores_but_not_the_settings(command, tmp_path):
    ignore = tmp_path / ".gitignore"
    ignore.write_text("/build\n*.key")

    command("init", "--emulator", "--config", str(tmp_path / "twite.toml"))
    first = ignore.read_text()
    command("init", "--force", "--config", str(tmp_path / "twite.toml"))
    stores = ("twite.db", "twite.db-wal", "twite.db.lock", "twite.db.reserve")
    for name in stores:
        (tmp_path / name).touch()
    status = subprocess.run(  # noqa: S602 - a constant
        "git init -q . && git status --short",  # noqa: S607
        shell=True,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert first == ignore.read_text()
    assert first.startswith("/build\n*.key\n# Keys and stores of Twite\n*.secret\n")
    assert status.stdout == "?? .gitignore\n?? twite.toml\n"


def test_settings_for_the_emulator_need_no_credentials(command, tmp_path):
    path = tmp_path / "twite.toml"

    code, out, _ = command("init", "--emulator", "--config", str(path))

    settings = load(path, {})
    assert (code, settings.warnings) == (0, ())
    assert settings.x.api_url == settings.x.oauth_url == f"http://{settings.x.emulator}"
    assert settings.store.path.name == "emulator.db"
    assert path.read_text().count("emulator = ") == 1
    assert isinstance(settings.pixels[0].credentials, PixelToken)
    assert out.endswith("\nNext: run twite serve, and send a conversion. Nothing is sent to X.\n")


@pytest.mark.parametrize("added", ['[container]\nfile = "container.toml"', "[google]"])
def test_documented_tables_can_be_added_to_the_settings(command, tmp_path, added):
    settings = tmp_path / "twite.toml"
    command("init", "--config", str(settings), "--pixel", "o8z6j", "--event", "purchase=o8z6k")

    settings.write_text(f"{settings.read_text()}\n{added}\n")

    assert tomllib.loads(settings.read_text())


def test_placeholder_ids_are_refused_with_where_to_find_the_real_id(command, tmp_path):
    path = tmp_path / "twite.toml"
    command("init", "--config", str(path))

    code, _, err = command("serve", "--config", str(path))

    assert code == 1
    assert err == (
        "Error: pixel[0].id: 'your-pixel-id' is not a pixel id. X's ids consist of digits "
        'and lowercase letters, such as "o8z6j"; copy the id from Events Manager\n'
    )


def test_init_does_not_overwrite_existing_settings(command, tmp_path):
    path = tmp_path / "twite.toml"
    path.write_text("# mine\n")

    code, out, err = command("init", "--config", str(path))

    assert (code, out) == (1, "")
    assert err == f"Error: {path}: already exists. Use --force to overwrite it and keep the key\n"
    assert [file.name for file in tmp_path.iterdir()] == ["twite.toml"]
    assert path.read_text() == "# mine\n"


def test_init_uses_a_secret_key_in_the_environment(command, tmp_path, monkeypatch):
    monkeypatch.setenv("TWITE_SECRET_KEY", "a-key-that-nobody-will-guess")
    path = tmp_path / "twite.toml"

    command("init", "--config", str(path))

    assert sorted(file.name for file in tmp_path.glob("[!.]*")) == ["shop.key", "twite.toml"]
    assert 'secret_key = "env:TWITE_SECRET_KEY"' in path.read_text()


def test_init_with_force_overwrites_the_settings_and_keeps_the_keys(command, tmp_path):
    path = tmp_path / "twite.toml"
    command("init", "--config", str(path))
    key, secret = (tmp_path / "shop.key").read_text(), (tmp_path / "twite.secret").read_text()
    path.chmod(0o644)

    code, out, _ = command("init", "--config", str(path), "--force", "--json")

    assert (code, json.loads(out)["made_key"]) == (0, False)
    assert (tmp_path / "shop.key").read_text() == key
    assert (tmp_path / "twite.secret").read_text() == secret
    assert mode(path) == 0o600


def test_init_in_a_missing_folder_is_an_error(command, tmp_path):
    code, _, err = command("init", "--config", str(tmp_path / "none" / "twite.toml"))

    assert code == 1
    assert "cannot be written (No such file or directory)" in err


@pytest.mark.parametrize("pair", ["purchase", "=o8z6k", "purchase="])
def test_malformed_event_option_of_init_exits_2(command, tmp_path, pair):
    code, _, err = command("init", "--config", str(tmp_path / "twite.toml"), "--event", pair)

    assert code == 2
    assert "is not of the form NAME=ID" in err


def test_settings_template_shows_every_key_in_toml():
    text = rendered(pixel="o8z6j", events={"purchase": "o8z6k"}, key_file="shop.key")
    once = text.replace("# auth = {", "auth_of_oauth = {")

    tree = tomllib.loads(re.sub(r"^# (?=\[|[\w.]+ = )", "", once, flags=re.MULTILINE))

    tree["pixel"][0]["auth"] |= tree["pixel"][0].pop("auth_of_oauth")
    assert set(shown_keys(tree)) == {key for key, _ in ROOT.settings()}


def shown_keys(node, place=""):
    """Yield the keys of a tree in the schema's notation."""
    for key, value in node.items():
        inner = f"{place}.{key}" if place else key
        if key in {
            "events",
            "fields",
            "headers",
            "hmac_keys",
            "ignore",
            "map",
            "redirect",
        } and isinstance(value, dict):
            yield f"{inner}.*"
        elif isinstance(value, dict):
            yield from shown_keys(value, inner)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            yield from shown_keys(value[0], f"{inner}[]")
        else:
            yield inner


def test_option_values_of_init_cannot_inject_toml():
    text = rendered(pixel='a"\nid = "b', events={'x" = "1", "y': "z"}, key_file="shop.key")

    assert 'id = "a\\"\\nid = \\"b"\n' in text
