"""The keys of sources, for `twite key sources`."""

import msgspec

from twite.app.logins import CredentialReader, stored_source_keys, vault_seal
from twite.app.store_access import read_records
from twite.config.settings import Settings
from twite.domain.times import spelled
from twite.gateway.identity.source_keys import IN_SETTINGS, accepted_keys
from twite.gateway.ports.secret_store import SecretStore
from twite.gateway.ports.store import StoreReader


class SourceKeyView(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted key of a source, without the key itself.

    `id` and `created_at` are null for the key in the settings, and `used_at` if the key was not
    used. It is exact to the minute.
    """

    source: str
    id: str | None
    created_at: str | None
    made_by: str
    used_at: str | None


def read_source_keys(settings: Settings) -> list[SourceKeyView]:
    """Return the accepted keys of all sources. Raises StoreUnusable and NotOpened."""
    seal = vault_seal(settings)

    async def read(store_reader: StoreReader) -> list[SourceKeyView]:
        secret_store = (
            None if seal is None else SecretStore(state=CredentialReader(store_reader), seal=seal)
        )
        stored_keys = await stored_source_keys(secret_store)
        return [
            SourceKeyView(
                source=source.name,
                id=None if key.id == IN_SETTINGS else key.id,
                created_at=None if key.created_at is None else spelled(key.created_at),
                made_by=key.by,
                used_at=None if key.used_at is None else spelled(key.used_at),
            )
            for source in settings.sources()
            for key in await accepted_keys(source, stored_keys, store_reader)
        ]

    return read_records(settings, read)
