"""What consent needs of the store: who revoked, and what was decided by which policy."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec


class OptOutEntry(Protocol):
    """Who revoked consent, under the keys of `domain.consent.person_keys`. Read from memory."""

    def some(self) -> bool:
        """Return whether anybody is listed: else nobody needs to make keys."""
        ...

    def lists(self, keys: Sequence[bytes]) -> bool:
        """Return whether one of the keys is listed."""
        ...


class OptOuts(OptOutEntry, Protocol):
    """The list, to be written to.

    Whoever is listed when a claim is made is not in it: the delivery is suppressed instead.
    """

    async def revoke(self, keys: Sequence[bytes], *, now: int) -> None:
        """List them, durably: what is claimed after this returns is without them."""
        ...

    async def restore(self, keys: Sequence[bytes]) -> None:
        """Take them off the list."""
        ...


class DecidedDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that may still be sent, and what was kept of the decision that it may."""

    delivery: int
    pixel: str
    evidence: bytes | None


class Consents(Protocol):
    """Deliveries that may still be sent, for a policy that has changed since they were taken."""

    async def policies(self) -> Mapping[str, str]:
        """Return, by source, the version of the policy that decided on them."""
        ...

    async def note_policy(self, *, source: str, version: str) -> None:
        """Note, durably, that all of a source's are decided by this version now."""
        ...

    async def standing(self, *, source: str, after: int, limit: int) -> Sequence[DecidedDelivery]:
        """Return a source's queued, held and dead deliveries beyond an id, by their ids."""
        ...

    async def take_back(
        self, deliveries: Sequence[int], *, reason: str, now: int, hold: bool
    ) -> int:
        """Suppress them, or hold those that are queued; returns how many it was."""
        ...
