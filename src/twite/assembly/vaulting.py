"""Secrets that a command puts into the store: itself, or through the gateway that owns it."""

from collections.abc import Mapping, Sequence

from twite.assembly.logins import open_vault
from twite.assembly.sealing import VARIABLE, seal_of
from twite.assembly.settings import Settings
from twite.domain.errors import SettingsError
from twite.domain.secret import Secret
from twite.gateway.vault import Seal, Strongroom


def sealing_key(settings: Settings, *, otherwise: str) -> Seal:
    """Return what seals. Raises SettingsError where there is no key; `otherwise` is the way out."""
    key = settings.server.secret_key
    seal = seal_of(key or None, settings.server.former_secret_keys)
    if seal is None:
        raise SettingsError(
            place="server.secret_key",
            message="there are secrets to keep, and no key to seal them with. Make one with "
            f"`openssl rand -base64 32`, set it as {VARIABLE}, and write secret_key = "
            f'"env:{VARIABLE}" into [server]; {otherwise}',
        )
    return seal


async def forget_secrets(settings: Settings, names: Sequence[str]) -> None:
    """Take them out of the store. Raises StoreUnusable, StoreInUse, LedgerUnavailable."""
    async with open_vault(settings) as vault:
        for name in names:
            await vault.forget(name)


async def keep_secrets(settings: Settings, seal: Seal, secrets: Mapping[str, Secret]) -> None:
    """Put them into the store under their names.

    Raises StoreUnusable, StoreInUse, LedgerUnavailable.
    """
    async with open_vault(settings) as vault:
        strongroom = Strongroom(vault=vault, seal=seal)
        for name, secret in secrets.items():
            await strongroom.put(name, secret.reveal().encode())
