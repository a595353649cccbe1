"""`twite init`: write a first settings file, and an API key for your servers."""

import os
import secrets
from pathlib import Path
from typing import Annotated

import typer

from twite.cli import printing
from twite.cli.options import DEFAULT_CONFIG, Json
from twite.config.secret_key import KEY_FILE, VARIABLE, new_key
from twite.config.template import rendered
from twite.domain.errors import SettingsError
from twite.machine.private_file import replace_file

Target = Annotated[Path, typer.Option("--config", "-c", metavar="PATH", help="The file to write")]
PixelId = Annotated[
    str, typer.Option("--pixel", metavar="ID", help="The pixel's id, from X's Events Manager")
]
Event = Annotated[
    list[str] | None,
    typer.Option(
        "--event", metavar="NAME=ID", help="Your name for an event, and X's id; repeatable"
    ),
]
PLACEHOLDER = "your-pixel-id"
Force = Annotated[bool, typer.Option("--force", help="Overwrite the file, and keep the key")]


def init(
    *,
    config: Target = DEFAULT_CONFIG,
    pixel: PixelId = PLACEHOLDER,
    event: Event = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Only their owner can read the files (mode 0600).

    Your servers send the API key with their requests. A second key encrypts the credentials of
    twite login and the events queued for tags. If TWITE_SECRET_KEY is set, the settings use that
    key, and no file is written for it.

    Example: `twite init --pixel o8z6j --event purchase=o8z6k`
    """
    key_file, secret_file = config.with_name("shop.key"), config.with_name(KEY_FILE)
    named = bool(os.environ.get(VARIABLE, "").strip())
    text = rendered(
        pixel=pixel,
        events=_pairs(event or []),
        key_file=key_file.name,
        secret=f"env:{VARIABLE}" if named else f"file:{KEY_FILE}",
    )
    if config.exists() and not force:
        raise SettingsError(
            place=str(config),
            message="already exists. Use --force to overwrite it and keep the key",
        )
    made_key = not key_file.exists()
    if made_key:
        _write(key_file, f"{secrets.token_urlsafe(32)}\n")
    if not named and not secret_file.exists():
        # Keep an existing secret key: a new key could not decrypt what the old one encrypted.
        _write(secret_file, f"{new_key()}\n")
    _write(config, text)
    if as_json:
        printing.print_json(
            {
                "config": str(config),
                "key": str(key_file),
                "made_key": made_key,
                "secret": VARIABLE if named else str(secret_file),
            }
        )
        return
    printing.say(f"Wrote {config}.")
    key_line = (
        "Wrote the key of the source “shop” to"
        if made_key
        else "Kept the key of the source “shop” in"
    )
    printing.say(f"{key_line} {key_file}.")
    where = f"the environment ({VARIABLE})" if named else secret_file
    printing.say(
        f"The key in {where} encrypts stored credentials and events queued for tags. Keep a copy."
    )
    missing = "" if event and pixel != PLACEHOLDER else "fill in the ids, "
    printing.say(f"Next: {missing}set X_PIXEL_TOKEN, and run twite check.")


def _pairs(events: list[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for pair in events:
        name, equals, event = pair.partition("=")
        if not (name and equals and event):
            raise typer.BadParameter(
                f"{pair!r} is not of the form NAME=ID, such as purchase=o8z6k", param_hint="--event"
            )
        pairs[name] = event
    return pairs or {"purchase": "your-event-id"}


def _write(path: Path, text: str) -> None:
    try:
        replace_file(path, text.encode())
    except OSError as failure:
        raise SettingsError(
            place=str(path),
            message=f"cannot be written ({failure.strerror}). Choose another file with --config",
        ) from None
