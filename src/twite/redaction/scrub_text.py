"""Remove personal data from texts and URLs before they are stored."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote_plus

import msgspec

from twite.redaction.shapes import (
    ANY_DIGEST,
    MASK,
    MOST_READ,
    masked_base64,
    masked_plain,
    may_hold_a_person,
    reading,
    shows_a_person,
)
from twite.redaction.vocabulary import FieldContext, person_in

# Values that mean true or false, for parameters whose name could also be that of a phone number
# (`mobile`).
WHETHER: Final = frozenset({"", "0", "1", "true", "false", "yes", "no"})
_LONGEST_REMEMBERED: Final = 256
# Each level of nested URLs is searched again.
_MOST_INSIDE: Final = 2
_MOST_NESTED: Final = 50
_NAME: Final = re.compile(
    r"""(?:^|(?<=[?&;\#\s+=/]))(?P<name>[\w.\[\]-]{1,128})=
    | "(?P<key>[^"]{1,128})"\s*:\s*\[?\s*"?""",
    re.VERBOSE,
)
_VALUE: Final = re.compile(r"[^?&;#\s]+")
_JSON_VALUE: Final = re.compile(r'[^"\\,{}\[\]]+')
_ORIGIN: Final = re.compile(r"https?://[^/?#\s@%&]*/", re.IGNORECASE)
# A URL, with or without its host.
_PAGE: Final = re.compile(r"https?://|[/?#]\S", re.IGNORECASE)
# The parameter in which Stape's web tag encodes a whole event.
_PACKED: Final = re.compile(r"dt(?:dc|cd)")
_AT, _PLUS, _PERCENT = b"@+%"
# A text, or a run of words that may be most keys and names: without capital letters and digits, a
# word is neither base64 nor a number.
_TEXT_IN_JSON: Final = re.compile(
    rb"""(?P<plain>(?:"[a-z_]*"[^"]*+)++) | "(?:[^"\\]|\\.)*" """, re.VERBOSE
)
_HINT_IN_JSON: Final = re.compile(rb"@|%(?:25)*(?:40|2[Bb])|\+\s?\(?[1-9]|\xef\xbc\x8b")


def without_persons(text: str) -> str:
    """Replace emails and phone numbers with `***`; in a URL, drop parameters that contain any.

    If personal data appears only after decoding, the decoded text is returned. A text that is too
    long to search becomes `***`.
    """
    if not may_hold_a_person(text) and "=" not in text:
        return text
    if _PAGE.match(text):
        return scrubbed_address(text)
    return MASK if len(text) > MOST_READ else _cleaned(text)


def free_text(text: str | None) -> str | None:
    if text is None:
        return None
    plain = text.strip()
    return _free(plain) if len(plain) <= _LONGEST_REMEMBERED else without_persons(plain)


# The cache is effective because a shop sells the same products again and again.
@lru_cache(maxsize=8_192)
def _free(plain: str) -> str | None:
    return without_persons(plain) or None


def scrubbed_address(text: str, *, inside: int = 0) -> str:
    """Return a URL without the parameters that contain personal data.

    `inside` is its nesting depth. A URL in a parameter is treated likewise; if it is nested too
    deeply, or in one of very many parameters, the whole parameter is removed.
    """
    if not names_a_person(text) and _PACKED.search(text) is None:
        return text
    whole, hashed, fragment = text.partition("#")
    before, mark, query = whole.partition("?")
    read = [
        _parameter(part, inside if place < _MOST_NESTED else _MOST_INSIDE)
        for place, part in enumerate(query.split("&") if len(query) <= MOST_READ else [])
    ]
    parameters = [parameter for parameter in read if parameter is not None]
    tail = f"#{fragment}" if hashed and not names_a_person(fragment) else ""
    cleaned = (
        f"{scrubbed_path(before)}{mark if parameters and mark else ''}{'&'.join(parameters)}{tail}"
    )
    if not names_a_person(cleaned):
        return cleaned
    # Personal data may remain because `&#64;` is an at sign, but was split at `&` and `#`.
    origin = _ORIGIN.match(text)
    return f"{origin[0] if origin else ''}-"


def scrubbed_path(path: str) -> str:
    if not names_a_person(path):
        return path
    if len(path) > MOST_READ:
        return "-"
    steps = ("-" if names_a_person(segment) else segment for segment in path.split("/"))
    cleaned = "/".join(steps)
    return "-" if names_a_person(cleaned) else cleaned


def names_a_person(part: str) -> bool:
    """Return whether an id, a cookie or a part of a URL contains personal data, escaped or not.

    `name=…` and `"name": "…"` also count if the name indicates personal data.
    """
    if not may_hold_a_person(part) and "=" not in part:
        return False
    if len(part) > MOST_READ or _shows(part):
        return True
    said = reading(part)
    return said is None or (said != part and _shows(said))


def scrubbed_json(kept: bytes, *, thoroughly: bool = False) -> bytes:
    """Return JSON with `***` for personal data in its texts and keys.

    By default, the JSON is searched only for emails and for numbers with a plus, because that is
    fast: this suffices for typed data, whose texts were already scrubbed one by one. For other
    data, pass `thoroughly`.
    """
    if not thoroughly:
        # The signs are integers: searching bytes for an integer is ten times as fast as for a byte
        # string.
        if _AT not in kept and _PLUS not in kept and _PERCENT not in kept and kept.isascii():
            return kept
        if _HINT_IN_JSON.search(kept) is None:
            return kept
    return _TEXT_IN_JSON.sub(_scrubbed_match, kept)


def _scrubbed_match(found: re.Match[bytes]) -> bytes:
    literal = found[0]
    if found.lastgroup == "plain":
        return literal
    if len(literal) <= _LONGEST_REMEMBERED:
        return _scrubbed_once(literal)
    return _scrubbed_literal(literal)


def _scrubbed_literal(literal: bytes) -> bytes:
    text = msgspec.json.decode(literal, type=str)
    if ANY_DIGEST.fullmatch(text):
        return literal
    scrubbed = without_persons(text)
    return literal if scrubbed == text else msgspec.json.encode(scrubbed)


# Rejected conversions of a client repeat its user agents, pages and products.
_scrubbed_once: Final = lru_cache(maxsize=8_192)(_scrubbed_literal)


def _cleaned(text: str) -> str:
    cleaned = _masked(text)
    said = reading(cleaned)
    if said is None:
        return MASK
    masked = cleaned if said == cleaned else _masked(said)
    if masked == said:
        return cleaned
    return MASK if _shows(masked) else masked


def _shows(text: str) -> bool:
    return shows_a_person(text) or next(_paired(text), None) is not None


def _masked(text: str) -> str:
    text = masked_base64(masked_plain(text))
    kept: list[str] = []
    at = 0
    for start, end in _paired(text):
        kept += (text[at:start], MASK)
        at = end
    return "".join((*kept, text[at:]))


def _parameter(pair: str, inside: int) -> str | None:
    name, _, value = pair.partition("=")
    if _PACKED.fullmatch(unquote_plus(name)):
        return None
    plain = unquote_plus(value)
    if inside < _MOST_INSIDE and _PAGE.match(plain):
        cleaned = scrubbed_address(plain, inside=inside + 1)
        pair = pair if cleaned == plain else f"{name}={quote(cleaned, safe='')}"
    return None if names_a_person(pair) else pair


def _paired(text: str) -> Iterator[tuple[int, int]]:
    """Yield the position of each value that follows the name of a field for personal data.

    A value may itself be a pair (`q=email=…`): each name is examined once.
    """
    at = 0
    while (found := _NAME.search(text, at)) is not None:
        at = found.end()
        is_json = found["key"] is not None
        # An object in a text may describe a thing, whose `name` is not personal data.
        among = FieldContext.THINGS if is_json else FieldContext.EVENT
        if person_in(found["key"] or found["name"], among) is None:
            continue
        value = (_JSON_VALUE if is_json else _VALUE).match(text, at)
        if value is None:
            continue
        at = value.end()
        said = value[0].strip()
        if said != MASK and said.lower() not in WHETHER and not ANY_DIGEST.fullmatch(said):
            yield value.span()
