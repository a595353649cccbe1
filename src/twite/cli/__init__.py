"""The commands.

One file a command, each with the same anatomy:

    register(app)   adds the command, with its sentence, an example and its options
    its function    reads settings, calls one thing of `assembly`, prints, and returns an exit code
                    by `raise typer.Exit(code)` where that is not 0

A command raises TwiteError for what it can explain; `main` makes the sentence. It prints through
`printing`, which lets no hostile value touch the terminal. COMMANDS names every command with its
sentence, so that `twite --help` imports none of them; a file is imported when its command is asked
for. `options` has what several commands share.

Exit codes: 0 done · 1 a failure, explained on standard error · 2 wrong usage.
"""

import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from itertools import takewhile
from types import MappingProxyType
from typing import Annotated, Final

import typer
from typer.main import get_command

from twite import __version__
from twite.domain.errors import TwiteError

COMMANDS: Final = MappingProxyType(
    {
        "demo": "Watch it work: gateway, X emulator and a small shop on this machine.",
        "init": "Write a commented twite.toml and a key for your servers.",
        "check": "The doctor: is everything in place for conversions to reach X?",
        "login": "Sign in to X for a pixel, or store its pixel token.",
        "logout": "Forget what is stored of a pixel's credentials.",
        "events": "List, create, change or delete X's events; calls for each, ready-made.",
        "rotate-key": "Seal what is stored with a new key.",
        "serve": "Run the gateway.",
        "emulate": "Run the X emulator alone.",
        "send": "Send conversions from files: JSON, JSON Lines or CSV.",
        "show": "Show the life of a conversion, attempt by attempt.",
        "rejected": "List conversions that were refused at intake, and what is wrong with them.",
        "dead": "List, replay or discard deliveries that are dead or held.",
        "erase": "Take what names a person out of the store.",
        "user": "Who may sign in to the console: add, list, change or remove.",
        "key": "Keys for programs that ask over HTTP: add, list or revoke.",
        "audit": "Who did what in the console, and whether that list is whole.",
        "tag": "Test, run and look through a server-side tag template.",
        "import": "Make a server container's export into configuration.",
        "shadow": "Compare what a container here would send with what was sent elsewhere.",
        "backup": "Copy the store while it is in use.",
        "restore": "Put a backup in the place of the store.",
        "recover": "Save what is sound of a damaged store.",
        "accounting": "Show the balance, and what is pending; fail if it does not balance.",
        "alerts": "List the open alerts, or try the webhook they go to.",
        "overlap": "Do X's pixel and the gateway name the same conversions alike?",
    }
)
# Commands whose module has another name.
_FILES: Final = MappingProxyType(
    {
        "import": "import_container",
        "rotate-key": "accounts.rotate_key",
        "login": "accounts.login",
        "logout": "accounts.logout",
        "user": "accounts.user",
        "key": "accounts.key",
        "audit": "accounts.audit",
        "send": "send.command",
        "demo": "demo.command",
        "events": "events.command",
        "overlap": "dedup",
        "shadow": "compare",
    }
)
_INTERRUPTED: Final = 130  # as shells say it: 128 and the number of SIGINT
ABOUT: Final = """A self-hosted conversion gateway for X.

Begin with `twite demo`, or `twite init` and `twite check`."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its code."""
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code."""
    asked = next((argument for argument in arguments if not argument.startswith("-")), None)
    return explained(
        lambda: get_command(application(asked))(args=list(arguments), prog_name="twite"),
        asked=asked or "",
        debug="--debug" in takewhile(lambda one: one.startswith("-"), arguments),
    )


def explained(act: Callable[[], object], *, asked: str, debug: bool) -> int:
    """Act and return the exit code. The one place where an error becomes a sentence."""
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
                f"Error: a fault of Twite's own ({type(error).__name__}). Run it again as "
                f"`twite --debug {asked} …` and report what it prints, without your secrets."
            )
    else:
        return 0
    return 1


def application(asked: str | None) -> typer.Typer:
    """Return the application with the command that was asked for; the others only have a name."""
    app = typer.Typer(
        name="twite",
        help=ABOUT,
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_globals)
    for name, sentence in COMMANDS.items():
        if name == asked:
            import_module(f"{__name__}.{_FILES.get(name, name)}").register(app)
        else:
            app.command(name, help=sentence)(_not_asked)
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
            "--version", help="Print the version and exit.", is_eager=True, callback=_version
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show a traceback where Twite itself is at fault.")
    ] = False,
) -> None:
    # The one has been obeyed already; the other is read in `run`, which outlives this call.
    del version, debug


def _not_asked() -> None:
    """Stand in the list of commands: only the one that was asked for is imported."""


def _say(sentence: str) -> None:
    # Imported late: it brings Rich, which a command that succeeds quietly never needs.
    from twite.cli.printing import complain  # noqa: PLC0415  # see above

    complain(sentence)
