"""State port: small records that outlive a restart, each under a key of its own.

Pause             pixel and event
RateLimitWindow   pixel
ClockRecord       there is one
DecisionPolicy    source
UsualAmount       pixel, event and currency
Alert             id
HourlyTraffic     source and hour
SealedSecret      name
"""

from collections.abc import Sequence
from typing import Protocol, TypeVar

import msgspec

from twite.domain.alert import Alert
from twite.domain.people.users import AuditEvent
from twite.domain.stats.traffic import HourlyTraffic
from twite.domain.stats.value_guard import UsualAmount


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """A pixel that is not sent to, or with `event` one event of it alone.

    `since` is in milliseconds; `reason` is for a person.
    """

    pixel: str
    since: int
    reason: str
    event: str = ""


class RateLimitWindow(msgspec.Struct, frozen=True, kw_only=True):
    """A pixel whose limit is spent until a moment (milliseconds)."""

    pixel: str
    until: int
    reason: str


class ClockRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is on record of time, in milliseconds.

    `latest` is the latest moment (0: none), `last` that which was written last: a clock that was
    ahead for a while leaves later ones. `ahead` is how far X's clock was ahead: this alone is put.
    """

    latest: int = 0
    last: int = 0
    ahead: int | None


class DecisionPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The version of the consent policy by which all deliveries of a source were decided."""

    source: str
    version: str


class SealedSecret(msgspec.Struct, frozen=True, kw_only=True):
    """A secret that the store cannot open."""

    name: str
    sealed: bytes

    def __repr__(self) -> str:
        return f"SealedSecret({self.name})"


StateRecord = (
    Pause
    | RateLimitWindow
    | ClockRecord
    | DecisionPolicy
    | UsualAmount
    | Alert
    | HourlyTraffic
    | SealedSecret
)
StateKey = str | tuple[str, str]
R = TypeVar("R", bound=StateRecord)


class StateReader(Protocol):
    """Reads records."""

    async def load(self, kind: type[R], *, prefix: str = "") -> Sequence[R]:
        """Return the records of a kind whose key begins so, in the order of their keys.

        Alerts are in the order in which they opened. Raises LedgerUnavailable.
        """


class StateStore(StateReader, Protocol):
    """Keeps records durably. An audit event is noted with the change."""

    async def put(
        self,
        records: Sequence[StateRecord],
        *,
        gone: Sequence[StateKey] = (),
        was: SealedSecret | None = None,
        audit_event: AuditEvent | None = None,
    ) -> None:
        """Keep one or more records of a kind, each in place of the one with its key.

        In the same transaction, delete the `gone` keys of that kind.

        With `was`, a secret is only put in the place of that one (compare and set). Hours more than
        KEPT_HOURS before a source's last are forgotten. Raises LedgerUnavailable.
        """

    async def delete(
        self, kind: type[StateRecord], *keys: StateKey, audit_event: AuditEvent | None = None
    ) -> None:
        """Delete those that are there: pauses, alerts and secrets. Raises LedgerUnavailable."""
