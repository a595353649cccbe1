"""Notifier: send alerts to the webhook, and retry until it accepts them.

Messages are signed according to Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`, in base64,
after `v1,`. Messages that are unsent at shutdown are sent after the next start, so a message may
arrive twice, with the same `webhook-id`.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from twite.domain.alert import RULES, Alert, AlertKind, AlertPhase, by_cause
from twite.domain.delivery import backoff
from twite.domain.secret import Secret
from twite.domain.times import MINUTE, SECOND, spelled
from twite.formats.standard.signature import signature_of
from twite.gateway.alerts.alert_store import AlertStore
from twite.gateway.ports.events import Observer, ProblemPlace, ProblemSeen, WebhookTried
from twite.gateway.ports.machine import Clock, Randomness, wait_for_event
from twite.gateway.ports.transport import NoResponse, OutboundRequest, Response, Transport

_NAMED: Final = 10  # the most other subjects that a text names
_TEST: Final = "test"
_PAGES: Final = "Alerts"  # the name of the pages in the documentation
# Replaces the characters with which a text could create links, or mention everyone in a chat.
_HARMLESS: Final = str.maketrans({"<": "(", ">": ")", "@": "(at)"})
LONGEST_REST: Final = 5 * MINUTE
_IDLE: Final = MINUTE


class OtherAlert(msgspec.Struct, frozen=True, kw_only=True):
    """Another alert with the cause of a message's alert."""

    id: str
    subject: str
    reason: str


class AlertMessage(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON of a message. Times are RFC 3339 in UTC.

    `text` is the complete message, which Slack's and Mattermost's webhooks show. The JSON has no
    `type` and no `payload`, because these chats use those names for other purposes.
    """

    text: str
    event: str
    code: str
    severity: str
    subject: str
    reason: str
    also: tuple[OtherAlert, ...] = ()
    id: str
    opened_at: str
    resolved_at: str | None
    timestamp: str
    gateway: str
    help: str


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A message ready to send. `id` is the same for every attempt."""

    id: str
    body: bytes


def page_of(code: str) -> str:
    """Return the name of the page in the documentation."""
    return f"{_PAGES}: {code}"


def what_to_do(kind: AlertKind) -> str:
    """Return the first step, and the page with the others."""
    return f"{RULES[kind].fix} The documentation has more, in {page_of(kind)}"


def enveloped(
    alert: Alert, phase: AlertPhase, *, gateway: str, others: Sequence[Alert] = ()
) -> Envelope:
    """Return the message about an alert, and about others with the same cause.

    `gateway` is the name of the installation.
    """
    rule = RULES[alert.kind]
    subject = f"{alert.subject} and {len(others)} more" if others else alert.subject
    named = ", ".join(other.subject for other in others[:_NAMED])
    also = f" Also: {named}{', …' if len(others) > _NAMED else ''}." if others else ""
    heading = f"[{phase.replace('_', ' ')}] {alert.kind} · {subject}: {rule.title}."
    text = (
        f"{heading} {alert.reason}.{also} Gateway {gateway}. What to do: {what_to_do(alert.kind)}"
    )
    message = AlertMessage(
        text=text.translate(_HARMLESS),
        event=phase,
        code=alert.kind,
        severity="critical" if rule.urgent else "warning",
        subject=alert.subject,
        reason=alert.reason,
        also=tuple(
            OtherAlert(id=other.id, subject=other.subject, reason=other.reason) for other in others
        ),
        id=alert.id,
        opened_at=spelled(alert.opened_at),
        resolved_at=None if alert.resolved_at is None else spelled(alert.resolved_at),
        timestamp=spelled(alert.reported_at),
        gateway=gateway,
        help=page_of(alert.kind),
    )
    id_ = f"{alert.id}.{phase}" + (
        f".{alert.reported_at}" if phase is AlertPhase.STILL_OPEN else ""
    )
    if others:
        ids = " ".join(other.id for other in others)
        id_ = f"{id_}.{hashlib.sha256(ids.encode()).hexdigest()[:16]}"
    return Envelope(id=id_, body=msgspec.json.encode(message))


def trial(*, id_: str, now: int, gateway: str) -> Envelope:
    """Return the message that `twite alerts test` sends."""
    message = AlertMessage(
        text=f"[test] Twite's alerts arrive here. Gateway {gateway}.",
        event=_TEST,
        code=_TEST,
        severity="info",
        subject=_TEST,
        reason="a user ran twite alerts test",
        id=id_,
        opened_at=spelled(now),
        resolved_at=None,
        timestamp=spelled(now),
        gateway=gateway,
        help=_PAGES,
    )
    return Envelope(id=id_, body=msgspec.json.encode(message))


def headers(envelope: Envelope, *, now: int, secret: Secret | None) -> Mapping[str, str]:
    """Return the headers of one attempt; `now` is in milliseconds."""
    stamp = str(now // SECOND)
    fields = {
        "Content-Type": "application/json",
        "webhook-id": envelope.id,
        "webhook-timestamp": stamp,
    }
    if secret:
        signature = signature_of(
            secret, id_=envelope.id.encode(), stamp=stamp.encode(), body=envelope.body
        )
        fields["webhook-signature"] = f"v1,{signature.decode()}"
    return fields


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """The webhook. Its address is a secret: anyone who knows it can send messages."""

    address: Secret
    secret: Secret | None = None


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class Notifier:
    """Sends due messages one at a time; a refused message does not delay others.

    Alerts with the same cause, as on the console's page, are in one message.
    Without a webhook, every message counts as sent.
    """

    alert_store: AlertStore
    webhook: Webhook | None
    transport: Transport
    clock: Clock
    randomness: Randomness
    observer: Observer
    gateway: str
    _news: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    # The alerts of a refused message → (attempts, time of the next attempt, monotonic).
    _refused: dict[tuple[str, ...], tuple[int, int]] = field(init=False, default_factory=dict)

    def wake(self) -> None:
        """Check for messages now."""
        self._news.set()

    async def run(self) -> None:
        while True:
            self._news.clear()
            try:
                rest = await self.once()
            except Exception as fault:  # noqa: BLE001  a bug must not end the notifier
                self.observer.see(
                    ProblemSeen(where=ProblemPlace.WEBHOOK, reason=type(fault).__name__)
                )
                rest = _IDLE
            await wait_for_event(self._news, self.clock, most=rest)

    async def once(self) -> int:
        """Try to send each due message; return the milliseconds until the next is due."""
        waiting: dict[tuple[str, ...], tuple[int, int]] = {}
        for alerts, tries, due in self._messages():
            names = tuple(_news_of(alert) for alert in alerts)
            if due > self.clock.elapsed():
                waiting[names] = (tries, due)
            elif await self._took(alerts):
                for alert in alerts:
                    self.alert_store.record_sent(alert)
            else:
                rest = backoff(attempts=tries + 1, randomness=self.randomness.fraction())
                again = self.clock.elapsed() + min(LONGEST_REST, max(SECOND, rest))
                waiting[names] = (tries + 1, again)
        self._refused = waiting
        await self.alert_store.save()
        now = self.clock.elapsed()
        return max(SECOND, min((due - now for _, due in waiting.values()), default=_IDLE))

    def _messages(self) -> list[tuple[Sequence[Alert], int, int]]:
        """Return the alerts of each message, its attempts, and when the next one is due.

        Refused messages stay as they are, so that they keep their ids.
        """
        left = {_news_of(alert): alert for alert in self.alert_store.unsent()}
        messages: list[tuple[Sequence[Alert], int, int]] = []
        for names, (tries, due) in self._refused.items():
            alerts = [left.pop(name) for name in names if name in left]
            if alerts:
                messages.append((alerts, tries, due))
        for phase in AlertPhase:
            causes = by_cause(alert for alert in left.values() if alert.unsent_phase is phase)
            messages += [(cause.alerts, 0, 0) for cause in causes]
        return messages

    async def _took(self, alerts: Sequence[Alert]) -> bool:
        first, *others = alerts
        phase = first.unsent_phase
        if self.webhook is None or phase is None:
            return True
        envelope = enveloped(first, phase, gateway=self.gateway, others=others)
        response = await post(self.webhook, envelope, transport=self.transport, clock=self.clock)
        refused = why_not(response)
        self.observer.see(WebhookTried(kind=first.kind, phase=phase, refused=refused))
        return refused is None


def _news_of(alert: Alert) -> str:
    """Return a name of what is to be reported about an alert."""
    return f"{alert.id}.{alert.unsent_phase}.{alert.reported_at}"


async def post(
    webhook: Webhook, envelope: Envelope, *, transport: Transport, clock: Clock
) -> Response | NoResponse:
    return await transport.post(
        OutboundRequest(
            url=webhook.address.reveal(),
            headers=headers(envelope, now=clock.now(), secret=webhook.secret),
            body=envelope.body,
        )
    )


def why_not(response: Response | NoResponse) -> str | None:
    """Return why the webhook refused a message; None if it was accepted.

    The reason does not contain text from the response. A redirect is not followed and counts as a
    refusal.
    """
    if isinstance(response, NoResponse):
        return response.reason
    return None if 200 <= response.status < 300 else f"answered {response.status}"
