"""The webhook's messages: their JSON and their headers. Pure.

Signed as Standard Webhooks says: HMAC-SHA256 over `id.timestamp.body`, in base64, behind `v1,`.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

import msgspec

from twite.domain.alert import RULES, Alert, AlertPhase
from twite.domain.secret import Secret
from twite.domain.times import SECOND, spelled

_PREFIX: Final = "whsec_"
_TEST: Final = "test"
_PAGES: Final = "docs/how-to/alerts"
_HARMLESS: Final = str.maketrans({"<": "(", ">": ")", "@": "(at)"})


class AlertMessage(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON of a message. Times are RFC 3339 in UTC.

    `text` is the whole of it for a chat: Slack's and Mattermost's webhooks show it. There is no
    `type` and no `payload`: chats that take `text` give these names a meaning of their own.
    """

    text: str
    event: str
    code: str
    severity: str
    subject: str
    reason: str
    id: str
    opened_at: str
    resolved_at: str | None
    timestamp: str
    gateway: str
    help: str


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A message ready to send. `id` is the same at every try."""

    id: str
    body: bytes


def page_of(code: str) -> str:
    """Return the documentation page of an alert."""
    return f"{_PAGES}/{code}.md"


def enveloped(alert: Alert, phase: AlertPhase, *, gateway: str) -> Envelope:
    """Return the message about an alert. `gateway` is the name of the installation."""
    rule = RULES[alert.kind]
    heading = f"[{phase.replace('_', ' ')}] {alert.kind} · {alert.subject}: {rule.title}."
    message = AlertMessage(
        text=_for_a_chat(
            f"{heading} {alert.reason}. Gateway {gateway}. What to do: {page_of(alert.kind)}"
        ),
        event=phase,
        code=alert.kind,
        severity="critical" if rule.urgent else "warning",
        subject=alert.subject,
        reason=alert.reason,
        id=alert.id,
        opened_at=spelled(alert.opened_at),
        resolved_at=None if alert.resolved_at is None else spelled(alert.resolved_at),
        timestamp=spelled(alert.said_at),
        gateway=gateway,
        help=page_of(alert.kind),
    )
    id_ = f"{alert.id}.{phase}" + (f".{alert.said_at}" if phase is AlertPhase.STILL_OPEN else "")
    return Envelope(id=id_, body=msgspec.json.encode(message))


def trial(*, id_: str, now: int, gateway: str) -> Envelope:
    """Return the message of `twite alerts test`."""
    message = AlertMessage(
        text=f"[test] Twite's alerts reach you here. Gateway {gateway}.",
        event=_TEST,
        code=_TEST,
        severity="info",
        subject=_TEST,
        reason="somebody ran twite alerts test",
        id=id_,
        opened_at=spelled(now),
        resolved_at=None,
        timestamp=spelled(now),
        gateway=gateway,
        help=f"{_PAGES}/README.md",
    )
    return Envelope(id=id_, body=msgspec.json.encode(message))


def headers(envelope: Envelope, *, now: int, secret: Secret | None) -> Mapping[str, str]:
    """Return the headers of one try, at a moment in milliseconds."""
    stamp = str(now // SECOND)
    fields = {
        "Content-Type": "application/json",
        "webhook-id": envelope.id,
        "webhook-timestamp": stamp,
    }
    if secret:
        signed = b".".join((envelope.id.encode(), stamp.encode(), envelope.body))
        digest = hmac.new(_key(secret), signed, hashlib.sha256).digest()
        fields["webhook-signature"] = f"v1,{base64.b64encode(digest).decode()}"
    return fields


def unreadable(secret: Secret) -> bool:
    """Whether a secret says that it is base64 and is not."""
    text = secret.reveal()
    if not text.startswith(_PREFIX):
        return False
    try:
        return not base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        return True


def _for_a_chat(text: str) -> str:
    """Replace what a chat would take for a link or for a call to everybody."""
    return text.translate(_HARMLESS)


def _key(secret: Secret) -> bytes:
    """Return the key: what `whsec_` precedes is base64, anything else is taken as it is."""
    text = secret.reveal()
    if text.startswith(_PREFIX) and not unreadable(secret):
        return base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    return text.encode()
