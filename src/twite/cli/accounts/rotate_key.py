"""`twite rotate-key`: seal what is stored with a new key."""

import asyncio
import os
from typing import Final

import typer

from twite.app.sealing import RotationResult, rotate
from twite.cli import printing
from twite.cli.accounts.user import who
from twite.cli.options import DEFAULT_CONFIG, Config, Json, load, text
from twite.gateway.tags.run.payload import counted

EXAMPLE: Final = "Example: `twite rotate-key --config /etc/twite/twite.toml`"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("rotate-key", help=text("rotate-key", rotate_key, EXAMPLE))(rotate_key)


def rotate_key(*, config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """The gateway keeps running. If the command is interrupted, run it again.

    A key in a file is replaced. Change a key in the environment yourself; this command then
    encrypts everything with it, as a start of the gateway does. Exits with 1 if something is still
    encrypted with a former key.
    """
    done = asyncio.run(rotate(load(config), os.environ, by=who()))
    if as_json:
        printing.print_json(
            {
                "secrets": done.secrets,
                "conversions": done.letters,
                "file": None if done.file is None else str(done.file),
                "left": {"secrets": done.left.secrets, "conversions": done.left.letters},
                "strange": done.left.strange,
            }
        )
    else:
        _told(done)
    if done.left.any:
        raise typer.Exit(1)


def _told(done: RotationResult) -> None:
    left = done.left
    if done.file is not None:
        printing.say(
            f"Wrote a new key to {done.file}: keep a copy of it"
            + ("." if left.any else ", and forget the old one.")
        )
    printing.say(f"Sealed with it: {counted(secrets=done.secrets, letters=done.letters)}.")
    for key, many in left.strange.items():
        printing.complain(
            f"Sealed with the key {key}, which is not here: {counted(letters=many)}. Add that "
            "key to server.former_secret_keys, and run this again."
        )
    if left.any:
        still = counted(secrets=left.secrets, letters=left.letters)
        printing.complain(
            f"Still sealed with a former key: {still}. "
            f"Leave that key where it is{_cure(done)}, and run this again."
        )
    elif done.file is None:
        printing.say("server.former_secret_keys can be taken out of the settings.")


def _cure(done: RotationResult) -> str:
    if done.gateway is None:
        return ""
    return f", start the gateway (process {done.gateway}) again, which has other keys than these"
