"""The key that seals what must be kept secret, and who needs one."""

from collections.abc import Mapping
from typing import Final

import msgspec

from twite.assembly import shape
from twite.domain.errors import SettingsError
from twite.domain.secret import Secret
from twite.machine.seal import AesSeal

VARIABLE: Final = "TWITE_SECRET_KEY"
_SHORTEST: Final = 16


def with_secret_key(written: shape.Shape, environ: Mapping[str, str]) -> shape.Shape:
    """Take the key from the environment where the file names none."""
    server = written.server
    text = environ.get(VARIABLE, "").strip()
    if server.secret_key is not None or not text:
        return written
    keyed = msgspec.structs.replace(server, secret_key=Secret(text))
    return msgspec.structs.replace(written, server=keyed)


def refuse_unsealed(written: shape.Shape) -> None:
    """Raise SettingsError where something is to be kept secret and there is no good key for it."""
    server = written.server
    keys = [(server.secret_key, "server.secret_key")] + [
        (key, f"server.former_secret_keys[{index}]")
        for index, key in enumerate(server.former_secret_keys)
    ]
    for key, place in keys:
        if key is not None and len(key.reveal()) < _SHORTEST:
            raise SettingsError(
                place=place,
                message=f"must have {_SHORTEST} characters or more, or it could be guessed. "
                "`openssl rand -base64 32` makes a good one",
            )
    for index, source in enumerate(written.source):
        if source.stape_credentials != "configured" and server.secret_key is None:
            raise SettingsError(
                place=f"source[{index}].stape_credentials",
                message="credentials are kept sealed, and there is no key. "
                f'Write server.secret_key = "env:{VARIABLE}"',
            )


def seal_of(key: Secret | None, former: tuple[Secret, ...]) -> AesSeal | None:
    """Return what seals; None without a key, and then nothing secret is kept."""
    return None if key is None else AesSeal(key, former)
