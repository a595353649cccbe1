from collections.abc import Callable
from pathlib import Path

import pytest
from command_stage import ENVIRONMENT, settings_in, store_in
from send_gateway_double import KEY, SETTINGS, double

from command_schemas import require_schema
from twite.cli import run

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(capsys, monkeypatch) -> Run:
    """Run a command in this process; returns its exit code and both outputs.

    What a command prints with `--json` must be as in its schema, without an error beside it.
    """
    for name in ("X_PIXEL_TOKEN", "TWITE_SHOP_KEY"):
        monkeypatch.setenv(name, ENVIRONMENT[name])

    def ran(*arguments: str) -> tuple[int, str, str]:
        code = run(arguments)
        out, err = capsys.readouterr()
        require_schema(arguments, out)
        if "--json" in arguments:
            assert not out or "Error: " not in err
        return code, out, err

    return ran


@pytest.fixture
def shop(tmp_path) -> Path:
    """A settings file, with a store of four orders next to it."""
    store_in(tmp_path)
    return settings_in(tmp_path)


@pytest.fixture
def gateway():
    with double() as gateway:
        yield gateway


@pytest.fixture
def place(tmp_path, gateway, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHOP_KEY", KEY)
    listen = gateway.url.removeprefix("http://")
    (tmp_path / "twite.toml").write_text(SETTINGS.format(listen=listen))
    return tmp_path
