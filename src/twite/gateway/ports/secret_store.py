"""Secrets that come in over the network and must outlive the process: sealed, by name.

The store keeps what it cannot read (SealedSecret); a Seal opens it. A sealed text is bound to
its name: put under another, it does not open.
"""

import asyncio
from typing import Final, Protocol

from twite.domain.people.users import AuditEvent
from twite.gateway.ports.state import SealedSecret, StateStore

# What the names of a server container's secrets begin with, and those of users' codes.
CONTAINER: Final = "container/"
CODES: Final = "totp/"


class Seal(Protocol):
    """Holds the key."""

    def close(self, name: str, plain: bytes) -> bytes:
        """Seal a secret under a name, with the current key."""

    def open(self, name: str, sealed: bytes) -> bytes:
        """Return the secret. Raises NotOpened."""

    def is_current(self, sealed: bytes) -> bool:
        """Return whether it was sealed with the current key; its first 5 bytes say so."""

    def is_former(self, sealed: bytes) -> bool:
        """Return whether it was sealed with another key that is here; as is_current."""

    def key_of(self, sealed: bytes) -> str:
        """Return the name of the key that it was sealed with; as is_current."""


class TurnedSeal:
    """A Seal that can be given other keys while it is in use."""

    def __init__(self, seal: Seal) -> None:
        self._seal = seal

    def turn(self, seal: Seal) -> None:
        """Seal with another key from now on."""
        self._seal = seal

    def close(self, name: str, plain: bytes) -> bytes:
        """Seal a secret under a name, with the current key."""
        return self._seal.close(name, plain)

    def open(self, name: str, sealed: bytes) -> bytes:
        """Return the secret. Raises NotOpened."""
        return self._seal.open(name, sealed)

    def is_current(self, sealed: bytes) -> bool:
        """Return whether it was sealed with the current key."""
        return self._seal.is_current(sealed)

    def is_former(self, sealed: bytes) -> bool:
        """Return whether it was sealed with another key that is here."""
        return self._seal.is_former(sealed)

    def key_of(self, sealed: bytes) -> str:
        """Return the name of the key that it was sealed with."""
        return self._seal.key_of(sealed)


class SecretStore:
    """Sealed secrets with their seal: what is put in comes out, also after the key was changed."""

    def __init__(self, *, state: StateStore, seal: Seal) -> None:
        self._state = state
        self._seal = seal
        # What is sealed anew must not be put over what came meanwhile.
        self._turn = asyncio.Lock()

    async def put(self, name: str, plain: bytes, *, audit_event: AuditEvent | None = None) -> None:
        """Keep a secret. Raises LedgerUnavailable."""
        async with self._turn:
            secret = SealedSecret(name=name, sealed=self._seal.close(name, plain))
            await self._state.put([secret], audit_event=audit_event)

    async def put_sealed(
        self, name: str, sealed: bytes, *, audit_event: AuditEvent | None = None
    ) -> None:
        """Keep a secret sealed with the same key. Raises NotOpened, LedgerUnavailable."""
        await self.put(name, self._seal.open(name, sealed), audit_event=audit_event)

    async def all(self, prefix: str) -> list[tuple[str, bytes]]:
        """Return (name, secret) of all whose name begins so; seal anew what a former key sealed.

        Raises NotOpened.
        """
        found = []
        async with self._turn:
            for secret in await self._state.load(SealedSecret, prefix=prefix):
                name, plain = secret.name, self._seal.open(secret.name, secret.sealed)
                found.append((name, plain))
                if not self._seal.is_current(secret.sealed):
                    anew = SealedSecret(name=name, sealed=self._seal.close(name, plain))
                    await self._state.put([anew], was=secret)
        return found

    async def forget(self, name: str, *, audit_event: AuditEvent | None = None) -> None:
        """Keep a secret no more."""
        async with self._turn:
            await self._state.delete(SealedSecret, name, audit_event=audit_event)
