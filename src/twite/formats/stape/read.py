"""What Stape's X tag posts to its auth proxy, from 2022 to today → X's own request.

    {"pixel_id": "…", "conversions": [one conversion], "auth": {"consumer_key", "consumer_secret",
     "oauth_token", "oauth_token_secret"}}

Of the conversions as they are sent, what X would not take and a reader can mend is mended; what it
cannot is left for X's own words. [seen TW, facts recorded from the unmodified tag]
"""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from twite.domain.dedup import derived_id
from twite.domain.destination import OAuthKeys
from twite.domain.errors import MalformedRequest
from twite.domain.secret import Secret
from twite.domain.times import DAY
from twite.formats.strict_json import decode

# More than X takes: whoever reads X's format says how many that is.
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


class Proxied(msgspec.Struct, frozen=True, kw_only=True):
    """A request to the proxy. `body` is what X would be sent; `keys` came with it, where they did.

    It holds persons and secrets: it does not print.
    """

    pixel: str
    body: bytes
    keys: OAuthKeys | None

    def __repr__(self) -> str:
        return f"Proxied({self.pixel!r}, body=<{len(self.body)} bytes>)"


def read(body: bytes, *, now: int, salt: bytes) -> Proxied:
    """Read a request. `now` is the time of conversions that name none, which X requires.

    Raises Malformed for what is not JSON, or names no pixel or no conversions.
    """
    request = decode(_DECODER, body)
    pixel, given = request.get("pixel_id"), request.get("conversions")
    if not isinstance(pixel, str) or not pixel.strip():
        raise MalformedRequest(
            code="wrong_shape", path="pixel_id", message="pixel_id must be a text"
        )
    if not isinstance(given, list):
        raise MalformedRequest(
            code="wrong_shape", path="conversions", message="conversions must be a list"
        )
    mended = [
        _mended(one, place, pixel.strip(), now=now, salt=salt)
        for place, one in enumerate(given[:_MOST])
    ]
    return Proxied(
        pixel=pixel.strip(),
        body=_ENCODER.encode({"conversions": mended}),
        keys=_keys(request.get("auth")),
    )


def _mended(given: object, place: int, pixel: str, *, now: int, salt: bytes) -> object:
    if not isinstance(given, Mapping):
        return given
    one = {str(name): value for name, value in given.items() if value is not None}
    for name in _TEXTS:
        one[name] = _text(one.get(name))
    one["number_items"] = _count(one.get("number_items"))
    one["contents"] = _contents(one.get("contents"))
    one["identifiers"] = _identifiers(one.get("identifiers"))
    kept = {name: value for name, value in one.items() if value not in (None, "")}
    return _timed(kept, place, pixel, now=now, salt=salt)


def _timed(
    one: dict[str, object], place: int, pixel: str, *, now: int, salt: bytes
) -> dict[str, object]:
    """Fill in the time of tags that sent none; with it, an id that a second try has again."""
    at = one.get("conversion_time")
    if isinstance(at, str) and _STAMP.fullmatch(at):
        del one["conversion_time"]
        one.setdefault("conversion_timestamp", int(at))
    if "conversion_time" in one or "conversion_timestamp" in one:
        return one
    if "conversion_id" not in one:
        said = _ENCODER.encode([one, now // DAY])
        one["conversion_id"] = derived_id(
            salt=salt, scope=f"stape\0{pixel}\0{place}", repeated=said
        )
    return one | {"conversion_timestamp": now}


def _identifiers(given: object) -> object:
    """Leave out the empty objects that the tag puts where a field said `undefined`."""
    if not isinstance(given, list):
        return given
    return [one for one in given if one != {}]


def _contents(given: object) -> object:
    if not isinstance(given, list):
        return given
    return [
        {**one, "num_items": _count(one.get("num_items"))} if isinstance(one, Mapping) else one
        for one in given
    ]


def _text(given: object) -> object:
    if isinstance(given, int | float) and not isinstance(given, bool):
        return str(given)
    return given


def _count(given: object) -> object:
    """Read a count that the tag's own table of overrides made a text, or its sums a float."""
    text = _text(given)
    if isinstance(text, str) and _WHOLE.fullmatch(text):
        return int(text.partition(".")[0])
    return given


def _keys(given: object) -> OAuthKeys | None:
    """Return the four parts, None unless all of them are there."""
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
