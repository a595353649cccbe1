"""Ownership port: which accounts this gateway sends to, where several share one store."""

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


class News(msgspec.Struct, frozen=True, kw_only=True):
    """Changes in the store by other processes.

    `ready` lists the pixels with deliveries that are ready to be sent. `versions` has a number for
    each kind of record (PAUSES, SECRETS), which rises with each change.
    """

    ready: frozenset[str] = frozenset()
    versions: Mapping[str, int] = {}


class GatewayCondition(msgspec.Struct, frozen=True, kw_only=True):
    """A condition for an alert that only one gateway can see, such as a wrong clock.

    `kind` is the value of an AlertKind, perhaps of another version of Twite. `bad` is None if the
    gateway does not know. `gateway` is the name of the gateway.
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

        A leader that cannot reach the database remains one until another gateway has become the
        leader and this one has read that. It writes nothing meanwhile: see `may_send`.
        """

    @property
    def next_refresh(self) -> int:
        """The milliseconds until the next `refresh` is due."""

    @property
    def next_news(self) -> int:
        """The milliseconds from one `news` to the next."""

    def report(self, conditions: Sequence[GatewayCondition]) -> None:
        """Replace the conditions of this gateway with the next `refresh`."""

    def reported(self) -> Sequence[GatewayCondition] | None:
        """Return the conditions of the other gateways, as of the last `refresh`.

        None: no other gateway is running.
        """

    @property
    def name(self) -> str:
        """The name of this gateway, for operators."""

    async def join(self, accounts: Mapping[str, str], *, longest_request: int) -> None:
        """Join the gateways on this store.

        `accounts` maps each pixel to its account; `longest_request` is in ms. May be called again,
        with other pixels or after a loss of the lease. Raises LedgerUnavailable.
        """

    async def refresh(self) -> frozenset[str] | None:
        """Renew the lease and divide the accounts; return the accounts that this gateway sends to.

        An account that this gateway owns, and that is not returned, is for another gateway: finish
        its requests, and call `give_up`. None: the lease was lost, and other gateways send what
        this gateway claimed. End all requests before `join`. Raises LedgerUnavailable.
        """

    async def news(self, idle: Mapping[str, Collection[str]]) -> News:
        """Return changes by other processes. `idle` maps pixels to the events not sent now.

        Raises LedgerUnavailable.
        """

    async def give_up(self, accounts: Collection[str]) -> None:
        """Let another gateway take accounts. Raises LedgerUnavailable."""

    async def leave(self) -> None:
        """Give up all accounts and the lease. Raises LedgerUnavailable."""

    def may_send(self) -> bool:
        """Whether the lease is valid; otherwise, others may send what this gateway claimed."""
