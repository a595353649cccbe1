"""The Typer application of the commands."""

from importlib import import_module
from types import MappingProxyType
from typing import Annotated, Final

import typer

from twite import __version__
from twite.cli import GROUPS

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
        "tag": "tag.command",
    }
)
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
                import_module(f"twite.cli.{_FILES.get(name, name)}").register(app)
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
