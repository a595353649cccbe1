"""The Typer application of the commands."""

import inspect
import re
from importlib import import_module
from typing import Annotated, Final

import typer

from twite import __version__
from twite.cli.groups import GROUPS, PLACES, SUMMARIES
from twite.machine.commit import commit

ABOUT: Final = """A self-hosted conversion gateway for X.

Start with `twite demo`, or with `twite init` and `twite check`."""


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
                _add(app, name)
            else:
                app.command(name, help=sentence, rich_help_panel=group)(_not_asked)
    return app


def _add(app: typer.Typer, name: str) -> None:
    """Add a command: a function, or a Typer application with several subcommands."""
    module, _, function = PLACES[name].partition(":")
    command = getattr(import_module(module), function)
    if isinstance(command, typer.Typer):
        for registered in command.registered_commands:
            registered.help = _summarized(inspect.getdoc(registered.callback) or "")
        app.add_typer(command, name=name, help=f"{SUMMARIES[name]}\n\n{command.info.help}")
    else:
        app.command(name, help=f"{SUMMARIES[name]}\n\n{inspect.getdoc(command)}")(command)


def _summarized(text: str) -> str:
    """Make the first sentence of a docstring a paragraph of its own, without its full stop."""
    summary, *rest = re.split(r"\.(?:\s+|$)", text, maxsplit=1)
    return "\n\n".join((summary, *rest))


def _version(asked: bool) -> None:  # noqa: FBT001  # the signature that Typer calls
    if asked:
        built_from = commit()
        typer.echo(f"twite {__version__}" + (f" (commit {built_from})" if built_from else ""))
        raise typer.Exit


def _globals(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version and commit, and exit",
            is_eager=True,
            callback=_version,
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
