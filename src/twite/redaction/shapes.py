"""Recognize emails and phone numbers: plain, escaped, or in base64.

A phone number must not look like an order number: it has a plus and a country code, 00 and a
separate country code, `tel:`, or an area code in brackets. Digits alone are an id. A text is
searched at most twice: unchanged, and decoded by `reading`. Both take time in proportion to its
length. Texts longer than MOST_READ are not searched.
"""

import binascii
import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from twite.redaction.words import PHONES, SHORT_PHONES, WHOSE

if TYPE_CHECKING:
    from phonenumbers import PhoneMetadata

MASK: Final = "***"
# A hash: hexadecimal digits of any usual length, or a SHA-256 in base64.
ANY_DIGEST: Final = re.compile(r"[0-9a-fA-F]{32,128}|[A-Za-z0-9+/_-]{43}=?", re.ASCII)
# Texts with more characters are not searched, and count as personal data. Usual URLs and
# descriptions have a tenth of that length.
MOST_READ: Final = 16 * 1024
# The maximum nesting of escapes.
MOST_UNQUOTED: Final = 5


def may_hold_a_person(text: str) -> bool:
    """Return False only for a text without personal data: a fast first check."""
    if len(text) < _SHORTEST or _PLAIN.fullmatch(text):
        return False
    if "@" in text or "+" in text or "%" in text or "(" in text or ":" in text:
        return True
    if "&" in text or "\\" in text or "wa.me/" in text:
        return True
    if ("00" in text or "011" in text) and _DOUBLE_HINT.search(text):
        return True
    if not text.isascii() and not _is_spelled_plainly(text):
        return True
    # The base64 of a text with an @, or with a plus at its beginning, has a capital letter.
    return len(text) >= _SHORTEST_CODED and not text.islower() and _RUN.search(text) is not None


def shows_a_person(text: str) -> bool:
    if "@" in text and _EMAIL.search(text):
        return True
    return any(map(_is_phone, _phone().finditer(text))) or _in_base64(text)


def holds_a_person(text: str) -> bool:
    """Return whether a text contains personal data: plain, escaped, or in base64."""
    if not may_hold_a_person(text):
        return False
    if len(text) > MOST_READ or shows_a_person(text):
        return True
    said = reading(text)
    return said is None or (said != text and shows_a_person(said))


def reading(text: str) -> str | None:
    """Return a text with its escapes decoded, including nested ones.

    Decodes percent-encoding, HTML entities, escapes of JSON and JavaScript, and unusual forms of
    letters and digits (full-width, or with invisible characters in between). Returns None if the
    escapes are nested too deeply.
    """
    longest = 2 * len(text) + _SHORT_TEXT  # one letter may expand to eighteen characters
    for _ in range(MOST_UNQUOTED + 1):
        plain = _decoded(text)
        if plain == text:
            return text
        if len(plain) > longest:
            return None
        text = plain
    return None


def masked_plain(text: str) -> str:
    if "@" in text:
        text = _EMAIL.sub(MASK, text)
    return _phone().sub(_masked_phone, text)


def masked_base64(text: str) -> str:
    return _BASE64.sub(lambda found: MASK if _says_a_person(found[0]) else found[0], text)


def _in_base64(text: str) -> bool:
    return any(_says_a_person(found[0]) for found in _BASE64.finditer(text))


def _says_a_person(word: str) -> bool:
    return any(map(_reads_as_a_person, _readings(word)))


def _reads_as_a_person(packed: str) -> bool:
    try:
        decoded = binascii.a2b_base64(packed + "=" * (-len(packed) % 4))
        # Random ids decode to bytes that are not text.
        if not any(sign in decoded for sign in _SIGNS):
            return False
        text = _decoded(decoded.decode())
    except ValueError:
        return False
    if not _BREAKS.sub(" ", text).isprintable():
        return False
    return _EMAIL.search(text) is not None or any(map(_is_phone, _phone().finditer(text)))


def _readings(word: str) -> Iterator[str]:
    """Yield what may be base64 in a word: the whole word, and its parts.

    Some characters of the base64 alphabet may also separate words: `/u/ZXJp…`, `order_ZXJp…`.
    """
    word = word.rstrip("=")
    yield word.replace("-", "+").replace("_", "/")
    parts = _SEPARATOR.split(word)
    if len(parts) > 1:
        yield from (part for part in parts if len(part) >= _SHORTEST_CODED)


def _decoded(text: str) -> str:
    if "\\" in text or "&" in text or "%u" in text:
        text = _ESCAPE.sub(_unescaped, text)
    if "%" in text:
        text = unquote(text)
    return text if text.isascii() else _spelled_plainly(text)


def _unescaped(found: re.Match[str]) -> str:
    if found["named"]:
        from html.entities import html5  # noqa: PLC0415 # few texts need its 2,000 names

        return html5.get(f"{found['named']};", found[0])
    if found["sign"]:
        return found["sign"]
    if found["blank"]:
        return " "
    number = found["code"] or found["byte"] or found["hex"]
    code = int(number, 16) if number else int(found["decimal"])
    return chr(code) if code <= _LAST_CODE else found[0]


def _is_spelled_plainly(text: str) -> bool:
    if not unicodedata.is_normalized("NFKC", text):
        return False
    return _INVISIBLE.search(text) is None and _OTHER_DIGIT.search(text) is None


def _spelled_plainly(text: str) -> str:
    """Replace unusual forms of letters, digits and punctuation with the plain ones."""
    text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text))
    text = text.replace("\u3002", ".").replace("\u2212", "-")
    return _OTHER_DIGIT.sub(lambda found: f"{unicodedata.decimal(found[0])}", text)


@cache
def _phone() -> re.Pattern[str]:
    # Compiled on first use: few texts need it, and it takes as long as all other patterns together.
    return re.compile(_PHONE, re.VERBOSE)


def _masked_phone(found: re.Match[str]) -> str:
    if not _is_phone(found):
        return found[0]
    return f"{found['label'] or ''}{MASK}"


def _is_phone(found: re.Match[str]) -> bool:
    code = found["code"]
    if code is not None and int(code) not in _regions():
        return False
    if found["link"] or found["area"]:
        return True
    digits = "".join(filter(str.isdecimal, found[0])).removeprefix("00").removeprefix("011")
    if not digits.isascii():
        digits = "".join(f"{unicodedata.decimal(digit)}" for digit in digits)
    if found["plus"]:
        return _country_of(digits) is not None
    # A number next to letters, or without a plus, must match its country's number plan.
    return _is_given_out(digits)


def _is_given_out(digits: str) -> bool:
    """Return whether digits match the number plan of their country.

    The library's own parser takes fifteen times as long; a text may hold thousands of numbers.
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
    return next((code for code in codes if code in _regions()), None)


# The cache has at most one entry per country.
@cache
def _numbers_of(country: int) -> tuple[frozenset[int], re.Pattern[str], re.Pattern[str], str]:
    """Return a country's number lengths, number pattern, trunk prefix and its substitute."""
    lengths: set[int] = set()
    patterns = []
    named = map(partial(_region, country), _regions()[country])
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


@cache
def _regions() -> Mapping[int, tuple[str, ...]]:
    from phonenumbers import COUNTRY_CODE_TO_REGION_CODE  # noqa: PLC0415  # see domain.normalize

    return COUNTRY_CODE_TO_REGION_CODE


def _region(country: int, name: str) -> "PhoneMetadata | None":
    from phonenumbers import PhoneMetadata  # noqa: PLC0415  # see domain.normalize

    if name == "001":
        return PhoneMetadata.metadata_for_nongeo_region(country)
    return PhoneMetadata.metadata_for_region(name)


_LONGEST_NUMBER: Final = 15
_NUMBER_KINDS: Final = (
    "fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "voip", "personal_number",
    "pager", "uan", "voicemail",
)  # fmt: skip
_SIGNS: Final = (b"@", b"+", b"%", b"&")
_LAST_CODE: Final = 0x10FFFF
_ESCAPE: Final = re.compile(
    r"""
      [\\%]u(?P<code>[0-9A-Fa-f]{4}) | \\x(?P<byte>[0-9A-Fa-f]{2})
    | \\(?P<sign>["'/\\]) | \\(?P<blank>[bfnrt])
    | &\#0{0,8}(?P<decimal>[0-9]{1,7});? | &\#[xX]0{0,8}(?P<hex>[0-9A-Fa-f]{1,6});?
    | &(?P<named>[A-Za-z]{1,24});
    """,
    re.VERBOSE,
)
_INVISIBLE: Final = re.compile(r"[\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_OTHER_DIGIT: Final = re.compile(r"(?![0-9])\d")
# An email begins where a word begins. Without the lookbehind, a search would start at each letter,
# and the time for a long word would be quadratic: a minute for 64 kB. The domain ends in letters:
# `i7@3.40GHz`, `order@1.2` and `logo@2x.png` are not emails.
_EMAIL: Final = re.compile(
    r"""
    (?<![^\s@])[^\s@]*[^\s@/:]@(?!\d(?:\.\d)?x\.(?:png|jpe?g|webp|gif|svg|avif)\b)
    (?:[^\s@]+?\.(?=[^\W\d_]{2})|\[)\S*
    """,
    re.VERBOSE,
)
# A plus and digits are an id if the word before them indicates neither a phone nor a person:
# `SHOP+12025550123`.
_LABELS: Final = "|".join(
    sorted(filter(str.isascii, PHONES | SHORT_PHONES | WHOSE), key=len, reverse=True)
)
_PHONE: Final = rf"""
      (?<![A-Za-z0-9+])(?P<plus>\+\s?\(?[1-9](?:[\s+()._\u2010-\u2015/-]{{0,3}}\d){{7,}})
    | (?<![A-Za-z0-9])(?P<label>(?i:{_LABELS}))
      (?P<glued>\+\s?\(?[1-9](?:[\s()._\u2010-\u2015/-]{{0,3}}\d){{7,14}})(?!\d)
    | (?<![A-Za-z0-9_])(?<!\d[.,-])
      (?P<double>(?:00[\s+.-]?|011[\s+.-])\(?(?P<code>[1-9]\d{{0,2}})\)?[\s+./(\u2010-\u2015-][\s()]{{0,2}}
        \d(?:[\s+()./\u2010-\u2015-]{{0,3}}\d){{5,12}})(?!\d)
    | (?<![A-Za-z0-9])(?P<link>(?i:(?:tel|sms|callto):|wa\.me/)\+?\d(?:[\s+().-]{{0,3}}\d){{5,}})
    | (?<![A-Za-z0-9_)\]])(?P<area>
          \(0\d{{1,4}}\)[\s+]?\d{{3,4}}[\s+.-]\d{{3,4}}
        | \([2-9]\d\d\)[\s+]?[2-9]\d\d[\s+.-]\d{{4}}
        | \([1-9]{{2}}\)[\s+]?9?\d{{4}}-\d{{4}}
      )(?!\d)
    """
_DOUBLE_HINT: Final = re.compile(r"(?<!\d)(?:00[\s.-]?|011[\s.-])\(?[1-9]\d{0,2}\)?[\s./(-]")
_BASE64: Final = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{10,}={0,2}", re.ASCII)
_SEPARATOR: Final = re.compile(r"[+/_-]+")
_BREAKS: Final = re.compile(r"[\t\r\n]")
_SHORT_TEXT: Final = 100
_SHORTEST: Final = 6  # an email: a@b.co
_SHORTEST_CODED: Final = 10
# The form of most ids: a name in lower case, then a number; or a short number alone.
_PLAIN: Final = re.compile(r"[a-z][a-z_-]*[0-9]*|[0-9]{1,9}")
_RUN: Final = re.compile(r"[A-Za-z0-9+/_-]{10}")
