"""The open alerts that a viewer sees, by cause, with remedies and links to what they affect."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final
from urllib.parse import quote, urlencode

import msgspec

from twite.console.problems import ProblemKind
from twite.domain.alert import (
    RULES,
    Acknowledgement,
    Alert,
    AlertCause,
    AlertReplies,
    AlertRule,
    Mute,
    by_cause,
)
from twite.domain.plural import plural
from twite.gateway.alerts.checks import NO_PIXEL

PATH: Final = "/console/alerts"
# The kinds of problems, by the state of their conversions.
_PROBLEM_KINDS: Final = {"dead": ProblemKind.REFUSED, "held": ProblemKind.HELD}
# The pages of what alerts name.
_PAGES: Final[Mapping[str, str]] = {
    "source": "/console/sources/{}",
    "webhook": "/console/system/webhooks",
    "sync": "/console/system",
    "template": "/console/tags",
}

# Many reasons begin with a count: the subject with the most is the worst.
_COUNT: Final = re.compile(r"[0-9][0-9,]*(?= )")


class ShownAlert(msgspec.Struct, frozen=True, kw_only=True):
    """One subject of a cause. `path` lists what the alert affects; "" if no page can."""

    alert: Alert
    path: str
    acknowledgement: Acknowledgement | None
    mute: Mute | None


class ShownCause(msgspec.Struct, frozen=True, kw_only=True):
    """The open alerts with one cause. `anchor` is its id on the alerts page.

    Of several subjects, `reason` is that of the worst, with its name. `filters` are the parameters
    of the alerts page that chose these alerts.
    """

    cause: AlertCause
    title: str
    reason: str
    alerts: Sequence[ShownAlert]
    filters: Mapping[str, str] = {}

    @property
    def rule(self) -> AlertRule:
        return RULES[self.cause.kind]

    @property
    def tone(self) -> str:
        return "bad" if self.rule.urgent else "warn"

    @property
    def anchor(self) -> str:
        return anchor_of(self.cause.first)

    @property
    def path(self) -> str:
        return f"{alerts_path(self.filters)}#{self.anchor}"

    @property
    def problems_path(self) -> str:
        """The problems behind it, where users can fix and replay; "" if it is not about them."""
        kind = _PROBLEM_KINDS.get(self.rule.affects)
        pixel = {"pixel": self.cause.first.subject} if len(self.alerts) == 1 else {}
        return f"/console/problems?{urlencode({'kind': kind} | pixel)}" if kind else ""

    @property
    def ids(self) -> str:
        return " ".join(shown.alert.id for shown in self.alerts)

    @property
    def is_acknowledged(self) -> bool:
        return all(shown.acknowledgement for shown in self.alerts)

    @property
    def muted_until(self) -> int | None:
        """Until when all its subjects are muted."""
        ends = [shown.mute.until for shown in self.alerts if shown.mute]
        return min(ends) if len(ends) == len(self.alerts) else None

    @property
    def is_quiet(self) -> bool:
        """Whether a user has taken care of all its subjects."""
        return all(shown.acknowledgement or shown.mute for shown in self.alerts)


def anchor_of(alert: Alert) -> str:
    """Return the id that a cause has on the alerts page, by the first of its alerts there."""
    return f"alert-{alert.id}"


def visible(alerts: Iterable[Alert], seen: Collection[str] | None) -> list[Alert]:
    """Return the alerts about the pixels that are `seen`; None sees all alerts.

    The kind, not the name, shows what an alert is about: a source may be named like a pixel.
    """
    return [
        alert
        for alert in alerts
        if seen is None or (RULES[alert.kind].about_pixel and alert.subject in seen)
    ]


def alerts_path(filters: Mapping[str, str]) -> str:
    """Return the URL of the alerts page with a filter: an account or a pixel, or none."""
    return f"{PATH}?{urlencode(filters)}" if filters else PATH


def shown_causes(
    alerts: Iterable[Alert],
    replies: AlertReplies,
    *,
    pixels: Collection[str],
    now: int,
    filters: Mapping[str, str] = {},
) -> list[ShownCause]:
    """Return open alerts by cause. Those that users have taken care of come last."""
    causes = [
        ShownCause(
            cause=cause,
            filters=filters,
            title=_title(cause),
            reason=_reason(cause),
            alerts=[
                ShownAlert(
                    alert=alert,
                    path=affected_path(alert, pixels),
                    acknowledgement=replies.acknowledgement(alert),
                    mute=replies.mute(alert, now=now),
                )
                for alert in cause.alerts
            ],
        )
        for cause in by_cause(alerts)
    ]
    return sorted(causes, key=lambda cause: cause.is_quiet)


def affected_path(alert: Alert, pixels: Collection[str]) -> str:
    """Return the page about what an alert affects; "" for the store, the disk and the clock."""
    rule, subject = RULES[alert.kind], alert.subject
    if rule.affects:
        return f"/console/conversions?{urlencode({'state': rule.affects, 'pixel': subject})}"
    if rule.about_pixel:
        return f"/console/pixels/{quote(subject, safe='')}" if subject in pixels else ""
    if rule.subject in _PAGES:
        return _PAGES[rule.subject].format(quote(subject, safe=""))
    if rule.subject:
        source, _, pixel = subject.rpartition("/")
        place = {"source": source} | ({} if pixel == NO_PIXEL else {"pixel": pixel})
        return f"/console/conversions?{urlencode(place)}"
    return ""


def _title(cause: AlertCause) -> str:
    rule, many = RULES[cause.kind], len(cause.alerts)
    if many == 1:
        return f"{cause.first.subject}: {rule.title}"
    what = "pixel" if rule.about_pixel else rule.subject or "subject"
    return f"{plural(many, what)}: {rule.title}"


def _reason(cause: AlertCause) -> str:
    many = len(cause.alerts)
    if many == 1:
        return cause.first.reason
    worst = max(cause.alerts, key=_size)
    return f"{worst.subject}: {worst.reason}; and {many - 1} more"


def _size(alert: Alert) -> int:
    """Return the count with which a reason begins; 0 if it begins with words."""
    count = _COUNT.match(alert.reason)
    return int(count[0].replace(",", "")) if count else 0
