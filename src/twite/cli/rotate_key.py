"""`twite rotate-key`: seal what is stored with a new key."""

import asyncio
import os
from typing import Final

import typer

from twite.assembly.rotation import rotate
from twite.cli import printing
from twite.cli.options import DEFAULT_CONFIG, Config, Json, load, text

EXAMPLE: Final = "Example: `twite rotate-key --config /etc/twite/twite.toml`"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("rotate-key", help=text("rotate-key", rotate_key, EXAMPLE))(rotate_key)


def rotate_key(*, config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """A running gateway goes on meanwhile. Ended in the middle, run it again.

    A key in a file gets another one in its place. A key in the environment is changed there; then
    this seals everything with it, as a start of the gateway does.
    """
    done = asyncio.run(rotate(load(config), os.environ))
    if as_json:
        file = None if done.file is None else str(done.file)
        printing.print_json({"secrets": done.secrets, "file": file})
        return
    if done.file is not None:
        printing.say(f"Wrote a new key to {done.file}: keep a copy of it, and forget the old one.")
    printing.say(f"Sealed with it: {done.secrets} secrets.")
    if done.file is None:
        printing.say("server.former_secret_keys can be taken out of the settings.")
