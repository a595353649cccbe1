"""Webhooks of any sender: a signature as the settings describe it, and a mapping.

The kinds are for senders without a kind of their own; `presets.py` has settings for some of them.
"""

import hmac
import re
from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Iterator
from hashlib import sha256
from itertools import cycle
from typing import Annotated, Final, Literal
from urllib.parse import unquote

import msgspec

from twite.domain.secret import Secret
from twite.domain.times import SECOND
from twite.formats.webhook_kind import (
    IncomingWebhook,
    OptionFault,
    SignatureVerdict,
    WebhookMessage,
    WebhookReading,
    is_any,
    option,
)
from twite.formats.webhook_map import MappedOptions, check_map, read_mapped

_PLACE: Final = re.compile(r"\{(\w*)\}")
_PLACES: Final = ("body", "timestamp", "method", "url")
_HEADER: Final = re.compile(r"[A-Za-z0-9-]+")
_MOST_DIGITS: Final = 15
# A Unix time in seconds has ten digits, HubSpot's in milliseconds thirteen.
_LEAST_MS: Final = 100_000_000_000


class SignatureOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a sender signs. `signed` has the parts in braces, such as `{timestamp}.{body}`."""

    header: Annotated[str, option("the header with the signature, such as `X-Signature`")]
    algorithm: Annotated[
        Literal["hmac-sha256", "secret"],
        option("how the signature is made; with `secret`, the header contains the secret itself"),
    ] = "hmac-sha256"
    encoding: Annotated[
        Literal["hex", "base64"], option("how the bytes of the signature are written")
    ] = "hex"
    prefix: Annotated[
        str | None, option("what the header has before the signature, such as `sha256=`")
    ] = None
    signed: Annotated[
        str,
        option("what is signed: text with `{body}`, `{timestamp}`, `{method}` and `{url}`"),
    ] = "{body}"
    timestamp_header: Annotated[
        str | None, option("the header with the Unix time, in seconds or milliseconds")
    ] = None
    tolerance: Annotated[
        int, option("how old a signature may be, in seconds", ge=1, le=604_800)
    ] = 300


class GenericOptions(MappedOptions, frozen=True, kw_only=True):
    """The keys of a `[[webhook]]` of the kind `generic`."""

    authentication: Annotated[
        Literal["signature", "basic", "path"],
        option(
            "how a message proves its sender: by a signature, by `user` and the secret as the "
            "password, or by the secret in the URL: `/webhooks/NAME/SECRET`"
        ),
    ] = "signature"
    signature: Annotated[SignatureOptions | None, option("how the sender signs")] = None
    user: Annotated[str | None, option("the user name of basic authentication")] = None


GenericWebhook = IncomingWebhook[GenericOptions]


def check(options: GenericOptions) -> Iterator[OptionFault]:
    """Yield what is wrong with the options."""
    yield from check_map(options)
    signature = options.signature
    if options.authentication == "basic" and options.user is None:
        yield OptionFault(key="user", message='is missing. Set user = "…", as at the sender')
    if options.authentication != "signature":
        return
    if signature is None:
        yield OptionFault(
            key="signature",
            message='is missing. Set signature = { header = "X-Signature" }, or authentication = '
            '"basic" or "path"',
        )
        return
    for key, header in (
        ("header", signature.header),
        ("timestamp_header", signature.timestamp_header),
    ):
        if header is not None and not _HEADER.fullmatch(header):
            yield OptionFault(
                key=f"signature.{key}", message=f"{header!r} is no name of a header. Correct it"
            )
    yield from _check_signed(signature)


def _check_signed(signature: SignatureOptions) -> Iterator[OptionFault]:
    if signature.algorithm == "secret":
        return
    places = _PLACE.findall(signature.signed)
    for place in places:
        if place not in _PLACES:
            known = ", ".join(f"{{{name}}}" for name in _PLACES)
            yield OptionFault(
                key="signature.signed", message=f"{{{place}}} is not known. Available: {known}"
            )
    if "body" not in places:
        yield OptionFault(
            key="signature.signed",
            message="does not contain {body}, so anyone could change it. Add it",
        )
    if "timestamp" in places and signature.timestamp_header is None:
        yield OptionFault(
            key="signature.timestamp_header",
            message="is missing. Name the header with the {timestamp} that is signed",
        )
    if "timestamp" not in places and signature.timestamp_header is not None:
        yield OptionFault(
            key="signature.signed",
            message="does not contain {timestamp}, so anyone could change it. Add it, or remove "
            "timestamp_header",
        )


def verify(message: WebhookMessage, webhook: GenericWebhook, now: int) -> SignatureVerdict:
    """Judge a message by the authentication that the settings choose, in constant time."""
    options = webhook.options
    if options.authentication == "path":
        return _verdict(is_any(message.rest.encode("utf-8", "surrogatepass"), _texts(webhook)))
    if options.authentication == "basic":
        return _verdict(is_any(_credentials(message), _logins(webhook)))
    if options.signature is None:
        return SignatureVerdict.WRONG
    return _of_signature(message, webhook, options.signature, now)


def _of_signature(
    message: WebhookMessage, webhook: GenericWebhook, signature: SignatureOptions, now: int
) -> SignatureVerdict:
    given, prefix = message.header(signature.header.lower()), signature.prefix or ""
    if not given.startswith(prefix):
        return SignatureVerdict.WRONG
    offered = given.removeprefix(prefix).strip().encode("latin-1")
    if signature.algorithm == "secret":
        return _verdict(is_any(offered, _texts(webhook)))
    at = ""
    if signature.timestamp_header is not None:
        at = message.header(signature.timestamp_header.lower())
        if not (at.isascii() and at.isdecimal() and len(at) <= _MOST_DIGITS):
            return SignatureVerdict.WRONG
    if signature.encoding == "hex":
        offered = offered.lower()
    # HubSpot signs the decoded URL; which characters it decodes is unclear. [conflict]
    urls = dict.fromkeys((message.url, unquote(message.url)))
    expected = [
        signed(message, secret, signature, at=at, url=url)
        for secret in webhook.secrets
        for url in urls
    ]
    if not is_any(offered, expected):
        return SignatureVerdict.WRONG
    if at and abs(now - in_ms(int(at))) > signature.tolerance * SECOND:
        return SignatureVerdict.LATE
    return SignatureVerdict.GENUINE


def signed(
    message: WebhookMessage, secret: Secret, signature: SignatureOptions, *, at: str, url: str
) -> bytes:
    """Return the signature of a message, without its prefix."""
    parts = {
        "body": message.body,
        "timestamp": at.encode(),
        "method": b"POST",
        "url": url.encode("utf-8", "surrogatepass"),
    }
    # Texts and, between them, names of places.
    pieces = _PLACE.split(signature.signed)
    text = b"".join(
        parts.get(piece, b"") if is_place else piece.encode()
        for piece, is_place in zip(pieces, cycle((False, True)), strict=False)
    )
    digest = hmac.digest(secret.reveal().encode(), text, sha256)
    return digest.hex().encode() if signature.encoding == "hex" else b64encode(digest)


def in_ms(number: int) -> int:
    """Return a Unix time in seconds or milliseconds as milliseconds."""
    return number if number >= _LEAST_MS else number * SECOND


def _credentials(message: WebhookMessage) -> bytes:
    scheme, _, given = message.header("authorization").partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return b64decode(given.strip().encode("latin-1"), validate=True)
    except Error:
        return b""


def _logins(webhook: GenericWebhook) -> list[bytes]:
    user = (webhook.options.user or "").encode()
    return [user + b":" + text for text in _texts(webhook)]


def _texts(webhook: GenericWebhook) -> list[bytes]:
    """Return the secrets. An empty one, which could not be read, admits nobody."""
    return [secret.reveal().encode() for secret in webhook.secrets if secret]


def _verdict(is_genuine: bool) -> SignatureVerdict:  # noqa: FBT001 - its only argument
    return SignatureVerdict.GENUINE if is_genuine else SignatureVerdict.WRONG


def read(message: WebhookMessage, webhook: GenericWebhook) -> WebhookReading:
    """Read a message. Raises MalformedRequest if it is not JSON."""
    return read_mapped(message.body, webhook)
