"""What an email and a phone number look like: as they are, escaped, or in base 64.

A phone number is one that cannot be an order number: with a plus and the code of a country, with 00
and blanks, with `tel:`, or with its area code in brackets. Digits alone are an id.
"""

import binascii
import re
from typing import Final
from urllib.parse import unquote, unquote_plus

import phonenumbers

MASK: Final = "***"
# In hexadecimal digits of any length, or base 64.
ANY_DIGEST: Final = re.compile(r"[0-9a-fA-F]{32,128}|[A-Za-z0-9+/_-]{43}=?", re.ASCII)
MOST_UNQUOTED: Final = 3


def may_hold_a_person(text: str) -> bool:
    """Return whether it is worth a closer look: no text that holds a person says no.

    Each conversion asks it of each of its texts: it must be quick.
    """
    if len(text) < _SHORTEST:
        return False
    if "@" in text or "+" in text or "%" in text or "(" in text or ":" in text:
        return True
    if "\uff0b" in text or "&" in text or "\\" in text or ("00" in text and " " in text):
        return True
    # In base 64 an @, and a plus at the beginning, show as a capital.
    return len(text) >= _SHORTEST_CODED and not text.islower() and _RUN.search(text) is not None


def shows_a_person(text: str) -> bool:
    """Return whether an email or a phone number stands in a text as it is, or in base 64."""
    if "@" in text and _EMAIL.search(text):
        return True
    return any(map(_is_phone, _PHONE.finditer(text))) or _in_base64(text)


def holds_a_person(text: str) -> bool:
    """Return whether one stands in a text, escaped or not, escaped in an escape, or in base 64."""
    if not may_hold_a_person(text):
        return False
    if shows_a_person(text):
        return True
    return any(shows_a_person(reading) for reading in unquoted(text))


def unquoted(text: str) -> list[str]:
    """Return what a text says once its escapes are read, and the escapes in those."""
    found = []
    for _ in range(MOST_UNQUOTED):
        plain = unquote(_without_other_escapes(text))
        if plain == text:
            break
        found.append(plain)
        text = plain
    # In a query a plus is a blank, so that what stands before it is no part of a number.
    return found + [unquote_plus(reading) for reading in found[-1:] if "+" in reading]


def without_plain(text: str) -> str:
    """Return a text with MASK for emails and phone numbers that stand in it as they are."""
    if "@" in text:
        text = _EMAIL.sub(MASK, text)
    return _PHONE.sub(lambda found: MASK if _is_phone(found) else found[0], text)


def without_base64(text: str) -> str:
    """Return a text with MASK for words in base 64 that say an email or a phone number."""
    return _BASE64.sub(lambda found: MASK if _says_a_person(found[0]) else found[0], text)


def _in_base64(text: str) -> bool:
    return any(_says_a_person(found[0]) for found in _BASE64.finditer(text))


def _says_a_person(word: str) -> bool:
    for reading in _readings(word):
        try:
            said = binascii.a2b_base64(reading + "=" * (-len(reading) % 4))
        except binascii.Error:
            continue
        # The first one to be no text ends it: so end the words that are no base 64.
        if (b"@" in said or b"+" in said or b"%" in said) and not _NO_TEXT.search(said):
            text = unquote(said.decode("utf-8", "replace"))
            if _EMAIL.search(text) or any(map(_is_phone, _PHONE.finditer(text))):
                return True
    return False


def _readings(word: str) -> list[str]:
    """Return a word in the alphabet that is read; a slash may part words that stand in a path."""
    plain = word.rstrip("=")
    if "/" not in word:
        return [plain.replace("-", "+").replace("_", "/")]
    return [plain, *(part.replace("-", "+").replace("_", "/") for part in plain.split("/") if part)]


def _is_phone(found: re.Match[str]) -> bool:
    number = found[0]
    if found.lastgroup == "plus":
        digits = "".join(filter(str.isdecimal, number))
        return any(int(digits[:n]) in _COUNTRIES for n in (1, 2, 3))
    if found.lastgroup in {"glued", "double"}:
        # Beside letters, or without a plus, it must be a number that a country has given out.
        digits = "".join(filter(str.isdecimal, number)).removeprefix(
            "00" if found.lastgroup == "double" else ""
        )
        return _is_given_out(digits)
    return True


def _is_given_out(digits: str) -> bool:
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(f"+{digits[:15]}", None))
    except phonenumbers.NumberParseException:
        return False


def _without_other_escapes(text: str) -> str:
    return _OTHER_ESCAPES.sub(lambda found: "+" if found[0].lower() in _PLUSES else "@", text)


_PLUSES: Final = frozenset({"\\u002b", "&#43;", "&#x2b;", "&plus;"})
_OTHER_ESCAPES: Final = re.compile(
    r"\\u0040|&#64;|&#x40;|&commat;|\\u002b|&#43;|&#x2b;|&plus;", re.IGNORECASE
)
_COUNTRIES: Final = frozenset(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)
# An email begins where a word does. Without the look back, a search would begin anew at each letter
# and a long word take the square of its length: a minute for 64 kB.
_EMAIL: Final = re.compile(r"(?<![^\s@])[^\s@]+@[^\s@]+\.[^\s@]+")
_PHONE: Final = re.compile(
    r"""
      (?<![A-Za-z0-9_+\uff0b])(?P<plus>[+\uff0b]\s?\(?[1-9](?:[\s().\u2010-\u2015/-]{0,3}\d){7,})
    | (?<=[A-Za-z0-9_])(?P<glued>\+[1-9]\d{7,14})(?!\d)
    | (?<![A-Za-z0-9_.,-])
      (?P<double>00\s?\(?[1-9]\d{0,2}\)?\s[\s()]{0,2}\d(?:[\s()-]{0,3}\d){5,12})(?!\d)
    | (?<![A-Za-z0-9])(?P<link>(?i:tel):\+?\d(?:[\s().-]{0,3}\d){5,})
    | (?<![A-Za-z0-9_)\]])(?P<area>\(0?\d{2,4}\)\s?\d{3,4}[\s.-]\d{3,4})(?!\d)
    """,
    re.VERBOSE,
)
_BASE64: Final = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{10,}={0,2}", re.ASCII)
_NO_TEXT: Final = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]|[\xf8-\xff]")
_SHORTEST: Final = 6  # an email: a@b.co
_SHORTEST_CODED: Final = 10
_RUN: Final = re.compile(r"[A-Za-z0-9+/_-]{10}")
