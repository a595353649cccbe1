"""Stape format: convert requests from Stape's X tag (2022 to today) to X's format.

    {"pixel_id": "…", "conversions": [one conversion], "auth": {"consumer_key", "consumer_secret",
     "oauth_token", "oauth_token_secret"}}

Values that X would refuse are corrected if their meaning is clear; others get X's own errors. [seen
TW, recorded from the unmodified tag]
"""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from twite.domain.conversion import derived_id
from twite.domain.destination import OAuthKeys
from twite.domain.secret import Masked, Secret
from twite.domain.times import DAY
from twite.formats.strict_json import decode, wrong_shape

# More than X accepts, so that the X format can reject larger requests with X's error.
_MOST: Final = 1_000
_DECODER: Final = msgspec.json.Decoder(dict[str, object])
_ENCODER: Final = msgspec.json.Encoder(order="deterministic")
_TEXTS: Final = (
    "conversion_time", "event_id", "event_name", "price_currency", "description", "search_string",
    "event_source_url",
)  # fmt: skip
_WHOLE: Final = re.compile(r"[0-9]{1,9}(?:\.0+)?", re.ASCII)
_STAMP: Final = re.compile(r"[0-9]{13}", re.ASCII)
_KEY: Final = re.compile(r"[\x21-\x7e]{1,512}")
_AUTH: Final = ("consumer_key", "consumer_secret", "oauth_token", "oauth_token_secret")


class Proxied(Masked, frozen=True, kw_only=True):
    """A request to the proxy. `body` is for X; `keys` are the credentials that were sent, if any.

    It contains personal data and secrets: its repr is masked.
    """

    in_repr = ("pixel",)
    pixel: str
    body: bytes
    keys: OAuthKeys | None


def read(body: bytes, *, now: int, salt: bytes) -> Proxied:
    """Read a request. Conversions without a time get the time `now`, because X requires one.

    Raises MalformedRequest if it is not JSON, or has no pixel or no conversions.
    """
    request = decode(_DECODER, body)
    pixel, given = request.get("pixel_id"), request.get("conversions")
    if not isinstance(pixel, str) or not pixel.strip():
        raise wrong_shape("pixel_id", "pixel_id must be text")
    if not isinstance(given, list):
        raise wrong_shape("conversions", "conversions must be a list")
    conversions = [
        _mended(conversion, place, pixel.strip(), now=now, salt=salt)
        for place, conversion in enumerate(given[:_MOST])
    ]
    return Proxied(
        pixel=pixel.strip(),
        body=_ENCODER.encode({"conversions": conversions}),
        keys=_keys(request.get("auth")),
    )


def _mended(given: object, place: int, pixel: str, *, now: int, salt: bytes) -> object:
    if not isinstance(given, Mapping):
        return given
    conversion = {str(name): value for name, value in given.items() if value is not None}
    for name in _TEXTS:
        conversion[name] = _text(conversion.get(name))
    conversion["number_items"] = _count(conversion.get("number_items"))
    conversion["contents"] = _contents(conversion.get("contents"))
    conversion["identifiers"] = _identifiers(conversion.get("identifiers"))
    kept = {name: value for name, value in conversion.items() if value not in (None, "")}
    return _timed(kept, place, pixel, now=now, salt=salt)


def _timed(
    conversion: dict[str, object], place: int, pixel: str, *, now: int, salt: bytes
) -> dict[str, object]:
    """Add a time, which old tags did not send, and an id that is the same on a retry."""
    at = conversion.get("conversion_time")
    if isinstance(at, str) and _STAMP.fullmatch(at):
        del conversion["conversion_time"]
        conversion.setdefault("conversion_timestamp", int(at))
    if "conversion_time" in conversion or "conversion_timestamp" in conversion:
        return conversion
    if "conversion_id" not in conversion:
        repeated = _ENCODER.encode([conversion, now // DAY])
        conversion["conversion_id"] = derived_id(
            salt=salt, scope=f"stape\0{pixel}\0{place}", repeated=repeated
        )
    return conversion | {"conversion_timestamp": now}


def _identifiers(given: object) -> object:
    """Remove the empty objects that the tag sends for fields that are `undefined`."""
    if not isinstance(given, list):
        return given
    return [identifier for identifier in given if identifier != {}]


def _contents(given: object) -> object:
    if not isinstance(given, list):
        return given
    return [
        {**line, "num_items": _count(line.get("num_items"))} if isinstance(line, Mapping) else line
        for line in given
    ]


def _text(given: object) -> object:
    if isinstance(given, int | float) and not isinstance(given, bool):
        return str(given)
    return given


def _count(given: object) -> object:
    """Read a count that the tag sent as a string (override table) or a float (sums)."""
    text = _text(given)
    if isinstance(text, str) and _WHOLE.fullmatch(text):
        return int(text.partition(".")[0])
    return given


def _keys(given: object) -> OAuthKeys | None:
    if not isinstance(given, Mapping):
        return None
    parts = [given.get(name) for name in _AUTH]
    texts = [part for part in parts if isinstance(part, str) and _KEY.fullmatch(part)]
    if len(texts) < len(_AUTH):
        return None
    key, secret, token, token_secret = texts
    return OAuthKeys(
        consumer_key=key,
        consumer_secret=Secret(secret),
        token=token,
        token_secret=Secret(token_secret),
    )
