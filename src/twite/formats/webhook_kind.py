"""Webhook kind: how one sender signs its messages, and what they say.

A kind is a folder of `formats` with pure functions, and a row of `KINDS` in `webhook_kinds`:

    options  a struct with the kind's own keys of `[[webhook]]`: see `option`
    check    yields what is wrong with the options
    verify   judges the signature of a message, by all secrets, over the raw body, before parsing
    read     says what a genuine message contains: conversions, an ignored message, or a person to
             erase
    sample   makes a signed message, for tests, `twite webhook test` and the console

The route of `POST /webhooks/{name}` does the rest (`http/routes/webhooks.py`): it reads the body
under the usual limits, responds, stores conversions, counts ignored messages, and notes the
delivery. `config/webhooks.py` reads the options from `twite.toml`.
"""

import hmac
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from hashlib import sha256
from types import MappingProxyType
from typing import Final, Generic, TypeVar

import msgspec

from twite.domain.people.erasure import ErasureIdentifier
from twite.domain.secret import Masked, Secret
from twite.domain.submission import Ignored
from twite.domain.times import moment
from twite.formats.event_data.conversions import ignored_as
from twite.formats.parsed_request import UNREADABLE, ParsedRequest
from twite.formats.strict_json import decode, with_replacements, wrong_shape

OptionsT = TypeVar("OptionsT", bound=msgspec.Struct)
# Whole numbers stay exact, and other numbers stay the text that the sender wrote.
_EXACT: Final = msgspec.json.Decoder(object, float_hook=str)


class SignatureVerdict(StrEnum):
    GENUINE = "genuine"
    WRONG = "wrong"  # no signature, or one of another secret or body
    LATE = "late"  # genuine, but its time is outside the tolerance: perhaps a replay
    PING = "ping"  # an unsigned message by which a sender tries the URL: 200, nothing is kept


class IgnoredReason(StrEnum):
    """Why a genuine message contains no conversion. The values are stored: never change one."""

    TEST = "test"
    RENEWAL = "renewal"
    REFUND = "refund"
    CANCELLATION = "cancellation"
    UNPAID = "unpaid"
    FREE = "free"
    DRAFT = "draft"
    POINT_OF_SALE = "point_of_sale"
    CHANNEL = "channel"
    OTHER_MESSAGE = "other_message"
    NO_DATA = "no_data"
    PRIVACY_REQUEST = "privacy_request"
    OTHER_ACCOUNT = "other_account"
    TOO_OLD = "too_old"
    ERASURE = "erasure"


# What a reason means, and what to do about it if the message should be a conversion.
REASONS: Final[Mapping[IgnoredReason, str]] = MappingProxyType(
    {
        IgnoredReason.TEST: "a test: tests are never sent to X",
        IgnoredReason.RENEWAL: "a renewal of a subscription, which is no new conversion",
        IgnoredReason.REFUND: "a refund: X has no way to correct a conversion",
        IgnoredReason.CANCELLATION: "a cancellation: X has no way to correct a conversion",
        IgnoredReason.UNPAID: "not paid yet",
        IgnoredReason.FREE: "the start of a trial, or a stored card: nothing was ordered and paid",
        IgnoredReason.DRAFT: "an order that the shop entered, not a visitor",
        IgnoredReason.POINT_OF_SALE: "a sale in a store, not on the web",
        IgnoredReason.CHANNEL: "an order of a channel that the settings leave out",
        IgnoredReason.OTHER_MESSAGE: "not the message that this webhook sends as a conversion",
        IgnoredReason.NO_DATA: "a message without the data of its object: choose full payloads (at "
        "Stripe: snapshot)",
        IgnoredReason.PRIVACY_REQUEST: "a privacy request that the merchant must answer",
        IgnoredReason.OTHER_ACCOUNT: "of a connected account that the settings do not name",
        IgnoredReason.TOO_OLD: "paid before the deduplication window or `paid_since`, so it could "
        "count twice",
        IgnoredReason.ERASURE: "a person whose data the sender asked to erase",
    }
)


class WebhookMessage(Masked, frozen=True, kw_only=True):
    """A POST request to `/webhooks/{name}`. It holds personal data: its repr is masked.

    `headers` have lower-case names. `body` is complete, and as it was signed. `url` is the public
    URL with its query, for senders that sign it. `rest` is what follows the webhook's name in the
    path, for senders whose only proof is a secret there.
    """

    headers: Mapping[bytes, bytes]
    body: bytes
    url: str = ""
    rest: str = ""

    def header(self, *names: str) -> str:
        """Return the first header that is present, without white space around it, or ""."""
        for name in names:
            found = self.headers.get(name.encode())
            if found is not None:
                return found.decode("latin-1").strip()
        return ""


class WebhookReading(Masked, frozen=True, kw_only=True):
    """What a genuine message says. It holds personal data: its repr is masked.

    `name` is the kind of message, such as `orders/paid`, without personal data. `parsed` has the
    conversions, with every consent signal, or why there are none (`ignoring`). `erase` are the
    identifiers of a person whose data the sender asks to erase. `made_at` is when the sender made
    the message, if its signed body says so and the times of its conversions may be much earlier.
    """

    in_repr = ("name",)
    name: str
    parsed: ParsedRequest = ParsedRequest()
    erase: tuple[ErasureIdentifier, ...] = ()
    made_at: str | None = None


def ignoring(
    name: str, reason: IgnoredReason, erase: tuple[ErasureIdentifier, ...] = ()
) -> WebhookReading:
    """Return the reading of a message without conversions: it is counted by its reason."""
    name = shown_name(name)
    ignored = Ignored(name=name, reason=reason)
    return WebhookReading(name=name, parsed=ParsedRequest(ignored=(ignored,)), erase=erase)


def shown_name(name: str) -> str:
    """Return the name of a message as it is stored: one line, short, without personal data.

    A sender's name is text like any other: WooCommerce does not even sign its topic.
    """
    return ignored_as(name, "").name or "unnamed"


def without_old(reading: WebhookReading, *, oldest: int, now: int) -> WebhookReading:
    """Return the reading without conversions before `oldest` (ms), which it ignores."""
    parsed = reading.parsed
    texts = [reading.made_at or native.time for native in parsed.conversions]
    times = [None if text is None else moment(text, now=now, path="time") for text in texts]
    kept = [n for n, at in enumerate(times) if not (isinstance(at, int) and at < oldest)]
    if len(kept) == len(times):
        return reading
    old = Ignored(name=reading.name, reason=IgnoredReason.TOO_OLD)
    left = msgspec.structs.replace(
        parsed,
        conversions=tuple([parsed.conversions[n] for n in kept]),
        faults=tuple([parsed.faults[n] for n in kept]) if parsed.faults else (),
        ignored=(*parsed.ignored, *[old] * (len(times) - len(kept))),
    )
    return msgspec.structs.replace(reading, parsed=left)


class OptionFault(msgspec.Struct, frozen=True, kw_only=True):
    """A wrong option: its key, such as `signature.header`, and what to do about it."""

    key: str
    message: str


class WebhookKind(msgspec.Struct, Generic[OptionsT], frozen=True, kw_only=True):
    """One row of `KINDS`.

    The fields of `options` are annotated by `option`. `verify` gets the time in milliseconds.
    `read` gets only genuine messages; it raises MalformedRequest for a body that it cannot read,
    and nothing else. If `ignores_old`, conversions before the deduplication window are ignored,
    because the sender repeats messages about them at any later time. The sample is a message with
    one conversion, of `shopper@example.com`, at a time in milliseconds, for the webhook at a URL.
    `preset` are keys of `[[webhook]]` that have these values unless the file has others. `lacks`
    are fields that value rules read and that no message of the kind has; None if `map` decides.
    """

    name: str
    options: type[OptionsT]
    verify: Callable[[WebhookMessage, "IncomingWebhook[OptionsT]", int], SignatureVerdict]
    read: Callable[[WebhookMessage, "IncomingWebhook[OptionsT]"], WebhookReading]
    sample: Callable[["IncomingWebhook[OptionsT]", int, str], WebhookMessage]
    check: Callable[[OptionsT], Iterator[OptionFault]] = lambda _options: iter(())
    ignores_old: bool = False
    preset: Mapping[str, object] = MappingProxyType({})
    lacks: frozenset[str] | None = None


class IncomingWebhook(Masked, Generic[OptionsT], frozen=True, kw_only=True):
    """A `[[webhook]]` of the settings. A message is genuine if any of its secrets signed it."""

    in_repr = ("name",)
    name: str
    kind: WebhookKind[OptionsT]
    secrets: tuple[Secret, ...]
    source: str
    event: str
    options: OptionsT


def option(meaning: str, *, ge: int | None = None, le: int | None = None) -> msgspec.Meta:
    """Describe a field of a kind's options, with its meaning.

        tolerance: Annotated[int, option("seconds that a message may be old", ge=0, le=600)] = 300

    A field is a text, a bool, a whole number between `ge` and `le`, a Literal of texts, a mapping
    of texts, a list (tuple) of these, or a struct of such fields: a table. Its default is that of
    the key; None stands for none.
    """
    return msgspec.Meta(description=meaning, ge=ge, le=le)


def signed_base64(secret: Secret, signed: bytes) -> bytes:
    """Return the HMAC-SHA256 of a text in base64."""
    return b64encode(hmac.digest(secret.reveal().encode(), signed, sha256))


def is_any(given: bytes, expected: Iterable[bytes]) -> bool:
    """Return whether a signature is one of the expected ones, in constant time."""
    found = False
    for each in expected:
        found |= hmac.compare_digest(given, each)
    return found


def exact_object(body: bytes) -> dict[str, object]:
    """Decode a JSON object. Whole numbers stay exact, and numbers with a point stay texts.

    Raises MalformedRequest. `value_at`, `first_text` and `amount_at` of `event_data.values` read
    the object by dotted paths.
    """
    found = decode(_EXACT, with_replacements(body))
    if not isinstance(found, dict):
        raise wrong_shape("", "the body must be an object")
    return found


def consent_signals(*values: object) -> dict[str, str | bool] | None:
    """Return the signals of a text that a page has left for the webhook, None if it is empty.

    `granted` and `denied` are for storage and user data; other texts are pairs, such as
    `ad_storage=granted,ad_user_data=denied`. What cannot be read may be a denial, and so may two
    different values.
    """
    given = [value for value in values if value is not None and value != ""]
    texts = {value.strip() for value in given if isinstance(value, str)}
    if not given or texts == {""}:
        return None
    if len(texts) != 1 or not all(isinstance(value, str) for value in given):
        return {"ad_storage": UNREADABLE}
    [plain] = texts
    if plain.lower() in {"granted", "denied"}:
        return dict.fromkeys(("ad_storage", "ad_user_data"), plain.lower())
    signals: dict[str, str | bool] = {}
    for pair in plain.split(","):
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not name or not equals or signals.get(name, value) != value:
            return {"ad_storage": UNREADABLE}
        signals[name] = value
    return signals
