"""Notifier: send alerts to the webhook, and retry until it accepts them.

Nothing waits for it. Messages unsent at shutdown are sent after the next start, so a message may
arrive twice, with the same `webhook-id`.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Final

import msgspec

from twite.domain.alert import Alert
from twite.domain.delivery import backoff
from twite.domain.secret import Secret
from twite.domain.times import MINUTE, SECOND
from twite.gateway.alerts.alert_store import AlertStore
from twite.gateway.alerts.webhook_message import Envelope, enveloped, headers
from twite.gateway.ports.events import Observer, Troubled, TroublePlace, WebhookTried
from twite.gateway.ports.machine import Clock, Randomness, wait_for_event
from twite.gateway.ports.transport import NoResponse, OutboundRequest, Response, Transport

LONGEST_REST: Final = 5 * MINUTE
_IDLE: Final = MINUTE


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """The webhook. Its address is a secret: anyone who knows it can write there."""

    address: Secret
    secret: Secret | None = None


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class Notifier:
    """Sends due messages one at a time; a refused one delays no other.

    Without a webhook, every message counts as sent.
    """

    register: AlertStore
    webhook: Webhook | None
    transport: Transport
    clock: Clock
    randomness: Randomness
    observer: Observer
    gateway: str
    _news: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    # Message id → (tries, time of the next try, monotonic).
    _refused: dict[str, tuple[int, int]] = field(init=False, default_factory=dict)

    def wake(self) -> None:
        """Look for messages now."""
        self._news.set()

    async def run(self) -> None:
        """Send messages until cancelled."""
        while True:
            self._news.clear()
            try:
                rest = await self.once()
            except Exception as fault:  # noqa: BLE001  a bug must not end the notifier
                self.observer.see(Troubled(where=TroublePlace.WEBHOOK, reason=type(fault).__name__))
                rest = _IDLE
            await wait_for_event(self._news, self.clock, most=rest)

    async def once(self) -> int:
        """Try each due message, and return milliseconds until the next is due."""
        waiting: dict[str, tuple[int, int]] = {}
        for alert in self.register.news():
            envelope = self._envelope(alert)
            tries, due = self._refused.get(envelope.id, (0, 0))
            if due > self.clock.elapsed():
                waiting[envelope.id] = (tries, due)
            elif await self._took(alert, envelope):
                self.register.told(alert)
            else:
                waiting[envelope.id] = (tries + 1, self._again(tries + 1))
        self._refused = waiting
        await self.register.save()
        now = self.clock.elapsed()
        return max(SECOND, min((due - now for _, due in waiting.values()), default=_IDLE))

    async def _took(self, alert: Alert, envelope: Envelope) -> bool:
        if self.webhook is None or alert.news is None:
            return True
        response = await post(self.webhook, envelope, transport=self.transport, clock=self.clock)
        refused = why_not(response)
        self.observer.see(WebhookTried(kind=alert.kind, phase=alert.news, refused=refused))
        return refused is None

    def _envelope(self, alert: Alert) -> Envelope:
        if alert.news is None:
            raise ValueError("this alert has nothing to report")
        return enveloped(alert, alert.news, gateway=self.gateway)

    def _again(self, tries: int) -> int:
        rest = backoff(attempts=tries, randomness=self.randomness.fraction())
        return self.clock.elapsed() + min(LONGEST_REST, max(SECOND, rest))


async def post(
    webhook: Webhook, envelope: Envelope, *, transport: Transport, clock: Clock
) -> Response | NoResponse:
    """Send a message once."""
    return await transport.post(
        OutboundRequest(
            url=webhook.address.reveal(),
            headers=headers(envelope, now=clock.now(), secret=webhook.secret),
            body=envelope.body,
        )
    )


def why_not(response: Response | NoResponse) -> str | None:
    """Return why the webhook refused a message, without its own words; None if it accepted it.

    A redirect is not followed and counts as a refusal.
    """
    if isinstance(response, NoResponse):
        return response.reason
    return None if 200 <= response.status < 300 else f"answered {response.status}"
