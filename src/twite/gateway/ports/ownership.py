"""Ownership port: which accounts this gateway sends to if several gateways share a store."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final, Protocol

import msgspec

from twite.domain.times import SECOND

# How often the gateways on one store divide the accounts among themselves.
SHARE_OUT_EVERY: Final = 2 * SECOND
# The reason why a request is not sent: another gateway may send it.
LEASE_IS_OVER: Final = "this gateway has lost its lease in the database"
# Kinds of records whose changes all gateways follow.
PAUSES: Final = "pause"
SECRETS: Final = "secret"
# A command has told all gateways to reload their settings.
RELOADS: Final = "reload"


class News(msgspec.Struct, frozen=True, kw_only=True):
    """Changes in the store by other processes.

    `ready` lists the pixels with deliveries that are ready to be sent. `versions` has a number for
    each kind of change (PAUSES, SECRETS, RELOADS) that increases with each change.
    """

    ready: frozenset[str] = frozenset()
    versions: Mapping[str, int] = {}


class GatewayCondition(msgspec.Struct, frozen=True, kw_only=True):
    """An alert condition that only one gateway can detect, such as a wrong clock.

    `kind` is the value of an AlertKind, perhaps one of another Twite version. `bad` is None if the
    gateway does not know whether the condition holds. `gateway` is the name of the gateway.
    """

    kind: str
    subject: str
    reason: str
    bad: bool | None = True
    gateway: str = ""


class Ownership(Protocol):
    """The lease of this gateway, and the accounts that it owns.

    An account (its name: see `Destination.meter`; each tag is an account) has one owner, so that
    its rate limit, its circuit breaker and its batches are in one process.
    """

    @property
    def is_leader(self) -> bool:
        """Whether this gateway runs the tasks of a single gateway: alerts and their webhook.

        A leader that cannot reach the database stays the leader until it has read that another
        gateway became the leader. Meanwhile it writes nothing: see `may_send`.
        """

    @property
    def next_refresh(self) -> int:
        """The milliseconds until the next `refresh` is due."""

    @property
    def next_news(self) -> int:
        """The milliseconds between two calls of `news`."""

    def report(self, conditions: Sequence[GatewayCondition]) -> None:
        """Set the conditions that the next `refresh` stores for this gateway."""

    def reported(self) -> Sequence[GatewayCondition] | None:
        """Return the conditions that other gateways had stored before the last `refresh`.

        Returns None if no other gateway is running.
        """

    @property
    def name(self) -> str:
        """The name of this gateway, for operators."""

    async def join(self, accounts: Mapping[str, str], *, longest_request: int) -> None:
        """Join the gateways on this store.

        `accounts` maps each pixel to its account; `longest_request` is in ms. May be called again:
        with other pixels, or after the lease was lost. Raises LedgerUnavailable.
        """

    async def refresh(self) -> frozenset[str] | None:
        """Renew the lease and divide the accounts; return the accounts that this gateway sends to.

        If an account that this gateway owns is not returned, another gateway gets it: finish its
        requests, then call `give_up`. Returns None if the lease was lost: other gateways send what
        this gateway had claimed, so end all requests before calling `join`. Raises
        LedgerUnavailable.
        """

    async def renew(self) -> None:
        """Renew the lease if `refresh` is late. Raises LedgerUnavailable."""

    async def news(self, idle: Mapping[str, Collection[str]]) -> News:
        """Return changes by other processes.

        `idle` maps pixels to those of their events that are not being sent now. Raises
        LedgerUnavailable.
        """

    async def announce(self, what: str) -> None:
        """Increase the version of a kind of change, so that all gateways follow it.

        Raises LedgerUnavailable.
        """

    async def give_up(self, accounts: Collection[str]) -> None:
        """Give up accounts, so that another gateway can own them. Raises LedgerUnavailable."""

    async def leave(self) -> None:
        """Give up all accounts and the lease. Raises LedgerUnavailable."""

    def may_send(self) -> bool:
        """Whether the lease is valid; if not, other gateways may send what this one claimed."""
