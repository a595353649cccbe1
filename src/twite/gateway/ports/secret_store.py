"""Secret store: secrets that Twite receives over the network, stored sealed, by name.

A sealed text is bound to its name, and cannot be opened under another one.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Final, Protocol, Self

from twite.domain.people.users import AuditEvent
from twite.gateway.ports.state import SealedSecret, StateStore

# Name prefixes of a server container's secrets, and of users' codes.
CONTAINER: Final = "container/"
CODES: Final = "totp/"


class Seal(Protocol):
    """Seals secrets with a key."""

    def close(self, name: str, plain: bytes) -> bytes:
        """Seal a secret under a name with the current key."""

    def open(self, name: str, sealed: bytes) -> bytes:
        """Open a sealed secret. Raises NotOpened."""

    def is_current(self, sealed: bytes) -> bool:
        """Return whether the current key sealed a text, judging by its first 5 bytes."""

    def is_former(self, sealed: bytes) -> bool:
        """Return whether a known former key sealed a text, judging by its first 5 bytes."""

    def key_of(self, sealed: bytes) -> str:
        """Return the name of the key that sealed a text, from its first 5 bytes."""


class TurnedSeal(Seal, Protocol):
    """A Seal whose keys can be replaced while it is in use."""

    def turn(self, seal: Self) -> None:
        """Use the keys of another seal from now on."""


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class SecretStore:
    """Stores secrets, and reseals them after a change of the key."""

    state: StateStore
    seal: Seal
    # A resealed secret must not replace a secret that was stored meanwhile.
    _turn: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)

    async def put(self, name: str, plain: bytes, *, audit_event: AuditEvent | None = None) -> None:
        """Seal and store a secret. Raises LedgerUnavailable."""
        async with self._turn:
            secret = SealedSecret(name=name, sealed=self.seal.close(name, plain))
            await self.state.put([secret], audit_event=audit_event)

    async def put_sealed(
        self, name: str, sealed: bytes, *, audit_event: AuditEvent | None = None
    ) -> None:
        """Store a secret that was already sealed with the same key.

        Raises NotOpened, LedgerUnavailable.
        """
        await self.put(name, self.seal.open(name, sealed), audit_event=audit_event)

    async def all(self, prefix: str) -> list[tuple[str, bytes]]:
        """Return (name, secret) by name prefix; reseal secrets of former keys. Raises NotOpened."""
        found = []
        async with self._turn:
            for secret in await self.state.load(SealedSecret, prefix=prefix):
                name, plain = secret.name, self.seal.open(secret.name, secret.sealed)
                found.append((name, plain))
                if not self.seal.is_current(secret.sealed):
                    anew = SealedSecret(name=name, sealed=self.seal.close(name, plain))
                    await self.state.put([anew], old_secret=secret)
        return found

    async def forget(self, name: str, *, audit_event: AuditEvent | None = None) -> None:
        async with self._turn:
            await self.state.delete(SealedSecret, name, audit_event=audit_event)
