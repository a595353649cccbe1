"""`twite emulate`: run only the emulator of X."""

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated, Final

import msgspec
import typer

from twite.cli import printing
from twite.cli.options import Json, text
from twite.config.values import HostPort, address
from twite.domain.errors import SettingsError
from twite.emulator.server.app import serve
from twite.emulator.switches import SwitchError, parsed
from twite.emulator.world import World, WorldError

EXAMPLE: Final = "Example: `twite emulate --listen 127.0.0.1:8081 --switch strict_time=on`"

Listen = Annotated[
    str,
    typer.Option(
        "--listen", metavar="HOST:PORT", help="The address to listen on; port 0 picks a free port"
    ),
]
Switch = Annotated[
    list[str] | None,
    typer.Option("--switch", metavar="KEY=VALUE", help="Set a switch; repeatable"),
]
WorldFile = Annotated[
    Path | None,
    typer.Option(
        "--world", metavar="FILE", help="A JSON file of accounts, pixels and credentials to add"
    ),
]


def register(app: typer.Typer) -> None:
    app.command("emulate", help=text("emulate", emulate, EXAMPLE))(emulate)


def emulate(
    *,
    listen: Listen = "127.0.0.1:8081",
    switch: Switch = None,
    world: WorldFile = None,
    as_json: Json = False,
) -> None:
    """Runs until SIGINT or SIGTERM. docs/reference/emulator.md lists its switches."""

    def ready(url: str) -> None:
        if as_json:
            printing.print_json_line({"url": url, "pid": os.getpid()})
        else:
            printing.say(f"X emulator listening on {url}")

    # The server raises the signal again after a clean stop.
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


def run(
    *, listen: HostPort, switches: Sequence[str], world: Path | None, ready: Callable[[str], None]
) -> None:
    """Run until SIGINT or SIGTERM.

    `switches` are texts such as `strict_time=on`. `world` names a JSON file of accounts, pixels and
    credentials to add to the default ones. `ready` is called with the address. Raises
    SettingsError, which names the wrong option.
    """
    try:
        chosen = parsed(switches)
    except SwitchError as error:
        raise SettingsError(place="--switch", message=str(error)) from None
    known = _known(world)
    try:
        serve(host=listen.host, port=listen.port, switches=chosen, world=known, ready=ready)
    except OSError as error:
        raise SettingsError(
            place="--listen",
            message=f"cannot listen on {listen} ({error.strerror}). Choose another address",
        ) from None


def _known(file: Path | None) -> dict[str, object] | None:
    if file is None:
        return None
    world = World()
    try:
        world.merge(msgspec.json.decode(file.read_bytes(), type=dict[str, object]))
    except (OSError, msgspec.MsgspecError, WorldError) as error:
        raise SettingsError(
            place="--world", message=f"{str(file)!r} cannot be used: {error}"
        ) from None
    built = msgspec.to_builtins(world.document())
    return dict(built)
