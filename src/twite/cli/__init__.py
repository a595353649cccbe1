"""The commands. Each file contains one command, or several on the same subject.

A command is a function of the same name, or a `typer.Typer` with several subcommands; `application`
registers it. The docstring of the function is its help text and ends with an example. The function
reads the settings, calls one function of `app` and prints the result. If the exit code is not 0, it
raises `typer.Exit(code)`.

A command raises TwiteError for errors it can explain; `main` prints the message. Commands print
through `printing`, which escapes control characters. `groups` lists every command with a one-line
help text, so that `twite --help` does not import the commands; a file is imported when its command
is run. `options` contains the options that several commands share.

Exit codes: 0 done · 1 a failure, explained on standard error · 2 wrong usage · 141 the reader of
the output has ended.
"""

import gc
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Final

from twite.domain.errors import TwiteError
from twite.machine.standard_files import end_with_the_reader, open_missing_files

CONFIG_VARIABLE: Final = "TWITE_CONFIG"  # the settings file of commands without --config
_INTERRUPTED: Final = 130  # the shell convention: 128 + SIGINT


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    open_missing_files()
    # A gateway continues without a reader of its log.
    if next((word for word in given if not word.startswith("-")), "") != "serve":
        end_with_the_reader()
    sys.exit(run(given))


def run(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code."""
    options = list(takewhile(lambda argument: argument.startswith("-"), arguments))
    words = list(arguments[len(options) :])
    asked = words[0] if words else None
    debug = "--debug" in options
    usual = None if options else _usual_serve(words)
    if usual is not None:
        return explained(lambda: _serve(*usual), asked="serve", debug=debug)
    return explained(
        lambda: _typer(asked, [*options, *words]),
        asked=asked or "",
        debug=debug,
    )


def _usual_serve(words: list[str]) -> tuple[str | None, bool] | None:
    """Return the options of `serve [--config PATH] [--json]`; None for other arguments.

    Parsing these options here avoids importing Typer and Pydantic, a fifth of the start time.
    """
    as_json = words[-1:] == ["--json"]
    match words[:-1] if as_json else words:
        case ["serve"]:
            return None, as_json
        case ["serve", "--config" | "-c", path] if path and not path.startswith("-"):
            return path, as_json
    return None


def _serve(config: str | None, as_json: bool) -> None:  # noqa: FBT001  # see above
    gc.disable()
    from twite.cli.serve import serve  # noqa: PLC0415  # commands are imported late
    from twite.config.settings import FILE  # noqa: PLC0415

    # Modules are never freed: searching them for garbage took a tenth of the start time.
    gc.freeze()
    gc.enable()
    path = config or os.environ.get(CONFIG_VARIABLE)
    serve(config=Path(path) if path else FILE, as_json=as_json)


def _typer(asked: str | None, arguments: list[str]) -> None:
    from typer.exceptions import Abort, TyperException  # noqa: PLC0415  # see _usual_serve
    from typer.main import get_command  # noqa: PLC0415

    from twite.cli.application import application  # noqa: PLC0415

    command = get_command(application(asked))
    if "--json" not in arguments:
        command(args=arguments, prog_name="twite")
        return
    # Typer alone would draw a box of several lines around an error.
    try:
        code = command(args=arguments, prog_name="twite", standalone_mode=False)
    except Abort:
        sys.exit("aborted")
    except TyperException as wrong:
        _print_error(f"Error: {' '.join(wrong.format_message().split())}")
        sys.exit(wrong.exit_code)
    sys.exit(code)


def explained(act: Callable[[], object], *, asked: str, debug: bool) -> int:
    """Call `act` and return the exit code. Only this function prints errors."""
    try:
        act()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        _print_error(f"Error: {end.code}")
    except TwiteError as error:
        _print_error(f"Error: {error}")
    except KeyboardInterrupt:
        return _INTERRUPTED
    except Exception as error:  # noqa: BLE001  # the outermost handler: tracebacks are only for --debug
        if debug:
            traceback.print_exc()
        else:
            _print_error(
                f"Error: internal error in Twite ({type(error).__name__}). Run `twite --debug "
                f"{asked} …` and report the output, without your secrets."
            )
    else:
        return 0
    return 1


def _print_error(sentence: str) -> None:
    # Imported only for usage errors: typer imports Rich, which other commands do not need.
    from twite.cli.printing import complain  # noqa: PLC0415  # see above

    complain(sentence)
