"""What a JSON decoder lets pass and a gateway must not.

msgspec refuses NaN, Infinity, lone surrogates, bad UTF-8 and raw control characters, and cuts deep
nesting off with a RecursionError. It keeps the last of duplicate keys, silently: a way past a
signature or a consent check, so they are refused here.
"""

import json
import re
from collections import Counter
from difflib import get_close_matches
from typing import Final, NoReturn, TypeVar

import msgspec

from twite.domain.errors import Malformed

T = TypeVar("T")

_ENCODER: Final = msgspec.json.Encoder()
_HALF_A_CHARACTER: Final = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F]"
)
_UNKNOWN: Final = re.compile(r"unknown field `(.*?)`")
_PLACE: Final = re.compile(r" - at `(?:key in )?\$?\.?(.*?)`$", re.DOTALL)


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Decode, strictly. Raises Malformed with the place and the cure.

    The decoder's structs must leave out defaults when they are written (omit_defaults).
    """
    try:
        value = decoder.decode(body)
    except msgspec.ValidationError as error:
        _refuse_shape(error, decoder.type)
    except RecursionError:
        raise Malformed(
            code="too_deep", path="", message="the JSON is nested deeper than any submission is"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(code="not_json", path="", message=_why_not_json(error, body)) from None
    _refuse_duplicate_keys(body, value)
    return value


def _refuse_duplicate_keys(body: bytes, value: object) -> None:
    """Raise Malformed when an object of the JSON names a key twice.

    A decoder drops texts (of duplicate keys, unknown fields, nulls) and adds none. So where what it
    read, written again, holds as many texts as came in, no key was dropped. The costly look is for
    the rest.
    """
    texts = _texts(body)
    if texts is not None and texts == _texts(_ENCODER.encode(value)):
        return
    try:
        # Numbers stay text: one of 5,000 digits is not this function's to refuse.
        json.loads(body, object_pairs_hook=_unique, parse_int=str, parse_float=str)
    except RecursionError:
        raise Malformed(
            code="too_deep", path="", message="the JSON is nested deeper than any submission is"
        ) from None


def may_hold_control_characters(body: bytes) -> bool:
    """Return whether a text in this JSON could hold one: only an escape or DEL can bring it in."""
    return b"\\" in body or b"\x7f" in body or (not body.isascii() and b"\xc2" in body)


def _texts(body: bytes) -> int | None:
    """Count the quotes that open or close a text in valid JSON; None where that takes a parser."""
    if b"\\" not in body:
        return body.count(b'"')
    if b"\\\\" in body or b"\\u005" in body:
        return None
    return body.count(b'"') - body.count(b'\\"')


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name in found if counts[name] > 1)
        raise Malformed(
            code="duplicate_key",
            path=_shown(twice),
            message=f'"{_shown(twice)}" stands twice in one object: which of the two is meant?',
        )
    return found


def _refuse_shape(error: msgspec.ValidationError, shape: object) -> NoReturn:
    text = str(error)
    place = _PLACE.search(text)
    path = _shown(place.group(1).replace("[...]", "[]")) if place else ""
    sentence = text[: place.start()] if place else text
    unknown = _UNKNOWN.search(sentence)
    if unknown is None:
        raise Malformed(
            code="wrong_shape", path=path, message=f"{sentence} ({path or 'the whole'})"
        ) from None
    name = unknown.group(1)
    near = get_close_matches(name[:64], sorted(_field_names(shape)), n=1, cutoff=0.5)
    meant = f'; did you mean "{near[0]}"?' if near else ""
    raise Malformed(
        code="unknown_field",
        path=f"{path}.{_shown(name)}" if path else _shown(name),
        message=f'"{_shown(name)}" is not a field of a submission{meant}',
    ) from None


def _field_names(shape: object) -> set[str]:
    """Return the names of all fields that the shape has at any depth."""
    names: set[str] = set()
    waiting, seen = [msgspec.inspect.type_info(shape)], set[int]()
    while waiting:
        kind = waiting.pop()
        if id(kind) in seen:
            continue
        seen.add(id(kind))
        if isinstance(kind, msgspec.inspect.StructType):
            names.update(field.encode_name for field in kind.fields)
            waiting.extend(field.type for field in kind.fields)
        waiting.extend(getattr(kind, "types", ()))
        inner = getattr(kind, "item_type", None)
        if isinstance(inner, msgspec.inspect.Type):
            waiting.append(inner)
    return names


def _shown(text: str) -> str:
    kept = "".join(c if c.isprintable() else "?" for c in text[:64])
    return kept + ("…" if len(text) > 64 else "")


def _why_not_json(error: Exception, body: bytes) -> str:
    """Say it in a sentence. The decoder's own names a byte offset and never quotes the input."""
    if body[:3] == b"\xef\xbb\xbf" or body[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return "not JSON: it begins with a byte-order mark; send plain UTF-8"
    if _HALF_A_CHARACTER.search(body):
        return "not JSON: an escape such as \\ud800 is half a character, without its other half"
    if b"NaN" in body or b"Infinity" in body:
        return "not JSON: NaN and Infinity are no numbers there"
    return f"not JSON: {str(error).removeprefix('JSON is malformed: ')}"
