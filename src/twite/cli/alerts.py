"""`twite alerts`: list open alerts, and test the webhook."""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec
import typer

from twite.app.monitoring import read_alerts, send_trial
from twite.app.reports.alerts import OpenAlerts, open_alerts
from twite.cli import printing
from twite.cli.options import DEFAULT_CONFIG, Config, Json, ListedByDefault, load, prints
from twite.domain.alert import Alert, AlertReplies
from twite.domain.times import spelled
from twite.gateway.alerts.notifier import what_to_do, why_not
from twite.gateway.ports.transport import NoResponse, Response
from twite.machine.system import SystemClock

_SHOWN: Final = 200


class WebhookTested(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the webhook took the test message, its HTTP status, and why it did not."""

    taken: bool
    status: int | None
    reason: str | None


alerts = typer.Typer(
    help="Example: `twite alerts`, and `twite alerts test` after setting a webhook",
    cls=ListedByDefault,
)


@alerts.command("list")
@prints(OpenAlerts)
def listed(*, config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """List open alerts, oldest first, and who takes care of them. Exits with 1 if one is open.

    Example: `twite alerts list --json`
    """
    found = load(config)
    alerts, replies = asyncio.run(read_alerts(found))
    now = SystemClock().now()
    still = [alert for alert in alerts if alert.resolved_at is None]
    if as_json:
        printing.print_json(open_alerts(alerts, replies, now=now))
    elif still:
        _print(still, replies, now=now)
    else:
        printing.say("No open alerts.")
    unsent = [
        alert for alert in alerts if alert.unsent_phase and not _reply(alert, replies, now=now)
    ]
    if unsent and found.alerts.webhook is not None:
        printing.complain("The webhook has not accepted all messages yet. Run twite alerts test.")
    if still:
        raise typer.Exit(1)


@alerts.command("test")
@prints(WebhookTested)
def tried(*, config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Send a test message to the webhook and print the response.

    Exits with 1 unless the webhook accepts it (2xx).

    Example: `twite alerts test`
    """
    came = asyncio.run(send_trial(load(config)))
    refused = why_not(came)
    if as_json:
        status = came.status if isinstance(came, Response) else None
        printing.print_json(WebhookTested(taken=refused is None, status=status, reason=refused))
    elif refused is None:
        printing.say(f"The webhook accepted the test message: {_words(came)}")
    else:
        printing.complain(f"The webhook did not accept the test message: {_words(came)}")
    if refused is not None:
        raise typer.Exit(1)


def _print(alerts: Sequence[Alert], replies: AlertReplies, *, now: int) -> None:
    printing.print_table(
        ["alert", "subject", "since", "reason", "reply"],
        [
            [
                alert.kind.value,
                alert.subject,
                spelled(alert.opened_at),
                alert.reason,
                _reply(alert, replies, now=now),
            ]
            for alert in alerts
        ],
    )
    for kind in dict.fromkeys(alert.kind for alert in alerts):
        printing.say(f"{kind}: {what_to_do(kind)}")


def _reply(alert: Alert, replies: AlertReplies, *, now: int) -> str:
    """Return who acknowledged an alert, and until when it is muted."""
    acknowledged, mute = replies.acknowledgement(alert), replies.mute(alert, now=now)
    words = [f"acknowledged by {acknowledged.who}"] if acknowledged else []
    return ", ".join([*words, *([f"muted until {spelled(mute.until)}"] if mute else [])])


def _words(came: Response | NoResponse) -> str:
    """Return the webhook's response, which may explain what is wrong with the URL or the format."""
    if isinstance(came, NoResponse):
        return came.reason
    body = came.body[:_SHOWN].decode("utf-8", "replace")
    return printing.safe(f"{came.status} {body}".strip(), longest=_SHOWN)
