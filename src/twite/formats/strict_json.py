"""Strict JSON: refuse duplicate keys, and repair broken characters that pages and tags send.

msgspec refuses NaN, Infinity, lone surrogates, bad UTF-8 and raw control characters, and stops at
deep nesting with a RecursionError. msgspec silently keeps the last of duplicate keys, which could
bypass a signature or a consent check, so duplicates are refused here. Requests of pages and tags
are repaired before decoding: a name truncated within an emoji contains half a character, and an
order must not be lost because of that.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Final, NoReturn, TypeVar

import msgspec

from twite.domain.errors import MalformedRequest
from twite.domain.fault import CODES, Fault, fault

T = TypeVar("T")

_ENCODER: Final = msgspec.json.Encoder()
_A_HALF: Final = re.compile(rb"\\u[dD][89a-fA-F]")
# Escapes are matched one after the other, so that no match begins inside another escape: a
# surrogate pair, a lone surrogate, or any other escape.
_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
# Numbers, because searching for a number takes a fifth of the time of searching for bytes.
_BACKSLASH, _DELETE, _BEFORE_C1 = b"\\\x7f\xc2"
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
_UNKNOWN: Final = re.compile(r"unknown field `(.*?)`")
_PLACE: Final = re.compile(r" - at `(?:key in )?\$?\.?(.*?)`$", re.DOTALL)
_EXPECTED: Final = re.compile(r"Expected `(.*?)`, got `(.*?)`", re.DOTALL)
_MISSING: Final = re.compile(r"missing required field `(.*?)`")
_WORDS: Final = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "a boolean",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_KINDS: Final = {
    b'"': "text",
    b"{": "an object",
    b"[": "a list",
    b"t": "a boolean",
    b"f": "a boolean",
    b"n": "null",
}


def decode(decoder: msgspec.json.Decoder[T], body: bytes, *, frame: bool = False) -> T:
    """Decode strictly.

    Raises MalformedRequest with the place and the fix. With `frame`, the parts stay raw and are
    decoded later; duplicate keys in them are not checked here. The decoder's structs must be
    declared with omit_defaults.
    """
    value = decode_shape(decoder, body)
    refuse_duplicate_keys(body, value, within=not frame)
    return value


def decode_shape(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Decode as `decode` does, but do not look for duplicate keys."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        _refuse_shape(error, decoder.type)
    except RecursionError:
        raise MalformedRequest(
            code="too_deep", path="", message="the JSON is nested too deeply"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedRequest(
            code="not_json", path="", message=_why_not_json(error, body)
        ) from None


def with_replacements(body: bytes) -> bytes:
    """Return JSON with U+FFFD in place of half characters and of bytes that are not UTF-8."""
    if not body.isascii() and not body.startswith(_UTF_16):
        try:
            body.decode()
        except UnicodeDecodeError:
            body = body.decode("utf-8", "replace").encode()
    return without_halves(body)


def without_halves(body: bytes) -> bytes:
    """Return JSON with U+FFFD in place of half characters. The length stays the same."""
    if not _A_HALF.search(body):
        return body
    return _ESCAPE.sub(lambda escape: b"\\ufffd" if escape["half"] else escape[0], body)


def refuse_duplicate_keys(body: bytes, value: object, *, within: bool = True) -> None:
    """Raise MalformedRequest if an object has a key twice; with `within`, check inner objects, too.

    A decoder drops strings (of duplicate keys, unknown fields, nulls) and adds none. So if the
    result, encoded again, has as many strings as the input, no key was dropped. Otherwise, the slow
    check decides.
    """
    texts = _texts(body)
    if texts is not None and texts == _texts(_ENCODER.encode(value)):
        return
    try:
        # Numbers stay text, so that a number of 5,000 digits is not rejected here.
        hook = _unique if within else _Pairs
        read = json.loads(body, object_pairs_hook=hook, parse_int=str, parse_float=str)
    except RecursionError:
        raise MalformedRequest(
            code="too_deep", path="", message="the JSON is nested too deeply"
        ) from None
    if isinstance(read, _Pairs):
        _unique(read)


class _Pairs(list[tuple[str, object]]):
    """An object as written, with its duplicate keys."""


def may_hold_control_characters(body: bytes) -> bool:
    """Whether a string in this JSON may contain control characters (an escape or DEL)."""
    return _BACKSLASH in body or _DELETE in body or (not body.isascii() and _BEFORE_C1 in body)


def _texts(body: bytes) -> int | None:
    """Count the quotes that delimit strings in valid JSON; None if only a parser can do so."""
    if _BACKSLASH not in body:
        return body.count(b'"')
    if b"\\\\" in body or b"\\u005" in body:
        return None
    return body.count(b'"') - body.count(b'\\"')


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name in found if counts[name] > 1)
        raise MalformedRequest(
            code="duplicate_key",
            path=_shown(twice),
            message=f'"{_shown(twice)}" occurs twice in one object: remove one of them',
        )
    return found


def _refuse_shape(error: msgspec.ValidationError, shape: object) -> NoReturn:
    text = str(error)
    place = _PLACE.search(text)
    path = _shown(place.group(1).replace("[...]", "[]")) if place else ""
    sentence = text[: place.start()] if place else text
    unknown = _UNKNOWN.search(sentence)
    if unknown is None:
        raise MalformedRequest(
            code="wrong_shape", path=path, message=_in_our_words(sentence)
        ) from None
    name = unknown.group(1)
    near = get_close_matches(name[:64], sorted(_field_names(shape)), n=1, cutoff=0.5)
    meant = f'; did you mean "{near[0]}"?' if near else ""
    raise MalformedRequest(
        code="unknown_field",
        path=f"{path}.{_shown(name)}" if path else _shown(name),
        message=f'"{_shown(name)}" is not a known field{meant}',
    ) from None


def kind_of(raw: bytes) -> str:
    """Name the type of a JSON value, such as "a list", from its text."""
    return _KINDS.get(raw.lstrip()[:1], "a number")


def _in_our_words(sentence: str) -> str:
    """Say what the decoder expected, without its type names. Never quotes the input."""
    expected = _EXPECTED.search(sentence)
    if expected is not None:
        wanted, got = (_typed_words(types) for types in expected.groups())
        return f"must be {wanted}, not {got}"
    missing = _MISSING.search(sentence)
    if missing is not None:
        return f'"{_shown(missing[1])}" is missing'
    return "has the wrong type: see the reference for this field"


def _typed_words(types: str) -> str:
    """Return `str | int | null` as "text, a whole number or null"."""
    words = [_WORDS.get(kind, kind) for kind in types.split(" | ")]
    if "a whole number" in words and "a number" in words:
        words.remove("a whole number")
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _field_names(shape: object) -> set[str]:
    """Return the names of all fields in the shape, at any depth."""
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
    """Explain the syntax error. The decoder's own message contains a byte offset, and no input."""
    if body[:3] == b"\xef\xbb\xbf" or body[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return "not JSON: it begins with a byte-order mark; send plain UTF-8"
    half = next((escape for escape in _ESCAPE.finditer(body) if escape["half"]), None)
    if half is not None:
        escape = "an escape such as \\ud800 is half of a surrogate pair"
        return f"not JSON: {escape} (byte {half.start()})"
    if b"NaN" in body or b"Infinity" in body:
        return "not JSON: JSON has no NaN and no Infinity"
    return f"not JSON: {str(error).removeprefix('JSON is malformed: ')}"


Given = TypeVar("Given")
Value = TypeVar("Value")


def each_by_itself(
    given: Iterable[Given], read: Callable[[Given], dict[str, Value]], *, within: str
) -> tuple[list[dict[str, Value]], Mapping[int, Fault]]:
    """Decode parts separately; return the parts and the errors by index.

    An unreadable part is an empty dict. `within` is the path of a part, with `{}` for its index.
    Raises the first MalformedRequest if no part can be read.
    """
    tables: list[dict[str, Value]] = []
    unread: dict[int, Fault] = {}
    first_malformed: MalformedRequest | None = None
    for place, part in enumerate(given):
        try:
            tables.append(read(part))
        except MalformedRequest as wrong:
            path = joined(within.format(place), wrong.path)
            first_malformed = first_malformed or MalformedRequest(
                code=wrong.code, path=path, message=wrong.message
            )
            tables.append({})
            unread[place] = as_fault(wrong, path)
    if first_malformed is not None and len(unread) == len(tables):
        raise first_malformed
    return tables, unread


def refuse_more(count: int, most: int, what: str, *, path: str) -> None:
    """Raise MalformedRequest if a request has more than `most` parts."""
    if count > most:
        raise MalformedRequest(
            code="too_many", path=path, message=f"{count} {what} in one request; at most {most}"
        )


def wrong_shape(path: str, message: str) -> MalformedRequest:
    return MalformedRequest(code="wrong_shape", path=path, message=message)


def joined(path: str, inside: str) -> str:
    """Return the path of a part inside another."""
    dot = "." if path and inside and not inside.startswith("[") else ""
    return f"{path}{dot}{inside}"


def as_fault(malformed: MalformedRequest, path: str) -> Fault:
    code = malformed.code if malformed.code in CODES else "wrong_type"
    return fault(path, code, malformed.message)
