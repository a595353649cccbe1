"""Diagnostics of the keys that seal: what needs a former key, and what no key opens."""

from collections.abc import AsyncIterator
from typing import Final

from twite.app.sealing import still_sealed
from twite.config.secret_key import former_key_file
from twite.config.settings import Settings
from twite.domain.errors import StoreUnusable, TransientError
from twite.gateway.ports.findings import CheckFinding, amber, red
from twite.gateway.tags.run.payload import counted

_LEAKED: Final = "A leaked key can decrypt what it sealed until you remove it."


async def key(settings: Settings) -> AsyncIterator[CheckFinding]:
    """Count what is not sealed with the current key."""
    try:
        left = await still_sealed(settings)
    except (StoreUnusable, TransientError):
        return  # the check of the store reports why
    for name, many in left.strange.items():
        yield red(
            "key",
            f"sealed with the key {name}, which is not here: {counted(letters=many)}",
            "These deliveries cannot be decrypted; each is held when it is due.",
            "Add that key to server.former_secret_keys, and run twite rotate-key; then replay "
            "what is held.",
        )
    server = settings.server
    file = server.secret_key_file
    unfinished = file is not None and former_key_file(file).exists()
    if left.any:
        yield amber(
            "key",
            "still sealed with a former key: "
            + counted(secrets=left.secrets, letters=left.letters),
            "Without that key they cannot be decrypted.",
            "Leave it where it is, and run twite rotate-key.",
        )
    elif unfinished:
        yield amber(
            "key",
            "a rotation was interrupted: the former key is still there",
            _LEAKED,
            "Run twite rotate-key again.",
        )
    elif server.former_secret_keys:
        yield amber(
            "key",
            f"former keys that are still accepted: {len(server.former_secret_keys)}; nothing is "
            "sealed with one any more",
            _LEAKED,
            "Take server.former_secret_keys out of the settings.",
        )
