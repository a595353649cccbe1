"""`twite emulate`, or `python -m twite_emulator`: run only the emulator of X."""

import os
import re
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, Final

import msgspec
import typer

from twite_emulator.exchange import EmulatorInputError
from twite_emulator.server.app import serve
from twite_emulator.switches import parsed
from twite_emulator.world import World

_ADDRESS: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([\w.-]+)):([0-9]{1,5})", re.ASCII)
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


class EmulatorReady(msgspec.Struct, frozen=True, kw_only=True):
    """The address and the process of an emulator that accepts requests."""

    url: str
    pid: int


def emulate(
    *,
    listen: Listen = "127.0.0.1:8090",
    switch: Switch = None,
    world: WorldFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """Runs until SIGINT or SIGTERM. docs/reference/emulator.md lists its switches.

    Example: `twite emulate --listen 127.0.0.1:8090 --switch strict_time=on`
    """

    def ready(url: str) -> None:
        found = EmulatorReady(url=url, pid=os.getpid())
        line = msgspec.json.encode(found).decode() if as_json else url
        typer.echo(line if as_json else f"X emulator listening on {line}")
        sys.stdout.flush()

    host, port = _address(listen)
    try:
        switches = parsed(switch or ())
    except EmulatorInputError as error:
        raise typer.BadParameter(str(error), param_hint="--switch") from None
    known = _known(world)
    # After a clean stop, the server raises the signal again.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        serve(host=host, port=port, switches=switches, world=known, ready=ready)
    except KeyboardInterrupt:
        return
    except OSError as error:
        typer.echo(
            f"Error: --listen: cannot listen on {listen} ({error.strerror}). "
            "Choose another address",
            err=True,
        )
        raise typer.Exit(1) from None


def _address(text: str) -> tuple[str, int]:
    """Return the host and port. Raises BadParameter."""
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match[3]) >= 1 << 16:
        raise typer.BadParameter(
            f"{text!r} has no valid port or host. Write the host and port, such as "
            '"127.0.0.1:8090" or "[::1]:8090"',
            param_hint="--listen",
        )
    return match[1] or match[2], int(match[3])


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


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Stop on SIGTERM as on Ctrl-C."""
    del number, frame
    raise KeyboardInterrupt


if __name__ == "__main__":
    typer.run(emulate)
