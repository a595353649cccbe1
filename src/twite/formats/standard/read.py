"""Standard Webhooks: signed messages, whose conversions a mapping finds. [doc SWH]"""

from typing import Annotated, Final

from twite.domain.times import SECOND
from twite.formats.standard.signature import signature_of
from twite.formats.webhook_kind import (
    IncomingWebhook,
    SignatureVerdict,
    WebhookMessage,
    WebhookReading,
    is_any,
    option,
)
from twite.formats.webhook_map import MappedOptions, read_mapped

_STANDARD: Final = "webhook-"
_SVIX: Final = "svix-"  # Svix and its customers may use their own names. [guess]
_VERSION: Final = "v1"  # HMAC-SHA256; `v1a` is Ed25519, with another kind of secret
_MOST_DIGITS: Final = 12


class StandardOptions(MappedOptions, frozen=True, kw_only=True):
    """The keys of a `[[webhook]]` of the kind `standard`."""

    tolerance: Annotated[
        int, option("how old a signature may be, in seconds", ge=1, le=604_800)
    ] = 300


StandardWebhook = IncomingWebhook[StandardOptions]


def verify(message: WebhookMessage, webhook: StandardWebhook, now: int) -> SignatureVerdict:
    """Compare each `v1` with the signatures by all secrets. The time may be early, too.

    Neither the id nor the time contains a dot, or a part of one could pass for the other. [doc SWH]
    """
    prefix = _STANDARD if message.header(f"{_STANDARD}signature") else _SVIX
    id_, at = message.header(f"{prefix}id"), message.header(f"{prefix}timestamp")
    if not id_ or "." in id_ or not (at.isascii() and at.isdecimal() and len(at) <= _MOST_DIGITS):
        return SignatureVerdict.WRONG
    expected = [
        signature_of(secret, id_=id_.encode("latin-1"), stamp=at.encode(), body=message.body)
        for secret in webhook.secrets
    ]
    pairs = [each.partition(",") for each in message.header(f"{prefix}signature").split(" ")]
    found = [
        is_any(text.encode("latin-1"), expected)
        for version, _, text in pairs
        if version == _VERSION
    ]
    if not any(found):
        return SignatureVerdict.WRONG
    is_late = abs(now - int(at) * SECOND) > webhook.options.tolerance * SECOND
    return SignatureVerdict.LATE if is_late else SignatureVerdict.GENUINE


def read(message: WebhookMessage, webhook: StandardWebhook) -> WebhookReading:
    """Read a message. Raises MalformedRequest if it is not JSON."""
    return read_mapped(message.body, webhook)
