"""Classify fields by name: personal data, a secret, an id, or unknown.

A name is recognized in any spelling (`fullName`, `full_name`, `FULL-NAME`, `Prénom`), even after a
word for its owner (`billing_first_name`, `custPhone`). The meaning of some words depends on where
they occur: a `name` is personal data at the top of an event and in data about a person, but not in
an item. `kind_of_name` is for scrubbing: it returns a kind only if that is certain, because a
mistake would remove data. `kind_of` is for masking, and may guess.
"""

import re
import unicodedata
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise
from typing import Final

from twite.redaction import words

# Longer names are cut, because they are cached.
LONGEST_NAME: Final = 128
# Prefixes that are removed from one name, because each removal searches through all prefixes.
_MOST_OWNERS: Final = 3
# `user_data.email` and `user[email]` have two steps; `Tel.-Nr.` has one.
_STEPS: Final = re.compile(r"(?<=\w)(?:\.|\]?\[)(?=\w)")
_HUMP: Final = re.compile(r"([a-z0-9])([A-Z])")
_PARTS: Final = re.compile(r"[^a-z0-9]+")
_PARTS_OF_ANY: Final = re.compile(r"[\W_]+")
_PARTED: Final = re.compile(r"[^A-Za-z0-9]+")
_WORDS_OF_LABEL: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_THINGS: Final = re.compile(r"^(?:line)?(?:items?|products?|contents?|promotions?|impressions?)$")
# `hashed` before `hash`: a set has another order in each process.
_HASHES: Final = "|".join(sorted(words.HASHES, key=len, reverse=True))
_HASHED: Final = re.compile(rf"^(?:{_HASHES})|(?:{_HASHES})$")


class FieldKind(StrEnum):
    EMAIL = "email"
    PHONE = "phone"
    NAME = "name"  # a person's name, a street, a date of birth
    DETAIL = "detail"  # a town, a gender: never scrubbed, always masked
    PEOPLE = "people"  # everything below the field
    TOKEN = "token"  # noqa: S105  a name; an id that distinguishes a person or browser
    CLICK = "click"  # X's click id, and the ids by which X's script recognizes a browser
    SECRET = "secret"  # noqa: S105  a name
    ADDRESS = "address"  # one or more IP addresses
    AGENT = "agent"
    COOKIES = "cookies"
    HEADERS = "headers"
    QUERY = "query"
    PATH = "path"
    BODY = "body"  # the body of a request, as text
    PLAIN = "plain"  # an id of any length
    ANY = "any"


class FieldContext(StrEnum):
    EVENT = "event"  # at the top of an event
    PERSON = "person"  # in `user_data` and similar objects, at any depth
    THINGS = "things"  # in an item, a promotion, or an unknown object


# Hashed or removed before storage.
PERSONS: Final = frozenset({FieldKind.EMAIL, FieldKind.PHONE, FieldKind.NAME})


def kind_of_name(
    name: str, context: FieldContext = FieldContext.EVENT
) -> tuple[FieldKind | None, FieldContext]:
    """Return which of PERSONS a field contains, and the context of the fields below it.

    The last part of a dotted name determines the kind, the parts before it the context.
    """
    return _named_kind(name[-LONGEST_NAME:], context)


def person_in(name: str, context: FieldContext = FieldContext.EVENT) -> FieldKind | None:
    return _named_kind(name[-LONGEST_NAME:], context)[0]


def may_name_a_phone(name: str) -> bool:
    """Return whether a name has a word for phone anywhere: then a long number is a phone number."""
    return _may_name_a_phone(name[-LONGEST_NAME:])


def is_about_people(name: str) -> bool:
    """Return whether a field contains data about a person, such as `user_data`."""
    return _place(plain(name[-LONGEST_NAME:].rpartition(".")[2])) is FieldContext.PERSON


def is_digest_key(name: str) -> bool:
    """Return whether a name indicates a hash, such as `sha256_email_address`."""
    return _HASHED.search(plain(name[-LONGEST_NAME:].rpartition(".")[2])) is not None


def kind_of(name: str) -> FieldKind:
    """Return the possible kind of a field. A dotted name is the path of a nested field."""
    return _kind_of(name[-LONGEST_NAME:])


def promises_secret(text: str) -> bool:
    """Return whether a name or a label indicates a secret, such as `apiAccessToken`."""
    parts = [word.lower() for word in _WORDS_OF_LABEL.findall(text)]
    pairs = {"".join(pair) for pair in pairwise(parts)}
    return bool(words.SECRET_WORDS & set(parts) or words.SECRET_PAIRS & (pairs | set(parts)))


def is_well_known(name: str) -> bool:
    return name.lower() in words.OF_GOOGLE


def is_harmless_header(name: str) -> bool:
    return name.strip().lower() in words.HARMLESS_HEADERS


def is_harmless_parameter(name: str) -> bool:
    return name.strip().lower() in words.HARMLESS_PARAMETERS


def plain(name: str) -> str:
    """Return the form of a name for comparison: `userData` and `User-Data` are `userdata`."""
    if name.isascii():
        return _PARTS.sub("", name.lower())
    # An accent is no letter.
    return _PARTS_OF_ANY.sub("", unicodedata.normalize("NFKD", name.casefold()))


# The kinds that a part of a name indicates, the most sensitive first.
_LOOKS: Final = (
    (
        FieldKind.SECRET,
        re.compile(
            r"secret|passw|passcode|passphrase|pwd|api_?key|auth(?!or)|token|signature|credential"
            r"|bearer"
        ),
    ),
    (FieldKind.COOKIES, re.compile(r"cookie")),
    (FieldKind.EMAIL, re.compile(r"e_?mail")),
    (FieldKind.PHONE, re.compile(r"phone|mobile_number|telef")),
    (FieldKind.NAME, re.compile(r"hashed_|sha_?256|_name_of_user")),
    (FieldKind.CLICK, re.compile(r"^tw_?clid|^twpid")),
    (
        FieldKind.TOKEN,
        re.compile(r"clid$|click_id|clickid|client_id|user_id|visitor_id|device_id|uuid"),
    ),
    (FieldKind.ADDRESS, re.compile(r"ip_addr")),
    (FieldKind.AGENT, re.compile(r"user_agent")),
)


@lru_cache(maxsize=8_192)
def _named_kind(name: str, context: FieldContext) -> tuple[FieldKind | None, FieldContext]:
    *before, last = _steps(name)
    for step in before:
        context = _within(plain(step), context)
    word = plain(last)
    found, is_short = _person(word)
    if found is None and _ends_in_a_name(last):
        found = FieldKind.NAME
    nobodys = is_short and context is FieldContext.THINGS
    return None if nobodys else found, _within(word, context)


def _ends_in_a_name(name: str) -> bool:
    parts = _parts(name)
    return any("".join(parts[-size:]) in words.SURE_NAMES for size in (1, 2, 3))


def _parts(name: str) -> list[str]:
    parts = (plain(part) for part in _PARTS_OF_ANY.split(_HUMP.sub(r"\1_\2", name)))
    return [bare for part in parts if (bare := part.rstrip("0123456789"))]


@lru_cache(maxsize=8_192)
def _may_name_a_phone(name: str) -> bool:
    parts = _parts(name)
    is_beside = not words.BESIDE_PHONES.isdisjoint(parts)
    return not is_beside and any(_LONG.get(part) is FieldKind.PHONE for part in parts)


def _steps(name: str) -> list[str]:
    """Return the steps of a path. `tel.nr` is one step: a number is of what stands before it."""
    *before, last = _STEPS.split(name)
    if before and plain(last) in words.NUMBER:
        last = f"{before.pop()}.{last}"
    return [*before, last]


def _within(word: str, context: FieldContext) -> FieldContext:
    kind = _place(word)
    if kind is not None:
        return kind
    return FieldContext.THINGS if context is FieldContext.EVENT and not word.isdigit() else context


def _place(word: str) -> FieldContext | None:
    if _THINGS.match(word):
        return FieldContext.THINGS
    if word in _EVENTS:
        return FieldContext.EVENT
    if word in _PEOPLE:
        return FieldContext.PERSON
    behind = next((ending for ending in words.PEOPLE_BEHIND if word.endswith(ending)), "")
    return FieldContext.PERSON if behind and word.removesuffix(behind) in _PEOPLE else None


@lru_cache(maxsize=8_192)
def _kind_of(name: str) -> FieldKind:
    found = FieldKind.ANY
    for part in _steps(name):
        found = _kind(part)
        if found is FieldKind.PEOPLE:
            return found
    return found


def _kind(name: str) -> FieldKind:
    word = plain(name)
    known = _KNOWN.get(word)
    if known is not None:
        return known
    person, _ = _person(word)
    if person is None and _ends_in_a_name(name):
        person = FieldKind.NAME
    if person is not None and word.rstrip("0123456789") not in _OF_THINGS:
        return person
    if word.startswith("xga"):
        # Fields that Google's container adds to an event; most of them may identify a browser.
        return FieldKind.PLAIN if word in words.PLAIN_OF_GOOGLE else FieldKind.TOKEN
    if promises_secret(name):
        return FieldKind.SECRET
    spelled = _PARTED.sub("_", _HUMP.sub(r"\1_\2", name)).lower().strip("_")
    for kind, pattern in _LOOKS:
        if pattern.search(spelled):
            return kind
    return FieldKind.ANY


def _person(word: str) -> tuple[FieldKind | None, bool]:
    """Return which of PERSONS a word indicates, and whether it does so only in some contexts."""
    if not word.endswith(_ENDINGS) and not word.startswith(_BEGINNINGS):
        # Nearly all names end here.
        found = _SHORT.get(word)
        return (_LONG.get(word), False) if found is None else (found, True)
    whole = _HASHED.sub("", word)
    bare = _without(whole, _BEHIND)
    word = bare if bare != whole or whole.isdigit() else whole.rstrip("0123456789")
    for form in dict.fromkeys((whole, word, _without(word, _BEHIND))):
        if form in _SHORT:
            return _SHORT[form], True
        found = _long(form)
        if found is not None:
            return found, False
    return _of_somebody(word), False


def _of_somebody(word: str) -> FieldKind | None:
    behind = _without(word, _WHOSE_BEHIND)
    found = _long(behind) or _SHORT.get(behind)
    if found is not None:
        return found
    word = _without(word, _BEHIND)
    is_whose = False
    for _ in range(_MOST_OWNERS):
        before = _owner_before(word)
        word = word.removeprefix(before)
        is_whose = is_whose or before in _WHOSE
        found = _long(word) or (_SHORT.get(word) if is_whose else None)
        if found is not None:
            return found
    return None


def _owner_before(word: str) -> str:
    sizes = range(min(_LONGEST_OWNER, len(word) - 1), 0, -1)
    return next((word[:size] for size in sizes if word[:size] in _OWNERS), "")


def _long(word: str) -> FieldKind | None:
    found = _LONG.get(word)
    if found is not None:
        return found
    number = _without(word, _NUMBER)
    if number == word:
        return None
    is_phone = _LONG.get(number) is FieldKind.PHONE or _SHORT.get(number) is FieldKind.PHONE
    return FieldKind.PHONE if is_phone else None


def _without(word: str, endings: tuple[str, ...]) -> str:
    # Most names have none of these endings, so this check is fast.
    if not word.endswith(endings):
        return word
    found = next((ending for ending in endings if word.endswith(ending) and word != ending), "")
    return word.removesuffix(found)


def _compared(several: frozenset[str]) -> frozenset[str]:
    return frozenset(map(plain, several))


def _longest_first(several: frozenset[str]) -> tuple[str, ...]:
    # `customer` before `cust`.
    return tuple(sorted(_compared(several), key=lambda word: (-len(word), word)))


def _by_word(kinds: Mapping[FieldKind, frozenset[str]]) -> dict[str, FieldKind]:
    return {word: kind for kind, several in kinds.items() for word in _compared(several)}


_LONG: Final = _by_word(
    {FieldKind.NAME: words.NAMES, FieldKind.PHONE: words.PHONES, FieldKind.EMAIL: words.EMAILS}
)
_OF_THINGS: Final = _compared(words.NAMES_OF_THINGS)
_SHORT: Final = _by_word(
    {
        FieldKind.NAME: words.SHORT_NAMES | words.NAMES_OF_THINGS,
        FieldKind.PHONE: words.SHORT_PHONES,
        FieldKind.EMAIL: words.SHORT_EMAILS,
    }
)
_WHOSE: Final = _compared(words.WHOSE)
_OWNERS: Final = _compared(words.WHOSE | words.BESIDE)
_LONGEST_OWNER: Final = max(map(len, _OWNERS))
_WHOSE_BEHIND: Final = _longest_first(words.WHOSE_BEHIND)
_BEHIND: Final = _longest_first(words.BEHIND)
_NUMBER: Final = _longest_first(words.NUMBER)
# What may precede or follow a word.
_ENDINGS: Final = (*_BEHIND, *_NUMBER, *_WHOSE_BEHIND, *words.HASHES, *"0123456789")
_BEGINNINGS: Final = (*_OWNERS, *words.HASHES)
_EVENTS: Final = _compared(words.EVENTS)
_PEOPLE: Final = _compared(
    words.PEOPLE | ((words.WHOSE | {f"{owner}s" for owner in words.WHOSE}) - words.NOT_PEOPLE)
)
_KNOWN: Final = _by_word(
    {
        FieldKind.DETAIL: words.DETAILS,
        FieldKind.TOKEN: words.TOKENS,
        FieldKind.CLICK: words.CLICKS,
        FieldKind.SECRET: words.SECRETS,
        FieldKind.ADDRESS: words.ADDRESSES,
        FieldKind.AGENT: words.AGENTS,
        FieldKind.COOKIES: words.COOKIES,
        FieldKind.HEADERS: words.HEADERS,
        FieldKind.QUERY: words.QUERIES,
        FieldKind.PATH: words.PATHS,
        FieldKind.BODY: words.BODIES,
        FieldKind.PLAIN: words.PLAIN,
        FieldKind.PEOPLE: words.PEOPLE,
    }
)
