"""Ownership port: which accounts this gateway sends to, where several share one store."""

from collections.abc import Collection, Mapping
from typing import Final, Protocol

import msgspec

from twite.domain.times import SECOND

# How often the accounts are shared out among the gateways on one store.
SHARE_OUT_EVERY: Final = 2 * SECOND
# The reason of a request that is not sent, since another gateway may send it.
LEASE_IS_OVER: Final = "this gateway has lost its lease in the database"
# Kinds of records whose changes all gateways follow.
PAUSES: Final = "pause"
SECRETS: Final = "secret"


class News(msgspec.Struct, frozen=True, kw_only=True):
    """What other processes have written to the store.

    `ready` are the pixels with deliveries that are ready to be sent. `versions` has a number for
    each kind of record (PAUSES, SECRETS), which rises with each change.
    """

    ready: frozenset[str] = frozenset()
    versions: Mapping[str, int] = {}


class Ownership(Protocol):
    """The lease of this gateway, and the accounts that it owns.

    An account (its name: see `Destination.meter`; a tag is one of its own) has one owner, so that
    its rate limit, its circuit breaker and its batches are in one process.
    """

    @property
    def is_leader(self) -> bool:
        """Whether this gateway has the tasks of which there is one: alerts and their webhook."""

    @property
    def next_refresh(self) -> int:
        """How many milliseconds after the last `refresh` the next one is due."""

    @property
    def next_news(self) -> int:
        """How many milliseconds after the last `news` to ask again."""

    async def join(self, accounts: Mapping[str, str], *, longest_request: int) -> None:
        """Take part. `accounts` maps each pixel to its account; `longest_request` is in ms.

        May be called again: with other pixels, or after a loss of the lease. Raises
        LedgerUnavailable.
        """

    async def refresh(self) -> frozenset[str] | None:
        """Renew the lease and share the accounts out; return those that this gateway sends to.

        An account that it owns and does not return is for another gateway: finish its requests,
        and call `give_up`. None: the lease was lost, and others send what this gateway claimed. End
        all requests before `join`. Raises LedgerUnavailable.
        """

    async def news(self, idle: Mapping[str, Collection[str]]) -> News:
        """Return what is new. `idle` maps pixels to the events that are not sent now.

        Raises LedgerUnavailable.
        """

    async def give_up(self, accounts: Collection[str]) -> None:
        """Let another gateway take accounts. Raises LedgerUnavailable."""

    async def leave(self) -> None:
        """Give up all accounts and the lease. Raises LedgerUnavailable."""

    def may_send(self) -> bool:
        """Whether the lease is in force: without it, others may send what this gateway claimed."""
