"""Tell: takes what is new of alerts to the webhook, again and again until it is taken.

Nothing waits for it. What it could not tell before a stop is told after the next start: the same
message may come twice, under the same `webhook-id`.
"""

import asyncio
from typing import Final

import msgspec

from twite.domain.alert import Alert
from twite.domain.retry import backoff
from twite.domain.secret import Secret
from twite.domain.times import MINUTE, SECOND
from twite.gateway.alerts.alert_store import AlertStore
from twite.gateway.alerts.webhook_message import Envelope, enveloped, headers
from twite.gateway.ports.events import Observer, Troubled, TroublePlace, WebhookTried
from twite.gateway.ports.store import (
    Clock,
    NoResponse,
    OutboundRequest,
    Randomness,
    Response,
    Transport,
)

LONGEST_REST: Final = 5 * MINUTE
_IDLE: Final = MINUTE


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """Where alerts go. The address is a secret: who knows it can write there."""

    address: Secret
    secret: Secret | None = None


class Notifier:
    """Tells one message at a time, of those that are due; one that is refused delays no other.

    Without a webhook, everything counts as told.
    """

    def __init__(
        self,
        *,
        register: AlertStore,
        webhook: Webhook | None,
        transport: Transport,
        clock: Clock,
        randomness: Randomness,
        observer: Observer,
        gateway: str,
    ) -> None:
        self._register = register
        self._webhook = webhook
        self._transport = transport
        self._clock = clock
        self._randomness = randomness
        self._observer = observer
        self._gateway = gateway
        self._news = asyncio.Event()
        # By message: how often it was refused, and when it is due again (monotonic).
        self._refused: dict[str, tuple[int, int]] = {}

    def wake(self) -> None:
        """Hear that there is news."""
        self._news.set()

    async def run(self) -> None:
        """Tell until cancelled."""
        while True:
            self._news.clear()
            try:
                rest = await self.once()
            except Exception as fault:  # noqa: BLE001  a fault of ours must not end all telling
                self._observer.see(
                    Troubled(where=TroublePlace.WEBHOOK, reason=type(fault).__name__)
                )
                rest = _IDLE
            timer = asyncio.ensure_future(self._clock.sleep(rest))
            news = asyncio.ensure_future(self._news.wait())
            try:
                await asyncio.wait({timer, news}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                timer.cancel()
                news.cancel()

    async def once(self) -> int:
        """Try each message that is due, and return milliseconds until the next is."""
        waiting: dict[str, tuple[int, int]] = {}
        for alert in self._register.news():
            envelope = self._envelope(alert)
            tries, due = self._refused.get(envelope.id, (0, 0))
            if due > self._clock.elapsed():
                waiting[envelope.id] = (tries, due)
            elif await self._took(alert, envelope):
                self._register.told(alert)
            else:
                waiting[envelope.id] = (tries + 1, self._again(tries + 1))
        self._refused = waiting
        await self._register.save()
        now = self._clock.elapsed()
        return max(SECOND, min((due - now for _, due in waiting.values()), default=_IDLE))

    async def _took(self, alert: Alert, envelope: Envelope) -> bool:
        if self._webhook is None or alert.news is None:
            return True
        came = await post(self._webhook, envelope, transport=self._transport, clock=self._clock)
        refused = why_not(came)
        self._observer.see(WebhookTried(kind=alert.kind, phase=alert.news, refused=refused))
        return refused is None

    def _envelope(self, alert: Alert) -> Envelope:
        if alert.news is None:
            raise ValueError("there is nothing to tell of this alert")
        return enveloped(alert, alert.news, gateway=self._gateway)

    def _again(self, tries: int) -> int:
        rest = backoff(attempts=tries, randomness=self._randomness.fraction())
        return self._clock.elapsed() + min(LONGEST_REST, max(SECOND, rest))


async def post(
    webhook: Webhook, envelope: Envelope, *, transport: Transport, clock: Clock
) -> Response | NoResponse:
    """Try a message once."""
    return await transport.post(
        OutboundRequest(
            url=webhook.address.reveal(),
            headers=headers(envelope, now=clock.now(), secret=webhook.secret),
            body=envelope.body,
        )
    )


def why_not(came: Response | NoResponse) -> str | None:
    """Return why a message was not taken, without the webhook's own words; None if it was.

    A redirect is not followed: it is an answer like any other that is not 2xx.
    """
    if isinstance(came, NoResponse):
        return came.reason
    return None if 200 <= came.status < 300 else f"answered {came.status}"
