"""`twite serve` reads its usual options without Typer, with the same result."""

import pytest

from twite import cli
from twite.cli import run, serve


@pytest.fixture
def served(monkeypatch):
    """The arguments of `serve`."""
    calls = []

    def load(config, _environ):
        calls.append(config)
        raise SystemExit(7)

    monkeypatch.setattr(serve, "load", load)
    return calls


@pytest.mark.parametrize(
    "words",
    [
        ["serve"],
        ["serve", "--json"],
        ["serve", "--config", "other.toml"],
        ["serve", "-c", "other.toml", "--json"],
    ],
)
def test_usual_options_of_serve_are_parsed_as_by_typer(served, monkeypatch, words):
    usual = run(words)
    monkeypatch.setattr(cli, "_usual_serve", lambda _: None)

    assert (usual, run(words)) == (7, 7)
    assert served[0] == served[1]


@pytest.mark.parametrize(
    "words",
    [
        ["serve", "--help"],
        ["serve", "--config"],
        ["serve", "--config", "--json"],
        ["serve", "--config=other.toml"],
        ["serve", "--role", "all"],
        ["check", "--json"],
        [],
    ],
)
def test_rare_options_of_serve_are_parsed_by_typer(words):
    assert cli._usual_serve(words) is None  # noqa: SLF001


def test_unwritable_folder_of_the_settings_is_a_warning(tmp_path, monkeypatch, capsys):
    (tmp_path / "twite.toml").write_text('[store]\nurl = "postgresql://twite@db/twite"\n')
    monkeypatch.setattr(serve.os, "access", lambda *_: False)
    monkeypatch.setattr(serve, "run", lambda *_, **__: True)

    run(["serve", "--config", str(tmp_path / "twite.toml")])

    assert f"Warning: {tmp_path} is not writable" in capsys.readouterr().err
