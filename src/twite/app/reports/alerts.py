"""The open alerts, and who takes care of them."""

from collections.abc import Sequence

import msgspec

from twite.app.monitoring import read_alerts
from twite.app.reports.text import own_words, shown
from twite.config.settings import Settings
from twite.domain.alert import RULES, Alert, AlertReplies
from twite.domain.times import spelled
from twite.gateway.alerts.notifier import page_of
from twite.machine.system import SystemClock


class AlertReport(msgspec.Struct, frozen=True, kw_only=True):
    """An open alert. `severity` is `critical` or `warning`; `fix` is the first step.

    `help` is the page of the documentation with the other steps. `reported` says whether the
    webhook has accepted all messages about it.
    """

    code: str
    severity: str
    subject: str
    reason: str
    opened_at: str
    reported: bool
    acknowledged_by: str | None
    muted_until: str | None
    fix: str
    help: str


class OpenAlerts(msgspec.Struct, frozen=True, kw_only=True):
    """The open alerts, oldest first."""

    alerts: tuple[AlertReport, ...]


async def read_open_alerts(settings: Settings) -> OpenAlerts:
    """Return the open alerts. Raises StoreUnusable."""
    alerts, replies = await read_alerts(settings)
    return open_alerts(alerts, replies, now=SystemClock().now())


def open_alerts(alerts: Sequence[Alert], replies: AlertReplies, *, now: int) -> OpenAlerts:
    return OpenAlerts(
        alerts=tuple(
            _alert_report(alert, replies, now=now) for alert in alerts if alert.resolved_at is None
        )
    )


def _alert_report(alert: Alert, replies: AlertReplies, *, now: int) -> AlertReport:
    acknowledged, mute = replies.acknowledgement(alert), replies.mute(alert, now=now)
    return AlertReport(
        code=alert.kind,
        severity="critical" if RULES[alert.kind].urgent else "warning",
        subject=alert.subject,
        reason=shown(alert.reason),
        opened_at=spelled(alert.opened_at),
        reported=alert.unsent_phase is None,
        acknowledged_by=None if acknowledged is None else own_words(acknowledged.who),
        muted_until=None if mute is None else spelled(mute.until),
        fix=RULES[alert.kind].fix,
        help=page_of(alert.kind),
    )
