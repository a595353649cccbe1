"""`python -m twite.emulator`: run the emulator without Twite's other commands."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import msgspec

from twite.emulator.server.app import DEFAULT_HOST, DEFAULT_PORT, serve
from twite.emulator.switches import SwitchError, parsed
from twite.emulator.world import World, WorldError


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code: 0 after a stop, 1 if the address is in use, 2 for wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        switches = parsed(options.switch)
        world = _world(options.world)
        host, port = _address(options.listen)
    except (SwitchError, WorldError, ValueError) as error:
        print(f"twite.emulator: {error}", file=sys.stderr)  # noqa: T201 - a command speaks
        return 2
    # The server raises the signal again after a clean stop.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        serve(
            host=host,
            port=port,
            switches=switches,
            world=world,
            ready=lambda url: _announce(url, as_json=options.json),
        )
    except OSError as error:
        text = f"twite.emulator: cannot listen on {options.listen}: {error.strerror}"
        print(text, file=sys.stderr)  # noqa: T201 - a command speaks
        return 1
    except KeyboardInterrupt:
        pass
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m twite.emulator",
        description="Emulate X's Conversion API on loopback.",
        epilog="Example: python -m twite.emulator --listen 127.0.0.1:0 --switch strict_time=on",
    )
    default = f"{DEFAULT_HOST}:{DEFAULT_PORT}"
    listening = "the address to listen on; port 0 picks a free port"
    parser.add_argument("--listen", default=default, metavar="HOST:PORT", help=listening)
    parser.add_argument("--switch", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--world", metavar="FILE", help="JSON, added to the default world")
    parser.add_argument("--json", action="store_true", help="print the address as one line of JSON")
    return parser


def _address(listen: str) -> tuple[str, int]:
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdecimal():
        raise ValueError(f"Write the address as HOST:PORT, not {listen!r}")
    return host.strip("[]"), int(port)


def _world(path: str | None) -> dict[str, object]:
    world = World()
    if path is not None:
        try:
            world.merge(msgspec.json.decode(Path(path).read_bytes(), type=dict[str, object]))
        except (OSError, msgspec.MsgspecError) as error:
            raise ValueError(f"The world in {path!r} cannot be read: {error}") from None
    return msgspec.convert(msgspec.to_builtins(world.document()), dict[str, object])


def _announce(url: str, *, as_json: bool) -> None:
    line = json.dumps({"url": url, "pid": os.getpid()}) if as_json else f"X is emulated on {url}"
    print(line, flush=True)  # noqa: T201 - a command speaks


if __name__ == "__main__":
    sys.exit(main())
