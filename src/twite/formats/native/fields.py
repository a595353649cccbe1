"""Read a native conversion field by field, after the strict decoder has failed.

Readable fields are returned together with the faults, so that only this conversion is rejected,
with all its errors at once. Used by `POST /v1/conversions` and `twite send`.
"""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Final

import msgspec

from twite.domain.errors import MalformedRequest
from twite.domain.fault import Fault, fault
from twite.formats.parsed_request import UNREADABLE, Native, NativeContent
from twite.formats.strict_json import as_fault, decode, kind_of

# Codes of MalformedRequest that concern a single conversion: the JSON around it can be read.
OF_ONE: Final = frozenset({"wrong_shape", "unknown_field", "duplicate_key"})
MAX_FAULTS: Final = 10  # per conversion: a body of 1 MiB can contain 100,000 wrong fields

_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST: Final = msgspec.json.Decoder(list[msgspec.Raw])
_SIGNAL: Final[msgspec.json.Decoder[str | bool]] = msgspec.json.Decoder(str | bool)
_FIELDS: Final[Mapping[str, msgspec.json.Decoder[Any]]] = {
    field.name: msgspec.json.Decoder(field.type) for field in msgspec.structs.fields(Native)
}
_LINE_FIELDS: Final[Mapping[str, msgspec.json.Decoder[Any]]] = {
    field.name: msgspec.json.Decoder(field.type) for field in msgspec.structs.fields(NativeContent)
}
_NULL: Final = b"null"
# A key may be anything, even an email address: only keys that look like field names are shown.
_FIELD_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z_-]{0,31}")
_EXAMPLES: Final[Mapping[str, str]] = {
    "event": '"purchase"',
    "conversion_id": '"order-1001"',
    "time": '"2026-11-24T10:00:00Z"',
    "currency": '"EUR"',
    "email": '"shopper@example.com"',
    "phone": '"+44 20 7946 0958"',
    "ip": '"203.0.113.7"',
    "url": '"https://shop.example/thanks"',
    "contents": '[{"id": "SKU-1", "price": "24.95", "quantity": 2}]',
    "consent": '{"ad_storage": "granted"}',
    "quantity": "2",
    "id": '"SKU-1"',
    "price": '"24.95"',
}
_TWICE: Final = "the key occurs twice in one object: remove one of them"


def field_by_field(raw: bytes) -> tuple[Native, tuple[Fault, ...]]:
    """Return the readable fields of one conversion, and a fault for each of the others.

    At most MAX_FAULTS are reported. No message repeats a value.
    """
    faults: list[Fault] = []
    fields = _object(raw, "", '{"event": "purchase", …}', faults)
    read: dict[str, object] = {}
    unread_consent = False
    for name, value in fields.items():
        if name not in _FIELDS:
            faults.append(_unknown(name, "", (*_FIELDS, "conversions")))
            unread_consent |= _shown(name) == name and _nearest(name, (*_FIELDS,)) == "consent"
        elif name == "contents" and value != _NULL:
            read[name] = _contents(bytes(value), faults)
        elif name == "consent" and value != _NULL:
            read[name] = _consent(bytes(value), faults)
        else:
            _read(read, (name, _FIELDS[name], bytes(value)), name, faults)
    if unread_consent or any(fault.path.partition(".")[0] == "consent" for fault in faults):
        # An unknown signal may be a denial.
        read["consent"] = {**(read.get("consent") or {}), "consent": UNREADABLE}  # type: ignore[dict-item]
    return Native(**read), tuple(faults[:MAX_FAULTS])  # type: ignore[arg-type]


def _contents(raw: bytes, faults: list[Fault]) -> list[NativeContent] | None:
    try:
        lines = decode(_LIST, raw, frame=True)
    except MalformedRequest as wrong:
        faults.append(_fault(wrong, "contents", "contents"))
        return None
    found = []
    for index, line in enumerate(lines):
        if len(faults) >= MAX_FAULTS:
            break
        path = f"contents[{index}]"
        read: dict[str, object] = {}
        for name, value in _object(bytes(line), path, '{"id": "SKU-1"}', faults).items():
            if name in _LINE_FIELDS:
                inner = f"{path}.{name}"
                _read(read, (name, _LINE_FIELDS[name], bytes(value)), inner, faults)
            else:
                faults.append(_unknown(name, path, (*_LINE_FIELDS,)))
        found.append(NativeContent(**read))  # type: ignore[arg-type]
    return found


def _consent(raw: bytes, faults: list[Fault]) -> dict[str, str | bool] | None:
    signals: dict[str, object] = {}
    for name, value in _object(raw, "consent", _EXAMPLES["consent"], faults).items():
        _read(signals, (name, _SIGNAL, bytes(value)), f"consent.{_shown(name)}", faults)
    return signals  # type: ignore[return-value]


def _read(
    read: dict[str, object],
    field: tuple[str, msgspec.json.Decoder[Any], bytes],
    path: str,
    faults: list[Fault],
) -> None:
    name, decoder, raw = field
    try:
        read[name] = decode(decoder, raw)
    except MalformedRequest as wrong:
        faults.append(_fault(wrong, path, name))


def _object(raw: bytes, path: str, example: str, faults: list[Fault]) -> dict[str, msgspec.Raw]:
    """Decode an object.

    Any other type and duplicate keys are faults; duplicate keys are left out.
    """
    text = raw.lstrip()
    if text[:1] != b"{":
        message = f"must be an object, such as {example}, not {kind_of(text)}"
        faults.append(fault(path, "wrong_type", message))
        return {}
    try:
        return decode(_OBJECT, raw, frame=True)
    except MalformedRequest as wrong:
        if wrong.code != "duplicate_key":
            faults.append(as_fault(wrong, path))
            return {}
        place = f"{path}.{_shown(wrong.path)}" if path else _shown(wrong.path)
        faults.append(fault(place, "duplicate_key", _TWICE))
        return {name: held for name, held in _OBJECT.decode(raw).items() if name != wrong.path}


def _fault(malformed: MalformedRequest, path: str, name: str) -> Fault:
    """Return a fault that says what the field accepts, with an example if there is one."""
    example = f": write it like {_EXAMPLES[name]}" if name in _EXAMPLES else ""
    return fault(path, "wrong_type", f"{malformed.message}{example}")


def _unknown(name: str, within: str, known: tuple[str, ...]) -> Fault:
    shown = _shown(name)
    near = _nearest(name, known) if shown == name else ""
    fix = f'; did you mean "{near}"?' if near else ": leave it out"
    path = f"{within}.{shown}" if within else shown
    return fault(path, "unknown_field", f'"{shown}" is not a field of a conversion{fix}')


@lru_cache(maxsize=512)
def _nearest(name: str, known: tuple[str, ...]) -> str:
    return next(iter(get_close_matches(name.lower(), known, n=1, cutoff=0.6)), "")


def _shown(name: str) -> str:
    return name if _FIELD_NAME.fullmatch(name) else "…"
