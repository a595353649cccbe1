"""`twite emulate`: run only the emulator of X."""

import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from twite.cli import printing
from twite.cli.options import Json, interrupt_on_sigterm
from twite.config.values import address
from twite.domain.errors import SettingsError
from twite_emulator.exchange import EmulatorInputError
from twite_emulator.server.app import serve
from twite_emulator.switches import parsed
from twite_emulator.world import World

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


def emulate(
    *,
    listen: Listen = "127.0.0.1:8090",
    switch: Switch = None,
    world: WorldFile = None,
    as_json: Json = False,
) -> None:
    """Runs until SIGINT or SIGTERM. docs/reference/emulator.md lists its switches.

    Example: `twite emulate --listen 127.0.0.1:8090 --switch strict_time=on`
    """

    def ready(url: str) -> None:
        if as_json:
            printing.print_json_line({"url": url, "pid": os.getpid()})
        else:
            printing.say(f"X emulator listening on {url}")

    try:
        where, chosen, known = address(listen, "--listen"), parsed(switch or ()), _known(world)
    except SettingsError as error:
        raise typer.BadParameter(error.message, param_hint=error.place) from None
    except EmulatorInputError as error:
        raise typer.BadParameter(str(error), param_hint="--switch") from None
    # After a clean stop, the server raises the signal again.
    interrupt_on_sigterm()
    try:
        serve(host=where.host, port=where.port, switches=chosen, world=known, ready=ready)
    except KeyboardInterrupt:
        return
    except OSError as error:
        raise SettingsError(
            place="--listen",
            message=f"cannot listen on {where} ({error.strerror}). Choose another address",
        ) from None


def _known(file: Path | None) -> dict[str, object]:
    """Return what the file adds to the emulator. Raises BadParameter if the file is invalid."""
    if file is None:
        return {}
    try:
        document = msgspec.json.decode(file.read_bytes(), type=dict[str, object])
        World().merge(document)
    except (OSError, msgspec.MsgspecError, EmulatorInputError) as error:
        raise typer.BadParameter(
            f"{str(file)!r} cannot be used: {error}", param_hint="--world"
        ) from None
    return document
