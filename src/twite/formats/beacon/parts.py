"""Decode the parts of a beacon one by one: an unreadable part does not affect the others."""

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec

from twite.domain.errors import MalformedRequest
from twite.domain.fault import Fault, fault
from twite.formats.beacon.shape import BeaconClick, BeaconConversion, BeaconIgnored, Number
from twite.formats.each_by_itself import as_fault
from twite.formats.native_shape import UNREADABLE
from twite.formats.strict_json import decode

T = TypeVar("T")

_ONE: Final = msgspec.json.Decoder(BeaconConversion)
_FIELDS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_BY_FIELD: Final[Mapping[str, msgspec.json.Decoder[Any]]] = {
    field.name: msgspec.json.Decoder(field.type)
    for field in msgspec.structs.fields(BeaconConversion)
}
_NUMBER: Final[msgspec.json.Decoder[Number | None]] = msgspec.json.Decoder(Number | None)
_CLICK: Final[msgspec.json.Decoder[BeaconClick | None]] = msgspec.json.Decoder(BeaconClick | None)
_LIST: Final[msgspec.json.Decoder[list[msgspec.Raw] | None]] = msgspec.json.Decoder(
    list[msgspec.Raw] | None
)
_IGNORED: Final = msgspec.json.Decoder(BeaconIgnored)
_CONSENT: Final[msgspec.json.Decoder[dict[str, object] | None]] = msgspec.json.Decoder(
    dict[str, object] | None
)


def conversion_of(raw: msgspec.Raw) -> tuple[BeaconConversion, tuple[Fault, ...]]:
    """Read one conversion; leave out unreadable fields, with a fault for each."""
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


def number_of(raw: msgspec.Raw) -> Number | None:
    """Return a number, or None for anything else."""
    return _typed(_NUMBER, raw, "", [])


def click_of(raw: msgspec.Raw) -> BeaconClick | None:
    """Return the click, or None for anything else."""
    return _typed(_CLICK, raw, "", [])


def ignored_of(raw: msgspec.Raw) -> list[BeaconIgnored]:
    """Return the ignored events; badly typed ones have neither name nor reason."""
    given = _typed(_LIST, raw, "", []) or []
    return [_typed(_IGNORED, entry, "", []) or BeaconIgnored() for entry in given]


def consent_of(raw: msgspec.Raw) -> Mapping[str, str | bool]:
    """Return the consent signals as submitted; a number becomes text, null is left out."""
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
