"""Encode conversions as X's JSON, and read the identifiers in encoded conversions.

The output is valid under every reading of X's documentation: one time field, UTC, three digits of
milliseconds and `Z`; amounts as strings with two decimals or more, always with their currency; the
bare event id; identifiers in the layout of X's own sample, in which every element identifies the
person by itself (the live API has refused elements with only an IP address [seen SW]).
"""

from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

import msgspec

from twite.domain.conversion import Conversion, Identifiers
from twite.domain.fault import Fault
from twite.domain.secret import Masked
from twite.domain.times import LATEST, moment, spelled
from twite.x import spec

_ENCODER: Final = msgspec.json.Encoder()
T = TypeVar("T")
# Our name of an identifier → X's.
_KEYS: Final = {
    "click_id": "twclid",
    "email": "hashed_email",
    "phone": "hashed_phone_number",
    "ip": "ip_address",
    "user_agent": "user_agent",
    "browser_id": "twpid",
}


class _Identifier(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    twclid: str | None = None
    hashed_email: str | None = None
    hashed_phone_number: str | None = None
    ip_address: str | None = None
    user_agent: str | None = None
    twpid: str | None = None


class _Content(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    content_id: str | None = None
    content_group_id: str | None = None
    content_name: str | None = None
    content_price: str | None = None
    content_type: str | None = None
    num_items: int | None = None


class _Conversion(msgspec.Struct, frozen=True, omit_defaults=True):
    conversion_time: str
    event_id: str | None = None
    event_name: str | None = None
    identifiers: Sequence[_Identifier] = ()
    conversion_id: str | None = None
    value: str | None = None
    price_currency: str | None = None
    number_items: int | None = None
    description: str | None = None
    search_string: str | None = None
    event_source_url: str | None = None
    contents: Sequence[_Content] | None = None
    restricted_data_use: str | None = None


def conversion_body(conversion: Conversion) -> bytes:
    event, contents = conversion.event, conversion.contents
    is_name = event.startswith("gtm_")
    # Positional arguments, in the order of the fields, take half of the time that keywords take.
    return _ENCODER.encode(
        _Conversion(
            spelled(conversion.time),
            None if is_name else event,
            event if is_name else None,
            _identifiers(conversion.identifiers),
            conversion.conversion_id,
            conversion.value,
            conversion.currency,
            conversion.quantity,
            conversion.description,
            conversion.search,
            conversion.url,
            [
                _Content(line.id, line.group, line.name, line.price, line.type, line.quantity)
                for line in contents
            ]
            if contents
            else None,
            conversion.restricted_data_use,
        )
    )


def batch_body(bodies: Sequence[bytes]) -> bytes:
    """Join rendered conversions into one request body; at most spec.MAX_CONVERSIONS of them."""
    return joined_body(b",".join(bodies), len(bodies))


def joined_body(bodies: bytes, count: int) -> bytes:
    """Return the request body of `count` conversions, which are joined by commas."""
    if not 0 < count <= spec.MAX_CONVERSIONS:
        raise ValueError(f"a batch holds 1 to {spec.MAX_CONVERSIONS} conversions")
    return b"".join((b'{"conversions":[', bodies, b"]}"))


def conversions_url(*, api_url: str, version: str, pixel: str) -> str:
    path = spec.CONVERSIONS_PATH.format(version=version, pixel_id=pixel)
    return f"{api_url.rstrip('/')}{path}"


def _identifiers(identifiers: Identifiers) -> list[_Identifier]:
    """Return an element for each strong identifier, one for IP and user agent. [doc WEB sample]

    If only the IP address or only the user agent is known, it is added to the first strong element,
    because X would refuse it alone.
    """
    pair = identifiers.ip is not None and identifiers.user_agent is not None
    ip = None if pair else identifiers.ip
    agent = None if pair else identifiers.user_agent
    twpid = identifiers.browser_id
    elements: list[_Identifier] = []
    if identifiers.click_id is not None:
        elements.append(_Identifier(identifiers.click_id, None, None, ip, agent, twpid))
        ip = agent = twpid = None
    if identifiers.email is not None:
        elements.append(_Identifier(None, identifiers.email, None, ip, agent, twpid))
        ip = agent = twpid = None
    if identifiers.phone is not None:
        elements.append(_Identifier(None, None, identifiers.phone, ip, agent, twpid))
        twpid = None
    if pair:
        browser = None if elements else twpid
        elements.append(
            _Identifier(None, None, None, identifiers.ip, identifiers.user_agent, browser)
        )
    return elements


class _RenderedConversion(msgspec.Struct):
    identifiers: list[_Identifier] = []


class _Placed(msgspec.Struct):
    pixel: str


def persons_of(body: bytes) -> tuple[Identifiers, ...]:
    """Return the identifiers in a body from `encode`, one for each element.

    Raises msgspec.DecodeError for other bodies.
    """
    return tuple(
        Identifiers(
            click_id=identifier.twclid,
            email=identifier.hashed_email,
            phone=identifier.hashed_phone_number,
        )
        for identifier in _DECODER.decode(body).identifiers
    )


class CompletedBody(Masked, Generic[T], frozen=True, kw_only=True):
    """A body with the identifiers that were added, and their `origins`.

    `suffices` is whether X accepts its identifiers.
    """

    in_repr = ("origins", "suffices")
    body: bytes
    added_identifiers: Identifiers
    origins: T
    suffices: bool


def completed(
    body: bytes, gaps: Callable[[Identifiers, int], tuple[Identifiers, T]]
) -> CompletedBody[T] | None:
    """Fill the gaps in the identifiers of a body from `encode`; return None if it is unreadable.

    `gaps` takes the identifiers and the time of the conversion, and returns more identifiers, and
    where they come from. Identifiers of the body are never replaced.
    """
    try:
        rendered = _COMPLETE.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    at = moment(rendered.conversion_time, now=LATEST, path="")
    if isinstance(at, Fault):
        return None
    own = Identifiers(
        **{
            name: next(filter(None, (getattr(each, key) for each in rendered.identifiers)), None)
            for name, key in _KEYS.items()
        }
    )
    more, origins = gaps(own, at)
    added = {
        name: getattr(more, name)
        for name in _KEYS
        if getattr(own, name) is None and getattr(more, name) is not None
    }
    whole = msgspec.structs.replace(own, **added)
    if added:
        rendered = msgspec.structs.replace(rendered, identifiers=_identifiers(whole))
        body = _ENCODER.encode(rendered)
    return CompletedBody(
        body=body, added_identifiers=Identifiers(**added), origins=origins, suffices=whole.suffice
    )


def pixel_of(body: bytes, *, otherwise: str) -> str:
    """Return the pixel whose opt-out list applies to a body.

    A body for X names no pixel, so the delivery's pixel applies (`otherwise`); a tag payload names
    the pixel of its source.
    """
    try:
        return _PLACED.decode(body).pixel
    except msgspec.DecodeError:
        return otherwise


_COMPLETE: Final = msgspec.json.Decoder(_Conversion)
_PLACED: Final = msgspec.json.Decoder(_Placed)
_DECODER: Final = msgspec.json.Decoder(_RenderedConversion)
