"""Alerts, for commands: list the open ones, and test the webhook."""

from twite.app.monitoring import WEBHOOK_TIMEOUT
from twite.app.store_access import open_records
from twite.config.settings import Settings
from twite.domain.alert import Alert
from twite.domain.errors import SettingsError
from twite.gateway.alerts.notifier import post, trial
from twite.gateway.ports.transport import NoResponse, Response
from twite.machine import SystemClock, SystemRandomness
from twite.senders.http import HttpTransport


async def read_alerts(settings: Settings) -> list[Alert]:
    """Return the open alerts, and those that are over and not yet delivered to the webhook.

    Raises StoreUnusable.
    """
    async with open_records(settings) as records:
        return list(await records.load(Alert))


async def send_trial(settings: Settings) -> Response | NoResponse:
    """Send a test message to the webhook and return the response.

    Raises SettingsError if there is no webhook.
    """
    webhook = settings.alerts.webhook
    if webhook is None:
        raise SettingsError(
            place="alerts.webhook",
            message="is missing, or what it names cannot be read here. Write webhook = "
            '"https://…" or "env:NAME" under [alerts]',
        )
    clock, transport = SystemClock(), HttpTransport(timeout=WEBHOOK_TIMEOUT, connections=1)
    message = trial(id_=SystemRandomness().receipt(), now=clock.now(), gateway=settings.known_as)
    await transport.start()
    try:
        return await post(webhook, message, transport=transport, clock=clock)
    finally:
        await transport.stop()
