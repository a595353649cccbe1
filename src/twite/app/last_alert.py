"""Alert on a store that cannot be used, when there is no store to keep the alert in."""

import hashlib
from contextlib import suppress
from pathlib import Path

from twite.app.monitoring import WEBHOOK_TIMEOUT
from twite.config.settings import Settings
from twite.domain.alert import REMIND_EVERY, Alert, AlertKind, AlertPhase
from twite.domain.errors import StoreUnusable
from twite.gateway.alerts.checks import STORE
from twite.gateway.alerts.notifier import post, why_not
from twite.gateway.alerts.webhook_message import enveloped
from twite.machine import SystemClock
from twite.senders.http import HttpTransport


async def say_unusable(settings: Settings, error: StoreUnusable) -> None:
    """Send a message to the webhook, if there is one, at most once a day.

    A file beside the database records the message: restarts in a loop must not repeat it.
    """
    webhook = settings.alerts.webhook
    note = settings.store.alerted_file
    clock = SystemClock()
    now = clock.now()
    # A record from the future means that the clock was wrong.
    if webhook is None or 0 <= now - _told_at(note) < REMIND_EVERY:
        return
    reason = f"{error.reason}. {error.cure}"
    alert = Alert(
        id=f"store-{hashlib.sha256(f'{reason}{now}'.encode()).hexdigest()[:32]}",
        kind=AlertKind.STORE_UNUSABLE,
        subject=STORE,
        reason=reason,
        opened_at=now,
        said_at=now,
    )
    transport = HttpTransport(timeout=WEBHOOK_TIMEOUT, connections=1)
    await transport.start()
    try:
        message = enveloped(alert, AlertPhase.OPENED, gateway=settings.known_as)
        came = await post(webhook, message, transport=transport, clock=clock)
    finally:
        await transport.stop()
    if why_not(came) is None:
        _remember(note)


def forget_unusable(settings: Settings) -> None:
    """Delete the record: the store is usable, and the next failure is reported at once."""
    settings.store.alerted_file.unlink(missing_ok=True)


def _told_at(note: Path) -> int:
    try:
        return note.stat().st_mtime_ns // 1_000_000
    except OSError:
        return 0


def _remember(note: Path) -> None:
    # If the record cannot be written, the message is repeated.
    with suppress(OSError):
        note.write_text("")
