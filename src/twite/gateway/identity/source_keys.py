"""Source keys that admins create in the console, sealed in the store.

    source/<source>/<id>    a key, with its creation
    source/<source>/file    a digest of the key in the settings that is no longer accepted

Twite keeps the keys themselves, not only digests, to remove them from what clients send.
"""

import hashlib
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from twite.domain.destination import Source
from twite.domain.people.users import AuditEvent
from twite.domain.secret import Masked, Secret
from twite.gateway.identity.key_uses import KeyName
from twite.gateway.ports.secret_store import SecretStore
from twite.gateway.ports.state import SourceKeyUse, StateReader

PREFIX: Final = "source/"
# The id of the key in the settings.
IN_SETTINGS: Final = "file"
KEY_PREFIX: Final = "tws_"
_ID_BYTES: Final = 5
_KEY_BYTES: Final = 32


class StoredSourceKey(Masked, frozen=True, kw_only=True):
    """A key as it is sealed. `text` is the key; that of IN_SETTINGS is a digest."""

    in_repr = ("id",)
    id: str
    text: str
    at: int
    by: str


class AcceptedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key of a source that is accepted, without its text. `id` may be IN_SETTINGS.

    `created_at` and `by` are unknown of the key in the settings. `used_at` is None if the key was
    not used.
    """

    id: str
    created_at: int | None = None
    by: str = ""
    used_at: int | None = None


# The stored keys, by source, in the order of their creation.
StoredSourceKeys = Mapping[str, Sequence[StoredSourceKey]]


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class SourceKeyStore:
    """Creates and revokes keys of sources. Methods raise LedgerUnavailable and NotOpened."""

    secret_store: SecretStore

    async def all(self) -> StoredSourceKeys:
        found: dict[str, list[StoredSourceKey]] = {}
        for name, plain in await self.secret_store.all(PREFIX):
            source = name.removeprefix(PREFIX).rpartition("/")[0]
            key = msgspec.json.decode(plain, type=StoredSourceKey)
            found.setdefault(source, []).append(key)
        return {source: sorted(keys, key=_by_time) for source, keys in found.items()}

    async def create(self, source: str, *, audit_event: AuditEvent) -> Secret:
        """Store a new key and return it. The previous ones stay valid."""
        id_ = secrets.token_hex(_ID_BYTES)
        text = f"{KEY_PREFIX}{id_}_{secrets.token_urlsafe(_KEY_BYTES)}"
        await self._put(source, id_, text, audit_event)
        return Secret(text)

    async def revoke(self, source: Source, id_: str, *, audit_event: AuditEvent) -> bool:
        """Revoke a key, or the one IN_SETTINGS; return whether the source has it."""
        if id_ == IN_SETTINGS:
            if source.key is None:
                return False
            await self._put(source.name, id_, _digest(source.key), audit_event)
            return True
        if not any(key.id == id_ for key in (await self.all()).get(source.name, ())):
            return False
        await self.secret_store.forget(_name(source.name, id_), audit_event=audit_event)
        return True

    async def _put(self, source: str, id_: str, text: str, audit_event: AuditEvent) -> None:
        key = StoredSourceKey(id=id_, text=text, at=audit_event.at, by=audit_event.who)
        await self.secret_store.put(
            _name(source, id_), msgspec.json.encode(key), audit_event=audit_event
        )


async def accepted_keys(
    source: Source, stored_keys: StoredSourceKeys, state: StateReader
) -> list[AcceptedKey]:
    """Return the accepted keys, the one in the settings first. Raises LedgerUnavailable."""
    used = {
        use.id: use.used_at
        for use in await state.load(SourceKeyUse, prefix=source.name)
        if use.source == source.name
    }
    stored = stored_keys.get(source.name, ())
    keys = [
        AcceptedKey(id=key.id, created_at=key.at, by=key.by, used_at=used.get(key.id))
        for key in stored
        if key.id != IN_SETTINGS
    ]
    if source.key is None or is_revoked(source, stored):
        return keys
    return [AcceptedKey(id=IN_SETTINGS, used_at=used.get(IN_SETTINGS)), *keys]


def with_stored_keys(sources: Iterable[Source], stored_keys: StoredSourceKeys) -> list[Source]:
    """Return the sources with their stored keys, and without revoked keys of the settings."""
    return [_with_keys(source, stored_keys.get(source.name, ())) for source in sources]


def key_names(source: Source) -> Iterator[tuple[Secret, KeyName]]:
    """Yield each accepted key of a source with its name."""
    if source.key is not None:
        yield source.key, KeyName(source.name, IN_SETTINGS)
    for key in source.stored_keys:
        id_ = key.reveal().removeprefix(KEY_PREFIX).partition("_")[0]
        yield key, KeyName(source.name, id_)


def is_revoked(source: Source, keys: Iterable[StoredSourceKey]) -> bool:
    """Return whether the source's key in the settings is no longer accepted."""
    if source.key is None:
        return False
    digest = _digest(source.key)
    return any(key.id == IN_SETTINGS and key.text == digest for key in keys)


def _with_keys(source: Source, keys: Sequence[StoredSourceKey]) -> Source:
    return msgspec.structs.replace(
        source,
        key=None if is_revoked(source, keys) else source.key,
        stored_keys=tuple(Secret(key.text) for key in keys if key.id != IN_SETTINGS),
    )


def _digest(secret: Secret) -> str:
    return hashlib.sha256(secret.reveal().encode()).hexdigest()


def _name(source: str, id_: str) -> str:
    return f"{PREFIX}{source}/{id_}"


def _by_time(key: StoredSourceKey) -> int:
    return key.at
