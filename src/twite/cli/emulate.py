"""`twite emulate`: the emulator of X, alone."""

import os
import signal
from pathlib import Path
from types import FrameType
from typing import Annotated, Final

import typer

from twite.app.emulator import emulate as run
from twite.cli import printing
from twite.cli.options import Json, text
from twite.config.values import address
from twite.domain.errors import SettingsError

EXAMPLE: Final = "Example: `twite emulate --listen 127.0.0.1:8081 --switch strict_time=on`"

Listen = Annotated[
    str,
    typer.Option("--listen", metavar="HOST:PORT", help="Where to listen; port 0 picks a free one"),
]
Switch = Annotated[
    list[str] | None,
    typer.Option("--switch", metavar="KEY=VALUE", help="Set a switch; repeatable"),
]
World = Annotated[
    Path | None,
    typer.Option(
        "--world", metavar="FILE", help="JSON with accounts, pixels and credentials to add"
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("emulate", help=text("emulate", emulate, EXAMPLE))(emulate)


def emulate(
    *,
    listen: Listen = "127.0.0.1:8081",
    switch: Switch = None,
    world: World = None,
    as_json: Json = False,
) -> None:
    """Runs until SIGINT or SIGTERM. docs/reference/emulator.md lists its switches."""

    def ready(url: str) -> None:
        if as_json:
            printing.print_json_line({"url": url, "pid": os.getpid()})
        else:
            printing.say(f"X is emulated on {url}")

    # The server gives a signal back when it has stopped: that is a stop in order.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        run(listen=address(listen, "--listen"), switches=switch or (), world=world, ready=ready)
    except KeyboardInterrupt:
        return
    except SettingsError as error:
        if error.place == "--listen" and "cannot listen" in error.message:
            raise
        raise typer.BadParameter(error.message, param_hint=error.place) from None


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt
