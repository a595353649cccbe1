"""`secret_key`: the key that encrypts credentials and personal data, and settings that need it."""

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from twite.config.schema import SettingsFile
from twite.domain.errors import SettingsError
from twite.domain.secret import Secret
from twite.machine.seal import AesSeal

VARIABLE: Final = "TWITE_SECRET_KEY"
KEY_FILE: Final = "twite.secret"  # created by `twite init` next to the settings
_FILE: Final = "file:"
_SHORTEST: Final = 16


def with_secret_key(file: SettingsFile, environ: Mapping[str, str]) -> SettingsFile:
    """If the file has no key, use the key in the environment."""
    server = file.server
    text = environ.get(VARIABLE, "").strip()
    if server.secret_key is not None or not text:
        return file
    keyed = msgspec.structs.replace(server, secret_key=Secret(text))
    return msgspec.structs.replace(file, server=keyed)


def key_file(tree: Mapping[str, object], folder: Path) -> Path | None:
    """Return the file of the key; None if it is written inline or in a variable."""
    server = tree.get("server")
    written = server.get("secret_key") if isinstance(server, Mapping) else None
    if not isinstance(written, str) or not written.startswith(_FILE):
        return None
    return folder / written.removeprefix(_FILE)


def former_key_file(file: Path) -> Path:
    """Return the path of the former key, kept until no data is encrypted with it."""
    return file.with_name(f"{file.name}.former")


def with_former_key(written: SettingsFile, file: Path | None) -> SettingsFile:
    """Read the former key during a rotation, if there is one. Raises SettingsError."""
    former = None if file is None else former_key_file(file)
    if former is None or not former.exists():
        return written
    try:
        key = Secret(former.read_text("utf-8").strip())
    except (OSError, UnicodeDecodeError):
        raise SettingsError(str(former), "cannot be read. Check the file's permissions") from None
    server = written.server
    known = (*server.former_secret_keys, key)
    return msgspec.structs.replace(
        written, server=msgspec.structs.replace(server, former_secret_keys=known)
    )


def refuse_unsealed(file: SettingsFile) -> None:
    """Raise SettingsError if a key is too weak, or if a setting needs a key and there is none."""
    server = file.server
    keys = [(server.secret_key, "server.secret_key")] + [
        (key, f"server.former_secret_keys[{index}]")
        for index, key in enumerate(server.former_secret_keys)
    ]
    for key, place in keys:
        if key is not None and len(key.reveal()) < _SHORTEST:
            raise SettingsError(
                place,
                f"must have at least {_SHORTEST} characters, or it could be guessed. "
                "`openssl rand -base64 32` creates a safe key",
            )
    for index, source in enumerate(file.source):
        if source.stape_credentials != "configured" and server.secret_key is None:
            raise SettingsError(
                f"source[{index}].stape_credentials",
                "credentials are stored encrypted, but there is no key. Set "
                f'server.secret_key = "env:{VARIABLE}"',
            )
    for index, pixel in enumerate(file.pixel):
        if pixel.auth is None and server.secret_key is None:
            raise SettingsError(
                f"pixel[{index}].auth",
                "is missing, and without a key no credentials can be stored. Write { "
                'pixel_token = "env:X_PIXEL_TOKEN" }; or set server.secret_key, '
                "and sign in with twite login",
            )


def seal_of(key: Secret | None, former: tuple[Secret, ...]) -> AesSeal | None:
    """Return the seal for the store.

    Without a key, return None: the store then holds no secrets.
    """
    return None if key is None else AesSeal(key, former)


def new_key() -> str:
    return secrets.token_urlsafe(32)
