"""A signed message by Standard Webhooks, for tests, `twite webhook test` and the console."""

from twite.domain.times import SECOND
from twite.formats.mapped_sample import sample_body
from twite.formats.standard.read import StandardWebhook
from twite.formats.standard.signature import signature_of
from twite.formats.webhook_kind import WebhookMessage


def sample(webhook: StandardWebhook, now: int, url: str) -> WebhookMessage:
    """Return a message with what the webhook's mapping reads."""
    del url
    body = sample_body(webhook.options, now)
    id_, stamp = b"msg_TwiteSample", str(now // SECOND).encode()
    signed = signature_of(webhook.secrets[0], id_=id_, stamp=stamp, body=body)
    headers = {
        b"content-type": b"application/json",
        b"webhook-id": id_,
        b"webhook-timestamp": stamp,
        b"webhook-signature": b"v1," + signed,
    }
    return WebhookMessage(headers=headers, body=body)
