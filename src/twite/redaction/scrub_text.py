"""Texts and addresses of pages without persons, as they may be kept."""

import re
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote_plus

import msgspec

from twite.redaction.shapes import (
    ANY_DIGEST,
    MASK,
    MOST_UNQUOTED,
    holds_a_person,
    may_hold_a_person,
    shows_a_person,
    without_base64,
    without_plain,
)
from twite.redaction.vocabulary import person_in

# What says whether, under a name that could hold a phone number (`mobile`).
WHETHER: Final = frozenset({"", "0", "1", "true", "false", "yes", "no"})


def without_persons(text: str) -> str:
    """Return a text with `***` for emails and phone numbers; addresses without such parameters."""
    if not may_hold_a_person(text) and "=" not in text:
        return text
    if _PAGE.match(text):
        return scrubbed_address(text)
    plain = without_plain(text)
    # The person may be escaped, in base64, or in a URL without its host.
    return re.sub(r"\S+", _token, plain) if names_a_person(plain) else plain


def free_text(text: str | None) -> str | None:
    """Return what people wrote, without persons; None where nothing is left."""
    if text is None:
        return None
    plain = text.strip()
    return _free(plain) if len(plain) <= _LONGEST_REMEMBERED else without_persons(plain)


# Shops have so many products, and each is bought often.
@lru_cache(maxsize=8_192)
def _free(plain: str) -> str | None:
    return (without_persons(plain) if may_hold_a_person(plain) else plain) or None


def scrubbed_address(text: str, *, inside: int = 0) -> str:
    """Return an address of a page without the parameters that hold a person.

    `inside` is in how many others it stands.
    """
    whole, hashed, fragment = text.partition("#")
    before, mark, query = whole.partition("?")
    read = [_parameter(part, inside) for part in query.split("&")]
    parameters = [parameter for parameter in read if parameter is not None]
    tail = f"#{fragment}" if hashed and not names_a_person(fragment) else ""
    return (
        f"{scrubbed_path(before)}{mark if parameters and mark else ''}{'&'.join(parameters)}{tail}"
    )


def scrubbed_path(path: str) -> str:
    """Return a path with `-` for the steps that hold a person."""
    return "/".join("-" if names_a_person(segment) else segment for segment in path.split("/"))


def names_a_person(part: str) -> bool:
    """Return whether a part of an address, or a cookie, holds a person, escaped or not.

    One does, too, that says `name=…` with a name of a person's field.
    """
    if holds_a_person(part):
        return True
    if "=" not in part and "%" not in part:
        return False
    for _ in range(MOST_UNQUOTED + 1):
        if _pairs_a_person(part):
            return True
        plain = unquote_plus(part)
        if plain == part:
            return False
        part = plain
    return shows_a_person(part)


def scrubbed_json(kept: bytes, *, thoroughly: bool = False) -> bytes:
    """Return JSON with `***` for the persons in its texts, keys too; all else stays as it is.

    What is typed, and whose texts were scrubbed one by one, is looked through for emails and
    numbers with a plus alone: it is what a conversion costs. `thoroughly` is for all else.
    """
    if not thoroughly:
        # Looked for as numbers, in a tenth of the time that bytes take.
        if _AT not in kept and _PLUS not in kept and _PERCENT not in kept and kept.isascii():
            return kept
        if _HINT_IN_JSON.search(kept) is None:
            return kept
    return _TEXT_IN_JSON.sub(_scrubbed_literal, kept)


def _scrubbed_literal(found: re.Match[bytes]) -> bytes:
    literal = found[0]
    text = msgspec.json.decode(literal, type=str)
    if ANY_DIGEST.fullmatch(text):
        return literal
    scrubbed = without_persons(text) if holds_a_person(text) else text
    return literal if scrubbed == text else msgspec.json.encode(scrubbed)


def _token(found: re.Match[str]) -> str:
    token = found[0]
    if not names_a_person(token):
        return token
    cleaned = scrubbed_address(token) if _ADDRESS.fullmatch(token) else without_base64(token)
    return MASK if names_a_person(cleaned) else cleaned


def _parameter(pair: str, inside: int) -> str | None:
    """Return a parameter of an address; None where it holds a person."""
    name, _, value = pair.partition("=")
    if unquote_plus(name) in _PACKED:
        return None
    plain = unquote_plus(value)
    if inside < MOST_UNQUOTED and _PAGE.match(plain):
        cleaned = scrubbed_address(plain, inside=inside + 1)
        pair = pair if cleaned == plain else f"{name}={quote(cleaned, safe='')}"
    return None if names_a_person(pair) else pair


def _pairs_a_person(plain: str) -> bool:
    return any(
        person_in(found[1]) is not None
        and not ANY_DIGEST.fullmatch(found[2])
        and found[2].lower() not in WHETHER
        for found in _PAIR.finditer(plain)
    )


_LONGEST_REMEMBERED: Final = 128
_PAIR: Final = re.compile(r"(?:^|(?<=[?&;#\s]))([\w.\[\]-]{1,128})=([^?&;#\s]+)")
_ADDRESS: Final = re.compile(r"(?:https?:/)?/\S*|[?#]\S*|[^\s=]+=\S*", re.IGNORECASE)
_PAGE: Final = re.compile(r"https?://", re.IGNORECASE)
# What Stape's web tag packs a whole event into.
_PACKED: Final = frozenset({"dtdc", "dtcd"})
_AT, _PLUS, _PERCENT = b"@+%"
_TEXT_IN_JSON: Final = re.compile(rb'"(?:[^"\\]|\\.)*"')
_HINT_IN_JSON: Final = re.compile(rb"@|%(?:25)*(?:40|2[Bb])|\+\s?\(?[1-9]|\xef\xbc\x8b")
