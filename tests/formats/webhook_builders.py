"""Webhooks and signed messages for the tests of webhook kinds."""

import msgspec

from twite.domain.secret import Secret
from twite.formats.webhook_kind import IncomingWebhook, WebhookKind, WebhookMessage


def a_webhook(
    kind: WebhookKind, *secrets: str, name: str = "shop", **options: object
) -> IncomingWebhook:
    return IncomingWebhook(
        name=name,
        kind=kind,
        secrets=tuple(map(Secret, secrets or ("a-secret",))),
        source="shop",
        event="purchase",
        options=msgspec.convert(options, kind.options),
    )


def a_message(body: bytes, **headers: str) -> WebhookMessage:
    """Return a message; `x_topic` is the header `x-topic`."""
    named = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return WebhookMessage(headers=named, body=body)


def reason_of(reading) -> str:
    """Return why a message contains no conversion."""
    assert not reading.parsed.conversions
    (ignored,) = reading.parsed.ignored
    return str(ignored.reason)
