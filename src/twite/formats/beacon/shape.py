"""The JSON shape of the browser script's beacon, decoded part by part; unknown fields are ignored.

An old gateway must understand a new script, and a script drops a message that was refused. So the
decoder skips whatever it cannot read instead of refusing the message. An unreadable part does not
affect the others.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, TypeVar

import msgspec

from twite.domain.errors import MalformedRequest
from twite.domain.fault import Fault, fault
from twite.domain.secret import Masked
from twite.formats.parsed_request import NO_AMOUNT_GIVEN, UNREADABLE
from twite.formats.strict_json import as_fault, decode

Number = int | float

_NULL: Final = msgspec.Raw(b"null")
T = TypeVar("T")
_FIELDS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NUMBER: Final[msgspec.json.Decoder[Number | None]] = msgspec.json.Decoder(Number | None)
_LIST: Final[msgspec.json.Decoder[list[msgspec.Raw] | None]] = msgspec.json.Decoder(
    list[msgspec.Raw] | None
)
_CONSENT: Final[msgspec.json.Decoder[dict[str, object] | None]] = msgspec.json.Decoder(
    dict[str, object] | None
)


class PixelCall(StrEnum):
    """What X's pixel in the page did with the same conversion."""

    LOADED = "loaded"  # X's script was loaded and received the conversion
    CALLED = "called"  # the conversion is in X's queue; whether X's script was loaded is unknown
    BLOCKED = "blocked"  # the conversion is in X's queue, and X's script was not loaded
    ABSENT = "absent"  # the page has no X pixel, or the conversion was not passed to it


class BeaconContent(msgspec.Struct, frozen=True, omit_defaults=True):
    id: str | int | None = None
    name: str | None = None
    price: msgspec.Raw = _NULL
    quantity: Number | None = None
    group: str | int | None = None
    type: str | None = None


class BeaconConversion(Masked, frozen=True, omit_defaults=True):
    """One conversion as the page reports it.

    `at` is a time on the browser's clock. Its repr is masked.
    """

    event: str | None = None
    conversion_id: str | int | None = None
    at: Number | None = None
    pixel: str | None = None
    value: msgspec.Raw = _NULL
    currency: str | None = None
    email: str | None = None
    email_sha256: str | None = None
    phone: str | None = None
    phone_sha256: str | None = None
    twclid: str | None = None
    twpid: str | None = None
    url: str | None = None
    contents: list[BeaconContent] | None = None
    description: str | None = None
    search: str | None = None
    consent: msgspec.Raw = _NULL
    tax: msgspec.Raw = NO_AMOUNT_GIVEN
    shipping: msgspec.Raw = NO_AMOUNT_GIVEN
    new_customer: object = None


class BeaconClick(Masked, frozen=True, omit_defaults=True):
    id: str | None = None
    at: Number | None = None


class BeaconIgnored(msgspec.Struct, frozen=True, omit_defaults=True):
    name: str | None = None
    reason: str | None = None


class BeaconMessage(Masked, frozen=True, omit_defaults=True):
    """The content of one beacon. `sent` is a time on the browser's clock. Its repr is masked."""

    v: msgspec.Raw = _NULL
    sent: msgspec.Raw = _NULL
    click: msgspec.Raw = _NULL
    consent: msgspec.Raw = _NULL
    conversions: list[msgspec.Raw] | None = None
    ignored: msgspec.Raw = _NULL


_ONE: Final = msgspec.json.Decoder(BeaconConversion)
_BY_FIELD: Final[Mapping[str, msgspec.json.Decoder[Any]]] = {
    field.name: msgspec.json.Decoder(field.type)
    for field in msgspec.structs.fields(BeaconConversion)
}
_CLICK: Final[msgspec.json.Decoder[BeaconClick | None]] = msgspec.json.Decoder(BeaconClick | None)
_IGNORED: Final = msgspec.json.Decoder(BeaconIgnored)


def conversion_in(raw: msgspec.Raw) -> tuple[BeaconConversion, tuple[Fault, ...]]:
    """Read one conversion; omit unreadable fields, with a fault for each."""
    faults: list[Fault] = []
    whole = _typed(_ONE, raw, "", [])
    if whole is not None:
        return whole, ()
    fields = _typed(_FIELDS, raw, "", faults) or {}
    read = {
        name: _typed(_BY_FIELD[name], value, name, faults)
        for name, value in fields.items()
        if name in _BY_FIELD
    }
    good = {name: value for name, value in read.items() if value is not None}
    return BeaconConversion(**good), tuple(faults)


def number_in(raw: msgspec.Raw) -> Number | None:
    return _typed(_NUMBER, raw, "", [])


def click_in(raw: msgspec.Raw) -> BeaconClick | None:
    return _typed(_CLICK, raw, "", [])


def ignored_in(raw: msgspec.Raw) -> list[BeaconIgnored]:
    """Return the ignored events; those of the wrong type have neither name nor reason."""
    given = _typed(_LIST, raw, "", []) or []
    return [_typed(_IGNORED, entry, "", []) or BeaconIgnored() for entry in given]


def consent_in(raw: msgspec.Raw) -> Mapping[str, str | bool]:
    """Return the consent signals as submitted; numbers become text, and null is omitted."""
    faults: list[Fault] = []
    signals = _typed(_CONSENT, raw, "consent", faults) or {}
    if faults:
        return {"consent": UNREADABLE}
    return {name: _word(word) for name, word in signals.items() if word is not None}


def _word(word: object) -> str | bool:
    if isinstance(word, str | bool):
        return word
    return str(word) if isinstance(word, int | float) else UNREADABLE


def _typed(
    decoder: msgspec.json.Decoder[T], raw: msgspec.Raw, path: str, faults: list[Fault]
) -> T | None:
    try:
        return decode(decoder, bytes(raw))
    except MalformedRequest as wrong:
        if wrong.code != "wrong_shape":
            faults.append(as_fault(wrong, path or wrong.path))
            return None
        inside = f".{wrong.path}" if wrong.path and not wrong.path.startswith("[") else wrong.path
        place = f"{path}{inside}" if path else wrong.path
        faults.append(fault(place, "wrong_type", wrong.message))
        return None
