"""What an email and a phone number look like: as they are, escaped, or in base 64.

A phone number is one that cannot be an order number: with a plus and the code of a country, with 00
and blanks, with `tel:`, or with its area code in brackets. Digits alone are an id.
"""

import binascii
import re
import unicodedata
from collections.abc import Iterator
from functools import cache, partial
from typing import Final
from urllib.parse import unquote, unquote_plus

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE as _REGIONS
from phonenumbers import PhoneMetadata

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
    return any(map(_reads_as_a_person, _readings(word)))


def _reads_as_a_person(reading: str) -> bool:
    try:
        decoded = binascii.a2b_base64(reading + "=" * (-len(reading) % 4))
        # Random ids decode to bytes that are no text.
        if b"@" not in decoded and b"+" not in decoded and b"%" not in decoded:
            return False
        text = decoded.decode()
    except ValueError:
        return False
    if not _BREAKS.sub(" ", text).isprintable():
        return False
    text = unquote(text)
    return _EMAIL.search(text) is not None or any(map(_is_phone, _PHONE.finditer(text)))


def _readings(word: str) -> Iterator[str]:
    """Yield a word in the alphabet that is read, and its parts.

    What is in the alphabet may part words, too: `/u/ZXJp…`, `order_ZXJp…`.
    """
    word = word.rstrip("=")
    yield word.replace("-", "+").replace("_", "/")
    parts = _SEPARATOR.split(word)
    if len(parts) > 1:
        yield from (part for part in parts if len(part) >= _SHORTEST_CODED)


def _is_phone(found: re.Match[str]) -> bool:
    if found.lastgroup not in {"plus", "glued", "double"}:
        return True
    digits = "".join(filter(str.isdecimal, found[0]))
    if not digits.isascii():
        digits = "".join(f"{unicodedata.decimal(digit)}" for digit in digits)
    if found.lastgroup == "plus":
        return _country_of(digits) is not None
    # Beside letters, or without a plus, it must be a number that a country has given out.
    return _is_given_out(digits.removeprefix("00"))


def _is_given_out(digits: str) -> bool:
    """Return whether it is the number of a phone, by its country's patterns.

    The library's own reading takes fifteen times as long; a text may hold thousands of numbers.
    """
    country = _country_of(digits)
    if country is None:
        return False
    lengths, pattern, trunk, without_trunk = _numbers_of(country)
    own = digits[len(f"{country}") : _LONGEST_NUMBER]
    if len(own) in lengths and pattern.match(own):
        return True
    bare = trunk.sub(without_trunk, own, count=1)
    return bare != own and len(bare) in lengths and pattern.match(bare) is not None


def _country_of(digits: str) -> int | None:
    codes = (int(digits[:size]) for size in (1, 2, 3))
    return next((code for code in codes if code in _REGIONS), None)


# As many as there are countries.
@cache
def _numbers_of(country: int) -> tuple[frozenset[int], re.Pattern[str], re.Pattern[str], str]:
    """Return how long a country's numbers are, their pattern, and what a trunk prefix becomes."""
    lengths: set[int] = set()
    patterns = []
    named = map(partial(_region, country), _REGIONS[country])
    regions = [region for region in named if region is not None]
    for region in regions:
        several = [
            numbers
            for kind in _NUMBER_KINDS
            if (numbers := getattr(region, kind)) is not None and numbers.national_number_pattern
        ]
        general = region.general_desc
        if several and general is not None:
            lengths.update(*(kind.possible_length or general.possible_length for kind in several))
            any_kind = "|".join(dict.fromkeys(kind.national_number_pattern for kind in several))
            patterns.append(rf"(?=(?:{general.national_number_pattern})\Z)(?:{any_kind})\Z")
    trunk = regions[0].national_prefix_for_parsing
    return (
        frozenset(lengths),
        re.compile("|".join(patterns)),
        re.compile(rf"\A(?:{trunk})" if trunk else r"(?!)"),
        regions[0].national_prefix_transform_rule or "",
    )


def _region(country: int, name: str) -> PhoneMetadata | None:
    if name == "001":
        return PhoneMetadata.metadata_for_nongeo_region(country)
    return PhoneMetadata.metadata_for_region(name)


def _without_other_escapes(text: str) -> str:
    return _OTHER_ESCAPES.sub(lambda found: "+" if found[0].lower() in _PLUSES else "@", text)


_PLUSES: Final = frozenset({"\\u002b", "&#43;", "&#x2b;", "&plus;"})
_OTHER_ESCAPES: Final = re.compile(
    r"\\u0040|&#64;|&#x40;|&commat;|\\u002b|&#43;|&#x2b;|&plus;", re.IGNORECASE
)
_LONGEST_NUMBER: Final = 15
_NUMBER_KINDS: Final = (
    "fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "voip", "personal_number",
    "pager", "uan", "voicemail",
)  # fmt: skip
# An email begins where a word does. Without the look back, a search would begin anew at each letter
# and a long word take the square of its length: a minute for 64 kB.
_EMAIL: Final = re.compile(r"(?<![^\s@])[^\s@]+@[^\s@]+\.[^\s@]+")
_PHONE: Final = re.compile(
    r"""
      (?<![A-Za-z0-9_+\uff0b])(?P<plus>[+\uff0b]\s?\(?[1-9](?:[\s().\u2010-\u2015/-]{0,3}\d){7,})
    | (?<=[A-Za-z0-9_])(?P<glued>\+[1-9]\d{7,14})(?!\d)
    | (?<![A-Za-z0-9_])(?<!\d[.,-])
      (?P<double>00\s?\(?[1-9]\d{0,2}\)?\s[\s()]{0,2}\d(?:[\s()-]{0,3}\d){5,12})(?!\d)
    | (?<![A-Za-z0-9])(?P<link>(?i:tel):\+?\d(?:[\s().-]{0,3}\d){5,})
    | (?<![A-Za-z0-9_)\]])(?P<area>\(0?\d{2,4}\)\s?\d{3,4}[\s.-]\d{3,4})(?!\d)
    """,
    re.VERBOSE,
)
_BASE64: Final = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{10,}={0,2}", re.ASCII)
_SEPARATOR: Final = re.compile(r"[+/_-]+")
_BREAKS: Final = re.compile(r"[\t\r\n]")
_SHORTEST: Final = 6  # an email: a@b.co
_SHORTEST_CODED: Final = 10
_RUN: Final = re.compile(r"[A-Za-z0-9+/_-]{10}")
