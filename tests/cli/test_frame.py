from collections.abc import Iterator

import pytest
from command_stage import twite
from typer.main import get_command

from twite import __version__
from twite.cli import application as application_module
from twite.cli import explained, run
from twite.cli.application import application
from twite.cli.groups import GROUPS, SUMMARIES
from twite.domain.errors import SettingsError, StoreInUse

FIX = "Stop that process, or set another store.url"


def help_of(*words: str) -> str:
    code, out, err = twite(*words, "--help", environ={"COLUMNS": "200"})
    assert (code, err) == (0, "")
    return out


def test_help_lists_every_command_with_its_summary():
    shown = help_of()

    assert [name for name in SUMMARIES if SUMMARIES[name] not in shown] == []


def test_help_groups_the_commands():
    shown = help_of()

    starts = [shown.index(f"─ {group} ─") for group in GROUPS]
    assert starts == sorted(starts)
    assert "─ Commands ─" not in shown


def subcommands() -> Iterator[tuple[list[str], str]]:
    """Yield the words of each subcommand, and its help."""
    for name in SUMMARIES:
        command = get_command(application(name)).commands[name]
        for other, subcommand in getattr(command, "commands", {}).items():
            yield [name, other], subcommand.help


SUBCOMMANDS = {" ".join(words): help_ for words, help_ in subcommands()}


def test_command_summary_is_one_imperative_line_without_a_full_stop():
    sentences = [*SUMMARIES.values(), *(help_.split("\n\n")[0] for help_ in SUBCOMMANDS.values())]

    assert len(sentences) > len(SUMMARIES) + 20
    assert [
        sentence
        for sentence in sentences
        if sentence.endswith(".") or len(sentence) > 62 or not sentence[0].isupper()
    ] == []


def test_help_is_printed_without_importing_a_command():
    listed = application(None)

    assert {
        registered_command.callback.__name__ for registered_command in listed.registered_commands
    } == {"_not_asked"}


@pytest.mark.parametrize(
    "words",
    [*([name] for name in SUMMARIES), *(name.split() for name in SUBCOMMANDS)],
)
def test_every_command_has_help_with_an_example(capsys, words):
    code = run([*words, "--help"])

    shown, err = capsys.readouterr()
    assert (code, err) == (0, "")
    assert "Example: twite" in shown.replace("`", "")


@pytest.mark.parametrize(
    ("built_from", "shown"), [("1a2b3c4d5e6f", " (commit 1a2b3c4d5e6f)"), (None, "")]
)
def test_version_is_printed_with_the_commit_if_known(monkeypatch, capsys, built_from, shown):
    monkeypatch.setattr(application_module, "commit", lambda: built_from)

    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"twite {__version__}{shown}\n"


def test_unknown_command_is_wrong_usage_with_a_suggestion():
    code, out, err = twite("chekc")

    assert (code, out) == (2, "")
    assert "Did you mean 'check'?" in err


def test_twite_without_a_command_prints_the_help():
    code, out, err = twite()

    assert code == 2
    assert "accounting" in out + err


def test_missing_settings_file_exits_1_with_one_sentence(tmp_path):
    code, out, err = twite("serve", "--config", str(tmp_path / "twite.toml"))

    assert (code, out) == (1, "")
    assert err == (
        f"Error: {tmp_path}/twite.toml: the file does not exist. `twite init` creates it; "
        "--config selects another\n"
    )


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (SettingsError(place="x.rate", message="is wrong"), "Error: x.rate: is wrong\n"),
        (
            StoreInUse(path="twite.db", owner=7),
            f"Error: twite.db is in use by process 7. {FIX}\n",
        ),
        (
            SettingsError(place="pixel[0].\x1b[2J", message="[red]unknown[/red]"),
            "Error: pixel[0].\\x1b[2J: [red]unknown[/red]\n",
        ),
    ],
)
def test_control_characters_in_an_error_are_escaped(capsys, error, sentence):
    def fail() -> None:
        raise error

    code = explained(fail, asked="check", debug=False)

    assert (code, *capsys.readouterr()) == (1, "", sentence)


def test_internal_error_shows_neither_traceback_nor_message(capsys):
    def fail() -> None:
        raise KeyError("person@example.com")

    code = explained(fail, asked="show", debug=False)

    assert (code, *capsys.readouterr()) == (
        1,
        "",
        (
            "Error: internal error in Twite (KeyError). Run `twite --debug show …` and "
            "report the output, without your secrets.\n"
        ),
    )


def test_internal_error_with_debug_shows_its_traceback(capsys):
    def fail() -> None:
        raise KeyError("place")

    code = explained(fail, asked="show", debug=True)

    assert code == 1
    assert "Traceback" in capsys.readouterr().err


def test_interrupted_command_exits_with_the_code_of_the_signal():
    def interrupted() -> None:
        raise KeyboardInterrupt

    assert explained(interrupted, asked="send", debug=False) == 130
