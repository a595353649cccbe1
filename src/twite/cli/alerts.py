"""`twite alerts`: list open alerts, and test the webhook."""

import asyncio
from collections.abc import Sequence
from typing import Final

import typer

from twite.app.monitoring import read_alerts, send_trial
from twite.cli import printing
from twite.cli.options import DEFAULT_CONFIG, Config, Json, load
from twite.domain.alert import RULES, Alert
from twite.domain.times import spelled
from twite.gateway.alerts.notifier import page_of, what_to_do, why_not
from twite.gateway.ports.transport import NoResponse, Response

_SHOWN: Final = 200


alerts = typer.Typer(
    help="Example: `twite alerts`, and `twite alerts test` after setting a webhook",
    invoke_without_command=True,
)


@alerts.command("list")
def listed(*, config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """List open alerts, oldest first. Exits with 1 if an alert is open.

    Example: `twite alerts list --json`
    """
    found = load(config)
    alerts = asyncio.run(read_alerts(found))
    still = [alert for alert in alerts if alert.resolved_at is None]
    if as_json:
        printing.print_json([_as_json(alert) for alert in still])
    elif still:
        _print(still)
    else:
        printing.say("No open alerts.")
    if any(alert.unsent_phase for alert in alerts) and found.alerts.webhook is not None:
        printing.complain("The webhook has not accepted all messages yet. Run twite alerts test.")
    if still:
        raise typer.Exit(1)


@alerts.command("test")
def tried(*, config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Send a test message to the webhook and print the response.

    Exits with 1 unless the webhook accepts it (2xx).

    Example: `twite alerts test`
    """
    came = asyncio.run(send_trial(load(config)))
    refused = why_not(came)
    if as_json:
        status = came.status if isinstance(came, Response) else None
        printing.print_json({"taken": refused is None, "status": status, "reason": refused})
    elif refused is None:
        printing.say(f"The webhook accepted the test message: {_words(came)}")
    else:
        printing.complain(f"The webhook did not accept the test message: {_words(came)}")
    if refused is not None:
        raise typer.Exit(1)


@alerts.callback()
def _listed_by_default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        listed()


def _print(alerts: Sequence[Alert]) -> None:
    printing.print_table(
        ["alert", "subject", "since", "reason"],
        [
            [alert.kind.value, alert.subject, spelled(alert.opened_at), alert.reason]
            for alert in alerts
        ],
    )
    for kind in dict.fromkeys(alert.kind for alert in alerts):
        printing.say(f"{kind}: {what_to_do(kind)}")


def _as_json(alert: Alert) -> dict[str, object]:
    return {
        "code": alert.kind,
        "severity": "critical" if RULES[alert.kind].urgent else "warning",
        "subject": alert.subject,
        "reason": alert.reason,
        "opened_at": spelled(alert.opened_at),
        "reported": alert.unsent_phase is None,
        "help": page_of(alert.kind),
    }


def _words(came: Response | NoResponse) -> str:
    """Return the webhook's response, which may explain what is wrong with the URL or the format."""
    if isinstance(came, NoResponse):
        return came.reason
    body = came.body[:_SHOWN].decode("utf-8", "replace")
    return printing.safe(f"{came.status} {body}".strip(), longest=_SHOWN)
