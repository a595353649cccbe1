"""A message that a generic webhook admits, for tests, `twite webhook test` and the console."""

from base64 import b64encode

import msgspec

from twite.domain.times import SECOND
from twite.formats.generic.read import GenericWebhook, signed
from twite.formats.mapped_sample import sample_body
from twite.formats.webhook_kind import WebhookMessage


def sample(webhook: GenericWebhook, now: int, url: str) -> WebhookMessage:
    """Return a message with what the webhook's mapping reads. `url` is that of the webhook."""
    options, secret = webhook.options, webhook.secrets[0]
    message = WebhookMessage(headers={}, body=sample_body(options, now), url=url)
    headers = {b"content-type": b"application/json"}
    if options.authentication == "path":
        rest = secret.reveal()
        return WebhookMessage(headers=headers, body=message.body, url=f"{url}/{rest}", rest=rest)
    if options.authentication == "basic":
        login = b64encode(f"{options.user}:{secret.reveal()}".encode())
        headers[b"authorization"] = b"Basic " + login
    elif (signature := options.signature) is not None:
        at = str(now // SECOND)
        proof = (
            secret.reveal().encode()
            if signature.algorithm == "secret"
            else signed(message, secret, signature, at=at, url=url)
        )
        headers[signature.header.lower().encode()] = (signature.prefix or "").encode() + proof
        if signature.timestamp_header is not None:
            headers[signature.timestamp_header.lower().encode()] = at.encode()
    return msgspec.structs.replace(message, headers=headers)
