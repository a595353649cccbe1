"""Events for observers: counts and reasons, never personal data."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol, Self

import msgspec

from twite.domain.alert import Alert, AlertKind, AlertPhase
from twite.domain.errors import TransientError
from twite.domain.pause import Pause
from twite.domain.stats.backlog import Forecast
from twite.domain.webhook_delivery import WebhookDelivery
from twite.gateway.ports.machine import DiskSpace


class GatewayEvent(msgspec.Struct, frozen=True):
    """An event."""


class Accepted(GatewayEvent, frozen=True, kw_only=True):
    """One or more submissions of a source were committed.

    `codes` counts rejected conversions by the code of their first fault (domain.fault.CODES).
    """

    source: str
    accepted: int
    duplicates: int
    suppressed: int
    rejected: int
    endpoint: str = ""
    codes: Mapping[str, int] = msgspec.field(default_factory=dict)


class TagFired(GatewayEvent, frozen=True, kw_only=True):
    """A tag fired for a stored event. `tag` is the pixel of its deliveries.

    `verdict`: accepted, duplicates or suppressed.
    """

    tag: str
    source: str
    verdict: str


class TagPassed(GatewayEvent, frozen=True, kw_only=True):
    """A tag did not fire for some events. `times` is their number."""

    tag: str
    source: str
    reason: str
    times: int


class FirstTurnEnded(GatewayEvent, frozen=True, kw_only=True):
    """A browser waited for a tag's first turn. `result`: in_time, late, failed or skipped."""

    tag: str
    result: str


class ContainerCalled(GatewayEvent, frozen=True, kw_only=True):
    """A tag called runContainer. `result`: accepted, limit, unreadable or failed."""

    tag: str
    result: str


class TagSaid(GatewayEvent, frozen=True, kw_only=True):
    """A masked and shortened log line, written by a tag's template or by the sandbox about it."""

    tag: str
    text: str
    own: bool = False


class ClientSaid(GatewayEvent, frozen=True, kw_only=True):
    """A log line from a client template."""

    client: str
    text: str
    own: bool = False


class TurnedAway(GatewayEvent, frozen=True, kw_only=True):
    """A whole request was refused, and would be refused again.

    `code` is the reason. `source` is the source to which the request's key, page or pixel belongs.
    """

    source: str
    endpoint: str
    code: str


class IgnoredSome(GatewayEvent, frozen=True, kw_only=True):
    """Counts of received events that are not conversions of their source, by reason."""

    source: str
    endpoint: str
    reasons: Mapping[str, int]


class WebhookAnswered(GatewayEvent, frozen=True, kw_only=True):
    """A request to a webhook was answered."""

    delivery: WebhookDelivery


class Judged(GatewayEvent, frozen=True, kw_only=True):
    """Counts of consent decisions by (action, rule)."""

    source: str
    verdicts: Mapping[tuple[str, str], int]


class ValueRulesApplied(GatewayEvent, frozen=True, kw_only=True):
    """Counts of new conversions by (value rule, `changed` or the rule's problem)."""

    source: str
    results: Mapping[tuple[str, str], int]


class Attempted(GatewayEvent, frozen=True, kw_only=True):
    """A request to X ended. `took` is in milliseconds.

    `isolating` is whether the request was part of a bisect; `again` is the number of its
    conversions that X may already have.
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


class Moved(GatewayEvent, frozen=True, kw_only=True):
    """Deliveries changed their state.

    `waited` counts the deliveries that X accepted, by the milliseconds since their receipt.
    """

    pixel: str
    trigger: str
    deliveries: int
    reason: str = ""
    waited: Mapping[int, int] = {}


class Paused(GatewayEvent, frozen=True, kw_only=True):
    """A pixel, or one of its events, is paused until X accepts a probe or a user resumes it."""

    pause: Pause


class Resumed(GatewayEvent, frozen=True, kw_only=True):
    pixel: str
    event: str = ""


class Presented(GatewayEvent, frozen=True, kw_only=True):
    """X accepted (`taken`) or refused a credential of a pixel that has two.

    `turned` is whether the previous verdict was different.
    """

    pixel: str
    credential: str
    taken: bool
    turned: bool


class Misdated(GatewayEvent, frozen=True, kw_only=True):
    """The offset of X's clock from the machine's changed to `offset` milliseconds."""

    offset: int


class ProblemPlace(StrEnum):
    """The part that failed, as named in metrics and the log."""

    X_ROUTE = "X's route"
    AUDIT = "audit"
    BALANCE = "balance"
    CONNECTIONS = "connections"
    CONSENT = "consent"
    CONSOLE = "console"
    ENGINES = "engines"
    BATCH = "batch"
    WORKER = "worker"
    LEDGER = "ledger"
    TAG_CREDENTIALS = "tag credentials"
    LOG = "log"
    ALERTS = "alerts"
    OUTBOX = "outbox"
    PRUNING = "pruning"
    RATE_LIMIT = "rate limit"
    RESULTS = "results"
    STORE = "store"
    SWEEP = "sweep"
    SYNC = "sync"
    EXPORT = "export"
    TAG = "tag"
    TRACES = "traces"
    VALUE_TABLE = "value table"
    VAULT = "vault"
    WEBHOOK = "webhook"


class ProblemSeen(GatewayEvent, frozen=True, kw_only=True):
    """An operation of Twite or the machine failed, and Twite will retry it."""

    where: str
    reason: str

    @classmethod
    def of(cls, where: str, error: Exception) -> Self:
        """Return the notice of an error: its reason if the store or network failed, else a bug."""
        reason = error.reason if isinstance(error, TransientError) else type(error).__name__
        return cls(where=where, reason=reason)


class ReloadResult(StrEnum):
    """The result of a reload of the settings. After the last two, the gateway kept the old ones."""

    RELOADED = "reloaded"
    UNCHANGED = "unchanged"
    NEEDS_RESTART = "needs_restart"
    FAILED = "failed"


class Reloaded(GatewayEvent, frozen=True, kw_only=True):
    """The gateway read its settings again.

    `tables` counts the changed tables of each kind, such as `pixel`; `restart` lists the keys whose
    new values need a restart; `problems` says why the old settings are kept.
    """

    result: ReloadResult
    tables: Mapping[str, int] = {}
    restart: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


class ResultsChecked(GatewayEvent, frozen=True, kw_only=True):
    """How current X's results of an ads account are.

    `fetched_at` (ms) is the time of the last fetch; 0 if there was none. Of the last 30 days,
    `days_behind` have ended and were not fetched since.
    """

    account: str
    fetched_at: int
    days_behind: int


class ResultsFailed(GatewayEvent, frozen=True, kw_only=True):
    """A fetch of X's results was refused, or not answered."""

    account: str


class ConditionChanged(GatewayEvent, frozen=True, kw_only=True):
    """The condition for an alert began or ended; `holds` is whether it began."""

    kind: AlertKind
    subject: str
    reason: str = ""
    holds: bool = True


class Alerted(GatewayEvent, frozen=True, kw_only=True):
    """An alert was opened, was still open after a day, or was resolved."""

    alert: Alert
    phase: AlertPhase


class WebhookTried(GatewayEvent, frozen=True, kw_only=True):
    """A webhook call ended. `refused` is the reason if the call failed, else None."""

    kind: AlertKind
    phase: AlertPhase
    refused: str | None = None


class MonitorChecked(GatewayEvent, frozen=True, kw_only=True):
    """The results of one run of the monitor. Values that could not be read are None.

    `alerts` are all open alerts, including those of an earlier process.
    """

    at: int
    alerts: tuple[Alert, ...] = ()
    forecasts: tuple[Forecast, ...] | None = None
    space: DiskSpace | None = None


class MonitorStopped(GatewayEvent, frozen=True, kw_only=True):
    """The monitor of this gateway stopped: another gateway on the same store runs it now."""


class SilentObserver:
    """An observer that ignores everything."""

    def see(self, event: GatewayEvent) -> None: ...


class Observer(Protocol):
    """Receives events."""

    def see(self, event: GatewayEvent) -> None:
        """Process an event. Must neither raise nor block."""
