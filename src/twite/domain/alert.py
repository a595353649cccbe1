"""Alerts: kinds, rules (when an alert opens and resolves), and the alert itself."""

import re
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final, Self

import msgspec

from twite.domain.pause import Cause
from twite.domain.times import DAY, MINUTE

REMIND_EVERY: Final = DAY
# The most resolved alerts that are kept, and for how long.
MOST_RESOLVED: Final = 500
RESOLVED_KEPT_FOR: Final = 90 * DAY
# The mutes of alerts begin with this.
MUTED: Final = "alert/"
# Numbers in a reason are no part of the cause: they change while it lasts.
_NUMBERS: Final = re.compile(r"\d+")


class AlertKind(StrEnum):
    """The kind of an alert. Its value is stable, and names its page of the documentation."""

    CREDENTIALS_REFUSED = "credentials_refused"  # about a pixel: X responds with 401 or 403
    PIXEL_PAUSED = "pixel_paused"  # about a pixel: X refuses the pixel for another reason
    PAUSED_BY_USER = "paused_by_user"  # about a pixel: until a user resumes it
    EVENT_PAUSED = "event_paused"  # about a pixel: X refuses all conversions of an event
    EVENT_FAILING = "event_failing"  # about a pixel: requests of an event get no usable answer
    EVENT_LIMITED = "event_limited"  # about a pixel: X limits an event's rate until a reset
    ACCOUNT_LIMITED = "account_limited"  # about a pixel: X asks to send nothing for long
    DEAD_LETTERS = "dead_letters"  # about a pixel: X refused more conversions than usual
    CONVERSIONS_HELD = "conversions_held"  # about a pixel: a user must decide
    DEADLINE_RISK = "deadline_risk"  # about a pixel: conversions miss the 48-hour deadline
    SOURCE_SILENT = "source_silent"  # about a source: unusually long without conversions
    WEBHOOK_SILENT = "webhook_silent"  # about a webhook: unusually long without messages
    SYNC_FAILING = "sync_failing"  # about a [[sync]]: its runs fail
    SYNC_SILENT = "sync_silent"  # about a [[sync]]: unusually long without rows
    EXPORT_FAILING = "export_failing"  # about an [[export]]: its runs fail
    EXPORT_SILENT = "export_silent"  # about an [[export]]: unusually long without a success
    VALUE_RULE_FAILING = "value_rule_failing"  # about a [[value_rule]]: amounts stay as they were
    BALANCE_RESIDUE = "balance_residue"  # about a source and pixel: conversions are unaccounted for
    STORE_FAILING = "store_failing"  # commits fail: Twite responds to submissions with 503
    # The database is damaged, or cannot be opened: the gateway has ended.
    STORE_UNUSABLE = "store_unusable"
    STORE_RESTORED = "store_restored"  # the database was replaced by an older copy
    # The database server's settings can lose commits, which the operator has accepted.
    WEAK_DURABILITY = "weak_durability"
    DISK_NEARLY_FULL = "disk_nearly_full"  # little space is left on the disk of the database
    # About a tag, client or variable: its engine process ended during a run.
    TEMPLATE_HUNG = "template_hung"
    # About an ads account: what X attributes and counts does not fit what is delivered.
    RESULTS_NONE_ATTRIBUTED = "results_none_attributed"
    RESULTS_EVENT_UNCOUNTED = "results_event_uncounted"
    RESULTS_AMOUNT_UNIT = "results_amount_unit"
    RESULTS_NOT_SERVED = "results_not_served"
    CLICK_IDS_STOPPED = "click_ids_stopped"
    CLOCK_WRONG = "clock_wrong"  # this machine's clock and X's differ


class AlertRule(msgspec.Struct, frozen=True, kw_only=True):
    """How alerts of one kind behave. Times are in milliseconds.

    `fix` is the first step of the page's "What to do". It is shown beside the page's path,
    because an installation does not contain the pages.

    `urgent`: conversions are refused, delayed or at risk now. `about_pixel`: the subject is the id
    of a pixel; otherwise, `subject` is what it names. `affects` is the state of the conversions
    that the alert is about. `quotes_cause`: the reason says what X or a user decided, so that
    alerts with different reasons have different causes. The alert opens after the condition has
    held for `opens_after`, and resolves `calm` after its end.
    """

    title: str
    fix: str
    about_pixel: bool = False
    subject: str = ""
    affects: str = ""
    quotes_cause: bool = False
    urgent: bool = False
    opens_after: int = 0
    calm: int = 0


RULES: Final[Mapping[AlertKind, AlertRule]] = {
    AlertKind.CREDENTIALS_REFUSED: AlertRule(
        title="X refuses the credentials",
        fix="twite check tests each credential. Replace a refused one, and run twite reload.",
        about_pixel=True,
        quotes_cause=True,
        urgent=True,
        calm=5 * MINUTE,
    ),
    AlertKind.PIXEL_PAUSED: AlertRule(
        title="the pixel is paused",
        fix="Compare the reason, the pixel's id and the user's role with Events Manager.",
        about_pixel=True,
        quotes_cause=True,
        urgent=True,
        calm=5 * MINUTE,
    ),
    AlertKind.PAUSED_BY_USER: AlertRule(
        title="a user has paused the pixel",
        fix="Ask the user that the reason names, or resume the pixel in the console.",
        about_pixel=True,
        calm=5 * MINUTE,
    ),
    AlertKind.EVENT_PAUSED: AlertRule(
        title="X refuses an event of the pixel",
        fix="Read X's message in the reason. Compare the event and your data with Events Manager.",
        about_pixel=True,
        urgent=True,
        calm=5 * MINUTE,
    ),
    AlertKind.EVENT_FAILING: AlertRule(
        title="requests of an event fail",
        fix="Check X's status page and your proxy, and compare the data with an event that works.",
        about_pixel=True,
        urgent=True,
        calm=5 * MINUTE,
    ),
    AlertKind.EVENT_LIMITED: AlertRule(
        title="X limits the rate of an event",
        fix="Wait: Twite goes on at the time that the reason names. If it recurs, ask X.",
        about_pixel=True,
        opens_after=MINUTE,
    ),
    AlertKind.ACCOUNT_LIMITED: AlertRule(
        title="X asks to send nothing for long",
        fix="Wait: Twite goes on at the time that the reason names. Ask X which limit is used up.",
        about_pixel=True,
        urgent=True,
    ),
    AlertKind.DEAD_LETTERS: AlertRule(
        title="many dead letters",
        fix="twite dead list shows X's messages. Fix the cause, then run twite dead replay ID.",
        about_pixel=True,
        affects="dead",
    ),
    AlertKind.CONVERSIONS_HELD: AlertRule(
        title="conversions are held",
        fix="Run twite dead list, then twite dead replay ID or twite dead discard ID.",
        about_pixel=True,
        affects="held",
    ),
    AlertKind.DEADLINE_RISK: AlertRule(
        title="conversions will miss the 48-hour deadline",
        fix="Run twite accounting, and look at other alerts, the log and X's status page.",
        about_pixel=True,
        urgent=True,
        opens_after=3 * MINUTE,
        calm=10 * MINUTE,
        affects="queued",
    ),
    AlertKind.SOURCE_SILENT: AlertRule(
        title="a source has stopped sending",
        fix="Check whether the site, tag or consent banner has changed. Place a test order.",
        urgent=True,
        subject="source",
    ),
    AlertKind.WEBHOOK_SILENT: AlertRule(
        title="a webhook has stopped delivering",
        fix="Check whether the sender has disabled the webhook. Then fetch missed orders.",
        urgent=True,
        subject="webhook",
    ),
    AlertKind.SYNC_FAILING: AlertRule(
        title="a sync fails",
        fix="Correct the cause that the reason names, then run twite sync NAME.",
        urgent=True,
        opens_after=10 * MINUTE,
        subject="sync",
    ),
    AlertKind.SYNC_SILENT: AlertRule(
        title="a sync finds no new rows",
        fix="Run the query yourself. Perhaps the cursor or a condition matches no new orders.",
        urgent=True,
        subject="sync",
    ),
    AlertKind.EXPORT_FAILING: AlertRule(
        title="an export fails",
        fix="Correct the cause that the reason names, then run twite export NAME.",
        urgent=False,
        opens_after=10 * MINUTE,
        subject="export",
    ),
    AlertKind.EXPORT_SILENT: AlertRule(
        title="an export does not finish",
        fix="Run twite check: the target may not answer. Then restart the gateway.",
        urgent=False,
        subject="export",
    ),
    AlertKind.VALUE_RULE_FAILING: AlertRule(
        title="a value rule fails",
        fix="Add the missing rows, or correct the rule. twite show ID names what failed.",
        subject="value rule",
    ),
    AlertKind.BALANCE_RESIDUE: AlertRule(
        title="the balance is not 0",
        fix="Run twite accounting, twite check and twite backup FILE, and report the bug.",
        urgent=True,
        calm=5 * MINUTE,
        subject="source and pixel",
    ),
    AlertKind.STORE_FAILING: AlertRule(
        title="the store cannot commit",
        fix="Fix the cause that the reason names, such as a full disk. No restart is needed.",
        urgent=True,
        calm=5 * MINUTE,
    ),
    AlertKind.STORE_UNUSABLE: AlertRule(
        title="the store cannot be used",
        fix="Run twite check. Keep the database and its files. If damaged, run twite recover.",
        urgent=True,
    ),
    AlertKind.STORE_RESTORED: AlertRule(
        title="the store was replaced by an older copy",
        fix="Compare twite dead list with Events Manager, and replay what X does not have.",
    ),
    AlertKind.WEAK_DURABILITY: AlertRule(
        title="the database server can lose conversions",
        fix="Turn the setting on, reload it, and remove store.accept_weak_durability.",
    ),
    AlertKind.DISK_NEARLY_FULL: AlertRule(
        title="the disk is nearly full",
        fix="Free some space, or stop the gateway, move the database, and change store.url.",
        urgent=True,
        calm=MINUTE,
    ),
    AlertKind.TEMPLATE_HUNG: AlertRule(
        title="a template hangs or crashes",
        fix="Find the input with twite show, fix or remove the template, run twite reload.",
        urgent=True,
        subject="template",
    ),
    AlertKind.RESULTS_NONE_ATTRIBUTED: AlertRule(
        title="X attributes no conversions",
        fix="Run twite results. Compare the event ids with Events Manager, and the match keys.",
        subject="ads account",
    ),
    AlertKind.RESULTS_EVENT_UNCOUNTED: AlertRule(
        title="no campaign counts an event",
        fix="Choose the delivered event in the ad groups, or correct [pixel.events].",
        subject="ads account",
    ),
    AlertKind.RESULTS_AMOUNT_UNIT: AlertRule(
        title="X's sale amounts have another unit",
        fix="Compare with Ads Manager. Change results.sale_amount_unit, or the source's value.",
        subject="ads account",
    ),
    AlertKind.RESULTS_NOT_SERVED: AlertRule(
        title="X serves no figures of conversions",
        fix="Check whether Ads Manager shows conversions, and what the signed-in user may see.",
        subject="ads account",
    ),
    AlertKind.CLICK_IDS_STOPPED: AlertRule(
        title="conversions have no click ids any more",
        fix="Check that landing pages keep twclid in the URL and still load the script.",
        subject="ads account",
    ),
    AlertKind.CLOCK_WRONG: AlertRule(
        title="the clock differs from X's",
        fix="Synchronise this machine's clock. twite check shows the difference.",
        opens_after=MINUTE,
        calm=10 * MINUTE,
    ),
}

# A pause of an event never has a cause of a pixel's pause, nor the other way round.
ALERTS_OF_PIXELS: Final[Mapping[Cause, AlertKind]] = {
    Cause.CREDENTIALS_REFUSED: AlertKind.CREDENTIALS_REFUSED,
    Cause.USER: AlertKind.PAUSED_BY_USER,
    Cause.PIXEL_REFUSED: AlertKind.PIXEL_PAUSED,
}
ALERTS_OF_EVENTS: Final[Mapping[Cause, AlertKind]] = {
    Cause.EVENT_REFUSED: AlertKind.EVENT_PAUSED,
    Cause.EVENT_FAILED: AlertKind.EVENT_FAILING,
    Cause.EVENT_LIMITED: AlertKind.EVENT_LIMITED,
}
ALERTS_OF_PAUSES: Final[Mapping[Cause, AlertKind]] = {**ALERTS_OF_PIXELS, **ALERTS_OF_EVENTS}


class AlertPhase(StrEnum):
    OPENED = "opened"
    STILL_OPEN = "still_open"  # once a day
    RESOLVED = "resolved"


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """An open or resolved alert about a pixel, a source, or the store. Times are in milliseconds.

    `reason` contains no text from X's responses. `reported_at` is the time of the last
    notification; `unsent_phase` is what the webhook has not received yet. `resolved_at` is None
    while the alert is open.
    """

    id: str
    kind: AlertKind
    subject: str
    reason: str
    opened_at: int
    reported_at: int
    unsent_phase: AlertPhase | None = AlertPhase.OPENED
    resolved_at: int | None = None

    @property
    def key(self) -> tuple[AlertKind, str]:
        """At most one alert is open for each key."""
        return self.kind, self.subject


class Acknowledgement(msgspec.Struct, frozen=True, kw_only=True):
    """A user takes care of an open alert: its reminders stop."""

    alert: str
    at: int
    who: str


class Mute(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing is reported about a subject until a time (ms), such as `mute_subject` of an alert.

    `note` is why.
    """

    subject: str
    until: int
    at: int
    who: str
    note: str = ""


class AlertReplies(msgspec.Struct, frozen=True, kw_only=True):
    """What users replied to alerts: acknowledgements by alert, and mutes by their subject."""

    acknowledgements: Mapping[str, Acknowledgement] = {}
    mutes: Mapping[str, Mute] = {}

    @classmethod
    def of(cls, acknowledgements: Iterable[Acknowledgement], mutes: Iterable[Mute]) -> Self:
        return cls(
            acknowledgements={reply.alert: reply for reply in acknowledgements},
            mutes={mute.subject: mute for mute in mutes},
        )

    def acknowledgement(self, alert: Alert) -> Acknowledgement | None:
        return self.acknowledgements.get(alert.id)

    def mute(self, alert: Alert, *, now: int) -> Mute | None:
        """Return the mute of an alert, unless it has ended."""
        mute = self.mutes.get(mute_subject(*alert.key))
        return mute if mute is not None and mute.until > now else None


def mute_subject(kind: AlertKind, subject: str) -> str:
    return f"{MUTED}{kind}/{subject}"


class AlertCause(msgspec.Struct, frozen=True, kw_only=True):
    """The alerts with one cause, oldest first; at least one."""

    kind: AlertKind
    alerts: Sequence[Alert]

    @property
    def first(self) -> Alert:
        return self.alerts[0]

    @property
    def subjects(self) -> Sequence[str]:
        return [alert.subject for alert in self.alerts]


def by_cause(alerts: Iterable[Alert]) -> list[AlertCause]:
    """Group alerts by cause: urgent ones first, then those with the most subjects."""
    groups: dict[tuple[AlertKind, str], list[Alert]] = {}
    for alert in sorted(alerts, key=lambda alert: (alert.opened_at, alert.id)):
        reason = ""
        if RULES[alert.kind].quotes_cause:
            reason = _NUMBERS.sub("#", alert.reason.replace(alert.subject, "*"))
        groups.setdefault((alert.kind, reason), []).append(alert)
    causes = [AlertCause(kind=kind, alerts=some) for (kind, _), some in groups.items()]
    return sorted(
        causes,
        key=lambda cause: (
            not RULES[cause.kind].urgent,
            -len(cause.alerts),
            cause.first.opened_at,
        ),
    )
