"""`twite init`: write a first settings file, and an API key for your servers."""

import os
import secrets
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final

import msgspec
import typer

from twite.cli import CONFIG_VARIABLE, printing
from twite.cli.options import DEFAULT_CONFIG, EventPairs, Json, event_pairs, prints
from twite.config.secret_key import KEY_FILE, VARIABLE, new_key
from twite.config.template import rendered
from twite.domain.errors import SettingsError
from twite.machine.private_file import replace_file

Target = Annotated[
    Path,
    typer.Option(
        "--config", "-c", metavar="PATH", envvar=CONFIG_VARIABLE, help="The file to write"
    ),
]
PixelId = Annotated[
    str, typer.Option("--pixel", metavar="ID", help="The pixel's id, from X's Events Manager")
]
PLACEHOLDER = "your-pixel-id"
_PLACEHOLDER_EVENTS: Final = MappingProxyType({"purchase": "your-event-id"})
# `.db*` covers the files that SQLite and the gateway keep beside the database.
_IGNORED: Final = ("*.key", "*.secret", "*.token", "*.db", "*.db-*", "*.db.*")
_IGNORED_BY: Final = "# Keys and stores of Twite"
BuiltIn = Annotated[
    bool, typer.Option("--emulator", help="Send to the built-in emulator, without an account at X")
]
# The emulator's first pixel, and the events that most shops need.
_EMULATED_PIXEL: Final = "o8z6j"
_EMULATED_EVENTS: Final = MappingProxyType(
    {"purchase": "o8z6k", "sign_up": "o8z6m", "add_to_cart": "o8z6p"}
)
_EMULATOR: Final = "127.0.0.1:8090"
# Settings of the whole machine, and where their store belongs. [doc hier(7)]
_ETC: Final = "/etc"
_STATE: Final = Path("/var/lib/twite")
Force = Annotated[bool, typer.Option("--force", help="Overwrite the file, and keep the key")]


class FilesWritten(msgspec.Struct, frozen=True, kw_only=True):
    """The files of `twite init`.

    `made_key` is false if the API key in the file `key` already existed; `secret` is the file or
    the variable with the secret key.
    """

    config: str
    key: str
    made_key: bool
    secret: str


@prints(FilesWritten)
def init(
    *,
    config: Target = DEFAULT_CONFIG,
    pixel: PixelId = PLACEHOLDER,
    event: EventPairs = None,
    emulator: BuiltIn = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Only their owner can read the files (mode 0600).

    For settings in /etc, the store is in /var/lib/twite. Otherwise it is next to the settings.
    Your servers send the API key with their requests. A second key encrypts the credentials of
    twite login and the events queued for tags. If TWITE_SECRET_KEY is set, the settings use that
    key, and no file is written for it. `.gitignore` gets lines for the keys and the store.

    Example: `twite init --emulator`, or `twite init --pixel o8z6j --event purchase=o8z6k`
    """
    key_file, secret_file = config.with_name("shop.key"), config.with_name(KEY_FILE)
    named = bool(os.environ.get(VARIABLE, "").strip())
    if emulator and pixel == PLACEHOLDER:
        pixel = _EMULATED_PIXEL
    events = event_pairs(event or [])
    text = rendered(
        pixel=pixel,
        events=events or dict(_EMULATED_EVENTS if emulator else _PLACEHOLDER_EVENTS),
        key_file=key_file.name,
        secret=f"env:{VARIABLE}" if named else f"file:{KEY_FILE}",
        emulator=_EMULATOR if emulator else None,
        state=_STATE if config.resolve().is_relative_to(_ETC) else None,
    )
    if config.exists() and not force:
        raise SettingsError(
            str(config), "already exists. Use --force to overwrite it and keep the key"
        )
    made_key = not key_file.exists()
    if made_key:
        _write(key_file, f"{secrets.token_urlsafe(32)}\n")
    if not named and not secret_file.exists():
        # Keep an existing secret key: a new key could not decrypt what the old one encrypted.
        _write(secret_file, f"{new_key()}\n")
    _write(config, text)
    _ignore(config.with_name(".gitignore"))
    if as_json:
        printing.print_json(
            FilesWritten(
                config=str(config),
                key=str(key_file),
                made_key=made_key,
                secret=VARIABLE if named else str(secret_file),
            )
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
    if emulator:
        printing.say("Next: run twite serve, and send a conversion. Nothing is sent to X.")
        return
    missing = "" if event and pixel != PLACEHOLDER else "fill in the ids, "
    printing.say(f"Next: {missing}set X_PIXEL_TOKEN, and run twite check.")


def _ignore(path: Path) -> None:
    """Add what must not be committed to `.gitignore`: keys, stores, settings with secrets."""
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        missing = [line for line in _IGNORED if line not in text.splitlines()]
        if missing:
            head = text if not text or text.endswith("\n") else f"{text}\n"
            path.write_text("\n".join((f"{head}{_IGNORED_BY}", *missing, "")), encoding="utf-8")
    except (OSError, UnicodeDecodeError) as failure:
        why = getattr(failure, "strerror", None) or "not UTF-8 text"
        printing.complain(
            f"Warning: {path} cannot be written ({why}). Do not commit the key files."
        )


def _write(path: Path, text: str) -> None:
    try:
        replace_file(path, text.encode())
    except OSError as failure:
        raise SettingsError(
            str(path), f"cannot be written ({failure.strerror}). Choose another file with --config"
        ) from None
