"""State port: small records that outlive a restart, by key.

The key of each kind:

- Pause: pixel and event
- RateLimitWindow: pixel
- ClockRecord: there is only one
- DecisionPolicy: source
- UsualAmount: pixel, event and currency
- Alert: id
- Acknowledgement: id of the alert
- Mute: subject
- HourlyTraffic: source, or `/webhooks/`, `/syncs/` or `/exports/` and a name; and hour
- SealedSecret: name
- WebhookDelivery: id
- SyncRecord: name
- SourceKeyUse: source and id
- XResultRecord: name
- ReplayBatch: id
- ReplayPart: batch and place
"""

from collections.abc import Sequence
from typing import Final, Protocol, TypeVar

import msgspec

from twite.domain.alert import Acknowledgement, Alert, Mute
from twite.domain.pause import Pause
from twite.domain.people.users import AuditEvent
from twite.domain.replay_batch import ReplayBatch, ReplayPart
from twite.domain.secret import Masked
from twite.domain.stats.traffic import HourlyTraffic
from twite.domain.stats.value_guard import UsualAmount
from twite.domain.webhook_delivery import WebhookDelivery

# The name of the record that pauses all syncs.
ALL_PAUSED: Final = "!"


class RateLimitWindow(msgspec.Struct, frozen=True, kw_only=True):
    """The end (ms) of a pixel's used-up rate limit window."""

    pixel: str
    until: int
    reason: str


class ClockRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The stored state of the clock, in milliseconds.

    `latest` is the latest recorded time (0: none) and `last` the time written last: they differ
    after a clock was ahead. `put` writes only `ahead`, the offset of X's clock.
    """

    latest: int = 0
    last: int = 0
    ahead: int | None


class DecisionPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The version of the consent policy that was applied to a source's deliveries."""

    source: str
    version: str


class SealedSecret(Masked, frozen=True, kw_only=True):
    """An encrypted secret: the store itself cannot decrypt it."""

    in_repr = ("name",)
    name: str
    sealed: bytes


class SyncRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How far a `[[sync]]` is, as JSON: `name/`, or one of its objects: `name/path`.

    The store itself writes ALL_PAUSED, with the time, when it holds all pending deliveries.
    """

    name: str
    state: str


class XResultRecord(msgspec.Struct, frozen=True, kw_only=True):
    """X's results as JSON: those of an account, `account/`, or of a day, `account/2026-11-01`."""

    name: str
    state: str


class SourceKeyUse(msgspec.Struct, frozen=True, kw_only=True):
    """When a key of a source was last used (ms), to the minute.

    `id` is that of the key: see `gateway.identity.source_keys`.
    """

    source: str
    id: str
    used_at: int


StateRecord = (
    Pause
    | RateLimitWindow
    | ClockRecord
    | DecisionPolicy
    | UsualAmount
    | Alert
    | Acknowledgement
    | Mute
    | HourlyTraffic
    | SealedSecret
    | WebhookDelivery
    | SyncRecord
    | SourceKeyUse
    | XResultRecord
    | ReplayBatch
    | ReplayPart
)
StateKey = str | tuple[str, str] | Pause
R = TypeVar("R", bound=StateRecord)


class StateReader(Protocol):
    """Reads records."""

    async def load(self, kind: type[R], *, prefix: str = "") -> Sequence[R]:
        """Return the records of a kind whose keys begin with the prefix, ordered by key.

        Alerts are ordered by the time they were opened, deliveries by their time. Raises
        LedgerUnavailable.
        """


class StateStore(StateReader, Protocol):
    """Stores records durably, together with an audit event."""

    async def put(
        self,
        records: Sequence[StateRecord],
        *,
        gone: Sequence[StateKey] = (),
        old_secret: SealedSecret | None = None,
        audit_event: AuditEvent | None = None,
    ) -> None:
        """Store records of one kind, by key, and delete the `gone` keys.

        With `old_secret`, a secret is stored only if the stored one equals it (compare and set). A
        pause by a user is replaced only by another pause by a user. Traffic that is more than
        KEPT_HOURS older than the source's newest traffic is deleted, as are all deliveries of a
        webhook but the latest MOST_DELIVERIES, expired mutes, and replays that began more than
        KEPT_FOR ago. The first acknowledgement of an alert stays. Raises LedgerUnavailable.
        """

    async def delete(
        self, kind: type[StateRecord], *keys: StateKey, audit_event: AuditEvent | None = None
    ) -> None:
        """Delete pauses, alerts, mutes or secrets, if they exist. Raises LedgerUnavailable.

        If a key is a Pause, the stored pause is deleted only if it is equal.
        """
