"""Secrets that come in over the network and must outlive the process: sealed, by name.

The store keeps what it cannot read (Vault); who holds the key opens it (Seal). A sealed text is
bound to its name: put under another, it does not open.
"""

from collections.abc import Sequence
from typing import Protocol


class Vault(Protocol):
    """Keeps sealed secrets by name."""

    async def put(self, name: str, sealed: bytes) -> None:
        """Keep it, durably, in place of any other of that name. Raises LedgerUnavailable."""
        ...

    async def sealed(self, prefix: str) -> Sequence[tuple[str, bytes]]:
        """Return (name, sealed) of all whose name begins so, in the order of the names."""
        ...

    async def forget(self, name: str) -> None:
        """Keep it no more."""
        ...


class Seal(Protocol):
    """Holds the key."""

    def close(self, name: str, plain: bytes) -> bytes:
        """Seal a secret under a name, with the current key."""
        ...

    def open(self, name: str, sealed: bytes) -> bytes:
        """Return the secret. Raises NotOpened."""
        ...

    def is_current(self, sealed: bytes) -> bool:
        """Return whether it was sealed with the current key, not a former one."""
        ...


class Strongroom:
    """A vault with its seal: what is put in comes out, also after the key was changed."""

    def __init__(self, *, vault: Vault, seal: Seal) -> None:
        self._vault = vault
        self._seal = seal

    async def put(self, name: str, plain: bytes) -> None:
        """Keep a secret. Raises LedgerUnavailable."""
        await self._vault.put(name, self._seal.close(name, plain))

    async def all(self, prefix: str) -> list[tuple[str, bytes]]:
        """Return (name, secret) of all whose name begins so; seal anew what a former key sealed.

        Raises NotOpened.
        """
        found = []
        for name, sealed in await self._vault.sealed(prefix):
            plain = self._seal.open(name, sealed)
            found.append((name, plain))
            if not self._seal.is_current(sealed):
                await self.put(name, plain)
        return found

    async def forget(self, name: str) -> None:
        """Keep a secret no more."""
        await self._vault.forget(name)
