"""Events for observers: counts and reasons, never persons."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

import msgspec

from twite.domain.alert import Alert, AlertKind, AlertPhase
from twite.domain.stats.backlog import Forecast
from twite.gateway.ports.machine import DiskSpace


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """A submission is on disk.

    `codes` tells of the rejected how many had which fault (domain.fault.CODES) first; `endpoint` is
    where it came in.
    """

    source: str
    accepted: int
    duplicates: int
    suppressed: int
    rejected: int
    endpoint: str = ""
    codes: Mapping[str, int] = msgspec.field(default_factory=dict)


class TagFired(msgspec.Struct, frozen=True, kw_only=True):
    """A tag fired for an event that is on disk. `verdict`: accepted, duplicates or suppressed.

    `tag` is what its deliveries have in place of a pixel.
    """

    tag: str
    source: str
    verdict: str


class TagPassed(msgspec.Struct, frozen=True, kw_only=True):
    """A tag heard of events that are on disk or counted, and did not fire: so often, for `bar`."""

    tag: str
    source: str
    bar: str
    times: int


class TagSaid(msgspec.Struct, frozen=True, kw_only=True):
    """A line that a template wrote, or the sandbox about it: masked, and cut short."""

    tag: str
    text: str
    own: bool = False


class ClientSaid(msgspec.Struct, frozen=True, kw_only=True):
    """The same of a client's template."""

    client: str
    text: str
    own: bool = False


class TurnedAway(msgspec.Struct, frozen=True, kw_only=True):
    """A request was refused as a whole, and a retry would be too; `code` says why.

    `source` is whose key, page or pixel it showed.
    """

    source: str
    endpoint: str
    code: str


class IgnoredSome(msgspec.Struct, frozen=True, kw_only=True):
    """Some received events were not conversions of their source: how often, by reason."""

    source: str
    endpoint: str
    reasons: Mapping[str, int]


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """Consent was said or needed: how often it came to what, by (action, rule)."""

    source: str
    verdicts: Mapping[tuple[str, str], int]


class Attempted(msgspec.Struct, frozen=True, kw_only=True):
    """A request to X came to an end. `took` is in milliseconds, monotonic.

    `isolating`: it is one of those that look for the conversion for which X refused a batch.
    `again` is how many of its conversions X may have had before.
    """

    pixel: str
    event: str
    outcome: str
    status: int | None
    conversions: int
    took: int
    reason: str = ""
    ambiguous: bool = False
    isolating: bool = False
    again: int = 0


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """Deliveries changed their state. `trigger` is that of the table of states.

    `waited`, for those that X took: milliseconds from receipt, for each.
    """

    pixel: str
    trigger: str
    deliveries: int
    reason: str = ""
    waited: tuple[int, ...] = ()


class Paused(msgspec.Struct, frozen=True, kw_only=True):
    """A pixel, or one `event` of it, is not sent to until a probe passes or a person acts."""

    pixel: str
    reason: str
    event: str = ""


class Resumed(msgspec.Struct, frozen=True, kw_only=True):
    pixel: str
    event: str = ""


class Presented(msgspec.Struct, frozen=True, kw_only=True):
    """X took or refused a credential of a pixel that has two; `turned`: as it did not before."""

    pixel: str
    credential: str
    taken: bool
    turned: bool


class Misdated(msgspec.Struct, frozen=True, kw_only=True):
    """How far X's clock is ahead of the machine's, in milliseconds: told when it has changed."""

    offset: int


class TroublePlace(StrEnum):
    """Where trouble was, in the metrics and the log. Paths, tags and clients go by their name."""

    X_ROUTE = "X's route"
    AUDIT = "audit"
    BALANCE = "balance"
    CONNECTIONS = "connections"
    CONSENT = "consent"
    CONSOLE = "console"
    BATCH = "flight"
    WORKER = "lane"
    LEDGER = "ledger"
    LENT_CREDENTIALS = "lent credentials"
    LOG = "log"
    ALERTS = "lookout"
    OUTBOX = "outbox"
    PRUNING = "pruning"
    STORE = "store"
    SWEEP = "sweep"
    TAG = "tag"
    VAULT = "vault"
    WEBHOOK = "webhook"


class Troubled(msgspec.Struct, frozen=True, kw_only=True):
    """Something of ours or of the machine's went wrong, and will be tried again."""

    where: str
    reason: str


class ConditionChanged(msgspec.Struct, frozen=True, kw_only=True):
    """Something that deserves an alert was found: it `holds`, or holds no more."""

    kind: AlertKind
    subject: str
    reason: str = ""
    holds: bool = True


class Alerted(msgspec.Struct, frozen=True, kw_only=True):
    """An alert opened, is still open after a day, or is over."""

    alert: Alert
    phase: AlertPhase


class WebhookTried(msgspec.Struct, frozen=True, kw_only=True):
    """A message was tried on the webhook. `refused` is why it was not taken, None if it was."""

    kind: AlertKind
    phase: AlertPhase
    refused: str | None = None


class MonitorChecked(msgspec.Struct, frozen=True, kw_only=True):
    """What the look of each minute found. A part that could not be had is None.

    `alerts` are those that are open, also from before this process.
    """

    at: int
    alerts: tuple[Alert, ...] = ()
    forecasts: tuple[Forecast, ...] | None = None
    space: DiskSpace | None = None


Notice = (
    Accepted
    | TagFired
    | TagPassed
    | TagSaid
    | ClientSaid
    | TurnedAway
    | IgnoredSome
    | Judged
    | Attempted
    | Moved
    | Paused
    | Resumed
    | Presented
    | Misdated
    | Troubled
    | ConditionChanged
    | Alerted
    | WebhookTried
    | MonitorChecked
)


class SilentObserver:
    """An observer that looks away."""

    def see(self, notice: Notice) -> None:
        """Do nothing."""


class Observer(Protocol):
    """Receives events."""

    def see(self, notice: Notice) -> None:
        """Take note. Must neither raise nor wait."""
