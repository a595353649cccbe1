"""Find phone numbers in a text, by what stands before and within a run of digits.

Digits alone are an id. A run is a phone number after a plus, after 00 or 011, with its area code in
brackets, in a phone link, or after a word for phone. Separators hardly matter: where a number could
be something else, the number plan of its country decides. The time is proportional to the length
of the text.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING, Final

from twite.redaction.vocabulary import FieldKind, person_in
from twite.redaction.words import NUMBER, PHONE_LABELS, PHONES, SHORT_PHONES, WHOSE

if TYPE_CHECKING:
    from phonenumbers import PhoneMetadata

_NUMBER_KINDS: Final = (
    "fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "voip", "personal_number",
    "pager", "uan", "voicemail",
)  # fmt: skip
_FEWEST: Final = 7
_LEAST: Final = 10**6
_GROUPS_OF_PHONES: Final = 3
_MOST_AREAS: Final = 50
_LONGEST_NUMBER: Final = 15
_LONGEST_RUN: Final = 64
_FEWEST_WITH_TRUNK, _MOST_WITH_TRUNK = 9, 12
_LENGTH_IN_AMERICA: Final = 3
_LOOKED_BACK: Final = 48
_MOST_PARTS: Final = 3
_SHORTEST_WORD: Final = 3
# A plus between digits is a blank in a form: `+44+20+7946+0958`.
_GAP: Final = (
    r"(?:[\s()\[\].,:_*~|/\u00b7\u2022\u2010-\u2015\u2212-]{0,5}|\)?\+{1,2}\(?|\+[\u00b7\u2013-]\+)"
)
_RUN: Final = re.compile(rf"(?:[(\[]\s?)?\d(?:{_GAP}\d){{6,}}")
_ALONE: Final = re.compile(rf"\s*\+?(?:[(\[]\s?)?\d(?:{_GAP}\d){{6,14}}\s*")
_GROUP: Final = re.compile(r"\d+")
# After a plus, a number with these separators needs no number plan.
_NARROW: Final = re.compile(r"[(\[]?[1-9](?:[\s+()._/\u2010-\u2015\u2212-]{0,3}\d){7,}")
# An amount, or the coordinates of a place: `+51.5007, -0.1246`.
_DECIMALS: Final = re.compile(
    r"\d{1,3}(?:,?\d{3})*\.\d+(?P<second>[\s,]+[+-]?\d{1,3}\.\d+)*", re.ASCII
)
_GLUED: Final = PHONES | SHORT_PHONES | WHOSE
# Read backwards from the number, because a search for the end of a text takes longer.
_WIDEST_SIGN: Final = 4  # three blanks and a plus
_PLUS_REVERSED: Final = re.compile(r"(?P<sign>\s{0,3}\++)(?P<word>[A-Za-z0-9]*)")
_MARK_OF_LINK: Final = re.compile(r":|wa\.me", re.IGNORECASE)
_LINK: Final = re.compile(
    r"""
    (?<![a-z0-9])(?:
      (?:tel|sms|smsto|mms|mmsto|callto|facetime|facetime-audio|skype|sip|viber|whatsapp)
      :(?://)?(?:[a-z]{1,8}/?\?(?:[a-z]{1,8}=[^&\s]{0,12}&)?(?:number|phone|to)=)?
    | wa\.me/
    )\+?$
    """,
    re.VERBOSE | re.IGNORECASE,
)
# The signs between a label and its number. After the strong ones, any number is a phone number.
_SIGNS: Final = " \t\r\n\u00a0\u202f:.=#\uff1a\u2116\"'+-\u2013\u2014"
_STRONG: Final = frozenset(":.=#\uff1a\u2116")
_BEFORE_NUMBERS: Final = frozenset(_SIGNS) - {"-"}
_ENDS_OF_LINKS: Final = frozenset(":/=+")
_FILLERS: Final = frozenset({"is", "ist", "est", "es", "me", "on", "at", "us", "under", "unter"})
_LONGEST_LABEL: Final = 32
_PARTS: Final = re.compile(r"[^\W\d_]+")
_DAY: Final = re.compile(r"(?:19|20)\d\d[-/.]?[01]\d[-/.]?[0-3]\d(?!\d)", re.ASCII)
_DOUBLE: Final = re.compile(
    rf"""
    0(?<![A-Za-z0-9_]0)(?<!\d[.,-]0)(?:0[\s.+-]{{0,2}}|11[\s.+-]{{1,2}})\(?(?P<code>[1-9]\d{{0,2}})
    (?!\d){_GAP}\d
    """,
    re.VERBOSE,
)
_AREA: Final = re.compile(
    r"[(\[](?<![A-Za-z02-9_)\]].)\s?(?P<area>0\d{0,4}|[2-9]\d\d|[1-9]{2})\s?[)\]]"
)
_OF_BRAZIL: Final = re.compile(r"\d\d\s?[)\]]\D{0,3}(?:9\d{4}\D{0,3}\d{4}|\d{4}-\d{4})(?!\d)")


def phones_in(text: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of the phone numbers in a text."""
    for run in _RUN.finditer(text):
        found = _in_run(text, run)
        if found is not None:
            yield found


def may_be_phone(value: object) -> bool:
    """Return whether a value is a number of the right length for a phone, and nothing else."""
    if isinstance(value, int):
        return _LEAST <= value < 10**_LONGEST_NUMBER
    return isinstance(value, str) and _ALONE.fullmatch(value) is not None


def _in_run(text: str, run: re.Match[str]) -> tuple[int, int] | None:
    start, end = run.span()
    if start:
        head = text[max(0, start - _LOOKED_BACK) : start]
        if "+" in head[-_WIDEST_SIGN:] and (plus := _PLUS_REVERSED.match(head[::-1])) is not None:
            length = _after_plus(run[0], plus["word"][::-1], plus["sign"])
            if length:
                return start - len(plus["sign"]), start + length
        if (head[-1] in _BEFORE_NUMBERS and _is_labelled(head, run[0])) or (
            head[-1] in _ENDS_OF_LINKS and _MARK_OF_LINK.search(head) and _LINK.search(head)
        ):
            return start, end
    if run[0].isdecimal():
        return None
    inner = _within(text, run)
    return None if inner is None else (inner, end)


def _after_plus(run: str, word: str, sign: str) -> int:
    """Return the length of the number at the beginning of a run; 0 if it is none.

    `sign` is the plus before the run, `word` is directly before that.
    """
    if word:
        # A plus and digits are an id if the word before them indicates neither a phone nor a
        # person: `SHOP+12025550123`.
        # Of two plus signs, the first may be the blank of a form.
        is_label = word.lower() in _GLUED or sign.endswith("++")
        return len(run) if is_label and _begins_with_a_number(run, "") else 0
    decimals = _DECIMALS.fullmatch(run)
    if decimals is not None and decimals["second"]:
        return 0
    narrow = _NARROW.match(run)
    if narrow is not None and decimals is None:
        return narrow.end() if _country_of(_digits(narrow[0][:_LONGEST_RUN])) is not None else 0
    return len(run) if _begins_with_a_number(run, "") else 0


def _is_labelled(head: str, run: str) -> bool:
    """Return whether a run follows a word for phone, as in `Tel: 020 7946 0958`."""
    label = head.rstrip(_SIGNS)
    sign = head[len(label) :]
    name, is_number = _phone_word(label[-_LONGEST_LABEL:])
    if not name or _DAY.match(run):
        return False
    digits = _digits(run)
    if is_number or not _STRONG.isdisjoint(sign):
        return len(digits) <= _LONGEST_NUMBER or _begins_with_a_number(run, "")
    # `WA 98101-1449` is a place.
    is_word = len(name) >= _SHORTEST_WORD or not name.isascii()
    return is_word and (sign[0].isspace() or sign[0] == "+") and _is_like_a_phone(run, digits)


def _is_like_a_phone(run: str, digits: str) -> bool:
    """Return whether a run after a word alone is a phone number.

    It has a trunk prefix, three groups, or two groups that are a valid number: `Telefon
    4006381333931` is an article.
    """
    if digits[0] == "0":
        return _FEWEST_WITH_TRUNK <= len(digits) <= _MOST_WITH_TRUNK
    groups = len(_GROUP.findall(run, 0, _LONGEST_RUN))
    if groups >= _GROUPS_OF_PHONES and len(digits) > _FEWEST:
        return True
    return groups > 1 and any(_begins_with_a_number(run, code) for code in ("", "1"))


@lru_cache(maxsize=4_096)
def _phone_word(label: str) -> tuple[str, bool]:
    """Return the word for phone at the end of a label, and whether it says that a number follows.

    The word has up to three parts: `Tel.-Nr.`, `phone number is`. It is "" if there is none.
    """
    parts = _PARTS.findall(label)
    while parts and parts[-1].lower() in _FILLERS:
        parts.pop()
    parts = parts[-_MOST_PARTS:]
    if parts and parts[-1].lower() in PHONE_LABELS:
        return parts[-1], False
    names = ("".join(parts[at:]) for at in range(len(parts)))
    name = next((name for name in names if person_in(name) is FieldKind.PHONE), "")
    return name, bool(name) and parts[-1].lower() in NUMBER


def _within(text: str, run: re.Match[str]) -> int | None:
    """Return where a number with 00, 011 or brackets begins in a run."""
    doubles = _DOUBLE.finditer(text, *run.span()) if "0" in run[0] else ()
    for found in doubles:
        rest = text[found.start("code") : run.end()][:_LONGEST_RUN]
        if _begins_with_a_number(rest, ""):
            return found.start()
    areas = _AREA.finditer(text, *run.span()) if "(" in run[0] or "[" in run[0] else ()
    for place, found in enumerate(areas):
        if place == _MOST_AREAS:
            # So many brackets are no ordinary text: not worth the time for each.
            return found.start()
        rest = text[found.start("area") : run.end()][:_LONGEST_RUN]
        if _follows_area(found["area"], rest):
            return found.start()
    return None


def _follows_area(area: str, rest: str) -> bool:
    if area.startswith("0"):
        sizes = [len(digits) for digits in _beginnings(rest)]
        return any(_FEWEST_WITH_TRUNK <= size <= _MOST_WITH_TRUNK for size in sizes)
    if len(area) == _LENGTH_IN_AMERICA:
        return any(_begins_with_a_number(rest, code) for code in ("1", "7"))
    # In Brazil: `(11) 96123-4567`. `(18) 2000 4000` may be anything.
    return _OF_BRAZIL.match(rest) is not None and _begins_with_a_number(rest, "55")


def _begins_with_a_number(run: str, country: str) -> bool:
    """Return whether a run is a number of some country's plan, perhaps with other numbers behind.

    `country` is the country code, if the run has none.
    """
    return any(map(_is_given_out, (f"{country}{digits}" for digits in _beginnings(run))))


def _beginnings(run: str) -> Iterator[str]:
    """Yield the digits of a run up to the end of each of its groups."""
    digits = ""
    for group in _GROUP.finditer(run):
        digits += group[0]
        if len(digits) > _LONGEST_NUMBER:
            return
        if len(digits) >= _FEWEST:
            yield _in_ascii(digits)


def _digits(run: str) -> str:
    return _in_ascii("".join(filter(str.isdecimal, run)))


def _in_ascii(digits: str) -> str:
    if digits.isascii():
        return digits
    return "".join(f"{unicodedata.decimal(digit)}" for digit in digits)


def _is_given_out(digits: str) -> bool:
    """Return whether digits match the number plan of their country.

    The library's own parser takes fifteen times as long; a text may hold thousands of numbers.
    """
    country = _country_of(digits)
    if country is None:
        return False
    lengths, pattern, trunk, without_trunk = _numbers_of(country)
    own = digits[len(f"{country}") : _LONGEST_NUMBER]
    # The lengths are checked first, because that is fast.
    return any(
        len(number) in lengths and pattern.match(number) is not None
        for number in (own, trunk.sub(without_trunk, own))
    )


def _country_of(digits: str) -> int | None:
    for code in (digits[:1], digits[:2], digits[:3]):
        if code in _codes():
            return int(code)
    return None


@cache
def _codes() -> frozenset[str]:
    return frozenset(map(str, _regions()))


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
            lengths.update(general.possible_length)
            any_kind = "|".join(dict.fromkeys(kind.national_number_pattern for kind in several))
            patterns.append(rf"(?=(?:{general.national_number_pattern})\Z)(?:{any_kind})\Z")
    trunk = regions[0].national_prefix_for_parsing
    return (
        frozenset(lengths),
        re.compile("|".join(patterns)),
        re.compile(rf"\A(?:{trunk or '(?!)'})"),
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
