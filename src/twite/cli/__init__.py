"""The commands. Each file holds one command, or several about one subject, built alike:

    register(app)   adds the commands, with their help and an example
    its function    reads settings, calls one thing of `app`, prints, and exits by
                    `raise typer.Exit(code)` if the code is not 0

A command raises TwiteError for errors it can explain; `main` prints the message. Commands print
through `printing`, which escapes control characters. GROUPS has every command with its help, so
that `twite --help` imports none of them; a file is imported when its command is run. `options` has
what several commands share.

Exit codes: 0 done · 1 a failure, explained on standard error · 2 wrong usage.
"""

import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from itertools import takewhile
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final

import typer
from typer.main import get_command

from twite import __version__
from twite.domain.errors import TwiteError

GROUPS: Final = MappingProxyType(
    {
        "Start": {
            "demo": "Run a demo with an X emulator and a small shop",
            "init": "Write a commented twite.toml and an API key",
            "check": "Check settings, credentials, store and gateway",
            "serve": "Run the gateway",
            "emulate": "Run only the X emulator",
        },
        "X account": {
            "login": "Sign in to X for a pixel, or store its pixel token",
            "logout": "Delete the stored credentials of a pixel",
            "events": "Manage X's events, and print code that sends them",
        },
        "Conversions": {
            "send": "Send conversions from JSON, JSON Lines, CSV or Parquet files",
            "show": "Show the history of a conversion, attempt by attempt",
            "rejected": "List conversions rejected at intake, with the reasons",
            "dead": "List, replay or discard dead letters and held conversions",
            "dedup": "Compare conversion ids sent by X's pixel and the gateway",
        },
        "Operations": {
            "accounting": "Show the balance and a forecast of pending conversions",
            "alerts": "List open alerts, or test their webhook",
            "erase": "Erase a person from the store",
            "backup": "Copy the store while it is in use",
            "restore": "Replace the store with a backup",
            "recover": "Rebuild a damaged store from its intact rows",
            "store": "Copy the store to another database",
            "rotate-key": "Replace the key that encrypts stored credentials",
        },
        "Server tags": {
            "import": "Convert a server container export into configuration",
            "tag": "Inspect, test and run a tag template",
            "compare": "Compare a container's requests with captured ones",
        },
        "Users and API keys": {
            "user": "Add, list, change or remove console users",
            "key": "Add, list or revoke API keys",
            "audit": "Show the actions of users, and verify the audit log",
        },
    }
)
COMMANDS: Final = MappingProxyType(
    {name: sentence for commands in GROUPS.values() for name, sentence in commands.items()}
)
# Former names, which still work and are not listed.
ALIASES: Final = MappingProxyType({"overlap": "dedup", "shadow": "compare"})
# Commands whose module has another name.
_FILES: Final = MappingProxyType(
    {
        "import": "import_container",
        "logout": "login",
        "user": "users",
        "key": "users",
        "backup": "maintenance",
        "restore": "maintenance",
        "recover": "maintenance",
        "rotate-key": "maintenance",
        "send": "send.command",
        "demo": "demo.command",
    }
)
_INTERRUPTED: Final = 130  # the shell convention: 128 + SIGINT
ABOUT: Final = """A self-hosted conversion gateway for X.

Start with `twite demo`, or with `twite init` and `twite check`."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its code."""
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code."""
    options = list(takewhile(lambda argument: argument.startswith("-"), arguments))
    words = list(arguments[len(options) :])
    words[:1] = [ALIASES.get(word, word) for word in words[:1]]
    asked = words[0] if words else None
    debug = "--debug" in options
    usual = None if options else _usual_serve(words)
    if usual is not None:
        return explained(lambda: _serve(*usual), asked="serve", debug=debug)
    return explained(
        lambda: get_command(application(asked))(args=[*options, *words], prog_name="twite"),
        asked=asked or "",
        debug=debug,
    )


def _usual_serve(words: list[str]) -> tuple[str | None, bool] | None:
    """Return the options of `serve [--config PATH] [--json]`; None for other arguments.

    Typer imports Pydantic to read options, which takes a fifth of the start time.
    """
    as_json = words[-1:] == ["--json"]
    match words[:-1] if as_json else words:
        case ["serve"]:
            return None, as_json
        case ["serve", "--config" | "-c", path] if path and not path.startswith("-"):
            return path, as_json
    return None


def _serve(config: str | None, as_json: bool) -> None:  # noqa: FBT001  # see above
    from twite.cli.options import DEFAULT_CONFIG  # noqa: PLC0415  # commands are imported late
    from twite.cli.serve import serve  # noqa: PLC0415

    serve(config=DEFAULT_CONFIG if config is None else Path(config), as_json=as_json)


def explained(act: Callable[[], object], *, asked: str, debug: bool) -> int:
    """Call `act` and return the exit code. Only this function prints errors."""
    try:
        act()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except TwiteError as error:
        _say(f"Error: {error}")
    except KeyboardInterrupt:
        return _INTERRUPTED
    except Exception as error:  # noqa: BLE001  # the last border: no traceback reaches a person unasked
        if debug:
            traceback.print_exc()
        else:
            _say(
                f"Error: internal error in Twite ({type(error).__name__}). Run `twite --debug "
                f"{asked} …` and report the output, without your secrets."
            )
    else:
        return 0
    return 1


def application(asked: str | None) -> typer.Typer:
    """Return the application. Only the requested command is imported."""
    app = typer.Typer(
        name="twite",
        help=ABOUT,
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_globals)
    for group, commands in GROUPS.items():
        for name, sentence in commands.items():
            if name == asked:
                import_module(f"{__name__}.{_FILES.get(name, name)}").register(app)
            else:
                app.command(name, help=sentence, rich_help_panel=group)(_not_asked)
    return app


def _version(asked: bool) -> None:  # noqa: FBT001  # the signature that Typer calls
    if asked:
        typer.echo(f"twite {__version__}")
        raise typer.Exit


def _globals(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit", is_eager=True, callback=_version
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show a traceback for errors in Twite itself")
    ] = False,
) -> None:
    # `--version` has already exited; `run` reads `--debug`, because errors are handled there.
    del version, debug


def _not_asked() -> None:
    """A command in the list; only the requested command is imported."""


def _say(sentence: str) -> None:
    # Imported only for usage errors: typer imports Rich, which other commands do not need.
    from twite.cli.printing import complain  # noqa: PLC0415  # see above

    complain(sentence)
