"""Diagnostics of alerts: the webhook, and the open alerts."""

from collections.abc import AsyncIterator

from twite.app.monitoring import read_alerts
from twite.config.settings import Settings
from twite.domain.alert import RULES, Alert
from twite.domain.errors import TwiteError
from twite.gateway.alerts.notifier import page_of
from twite.gateway.ports.findings import CheckFinding, amber, green, red


async def alerts(settings: Settings) -> AsyncIterator[CheckFinding]:
    """Check the settings, and the open alerts in the store. Reports a store that cannot be read."""
    if settings.alerts.webhook is None:
        yield amber(
            "alerts",
            "there is no webhook",
            "Without a webhook, alerts appear only in the log, the metrics and twite alerts.",
            "Set alerts.webhook, and try it with twite alerts test.",
        )
    else:
        yield green("alerts", "they go to a webhook; twite alerts test tries it")
    try:
        found = await read_alerts(settings) if settings.store.path.exists() else []
    except TwiteError:
        # The check of the store reports why.
        return
    for alert in found:
        if alert.resolved_at is None:
            yield _told(alert)


def _told(alert: Alert) -> CheckFinding:
    rule = RULES[alert.kind]
    light = red if rule.urgent else amber
    return light(
        "alerts",
        f"{alert.kind} of {alert.subject} is open: {alert.reason}",
        f"{rule.title[0].upper()}{rule.title[1:]}.",
        f"See {page_of(alert.kind)}.",
    )
