"""Mask personal data and secrets in JSON, by field names and by the form of values.

A field's name decides how everything below it is masked. If it indicates nothing, a value is masked
like any text, including JSON, a form or a URL within a string.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec

from twite.redaction.mask_text import HIDDEN, masked_path, masked_query, masked_text, network
from twite.redaction.rows import person_in_row
from twite.redaction.shapes import MASK
from twite.redaction.vocabulary import (
    PERSONS,
    FieldKind,
    is_about_people,
    is_harmless_header,
    is_well_known,
    kind_of,
)

# Longer texts are truncated, and at most this many characters of a tree are processed.
LONGEST_TEXT: Final = 16 * 1024
MOST_LOOKED_AT: Final = 128 * 1024
_COST: Final = 4  # added for each value, for its quotes and comma
_MARGIN: Final = 64
_LONGEST_NAME: Final = 80
_HEAD: Final = 8
_SHORT_NUMBER: Final = 100_000  # smaller whole numbers, such as counts, are no phone numbers
_SHORT_WORD: Final = 5  # letters and digits
# Values that are nested deeper are not shown. JSON within a string adds a level.
_DEEPEST: Final = 24
_OF_PEOPLE: Final = PERSONS | {FieldKind.DETAIL, FieldKind.PEOPLE}
_WHOLE_WORDS: Final = re.compile(r"""[\s\S]*[\s"'<>,;()&=?/{}\[\]|]""")
_DIGEST: Final = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_OPENING: Final = re.compile(r"[{\[]")
_BEFORE: Final = re.compile(r"""([A-Za-z_][A-Za-z0-9_.-]*)["']?\s{0,3}[:=]\s{0,3}$""")
_FORM: Final = re.compile(r"\??[^\s=&?#]{1,200}=[^\s&]*(?:&[^\s=&]{1,200}=[^\s&]*)+")


def masked_tree(value: object, name: str = "") -> object:
    """Mask a field's value and the keys in it. The structure stays the same."""
    return _Walk().masked(value, kind_of(name), 0)


def masked_words(text: str) -> str:
    """Mask a response or a reason: text, JSON, or text followed by JSON."""
    opening = _OPENING.search(text)
    if opening is not None:
        place = opening.start()
        read = _read(text[place:])
        if read is not None:
            before = text[:place]
            named = _BEFORE.search(before[-_LONGEST_NAME:]) if before else None
            kind = FieldKind.ANY if named is None else kind_of(named[1])
            rest = msgspec.json.encode(_Walk().masked(read, kind, 1)).decode()
            return masked_text(_cut(before)) + rest if before else rest
    return masked_text(_cut(text))


class _Walk:
    def __init__(self) -> None:
        self.left = MOST_LOOKED_AT

    def masked(self, value: object, kind: FieldKind, depth: int) -> object:
        self.left -= _COST
        if depth > _DEEPEST or self.left <= 0:
            return HIDDEN
        if isinstance(value, Mapping):
            return self._mapping(value, kind, depth)
        if isinstance(value, list):
            return self._list(value, kind, depth)
        if isinstance(value, str):
            self.left -= min(len(value), LONGEST_TEXT)
            return self._text(value, kind, depth)
        return value if isinstance(value, bool) or value is None else _number(value, kind)

    def _list(self, value: list[Any], kind: FieldKind, depth: int) -> list[object]:
        if kind is FieldKind.HEADERS and _is_pair(value):
            return [masked_text(_cut(value[0])), _header(value[0], value[1])]
        return [self.masked(item, kind, depth + 1) for item in value if self.left > 0]

    def _mapping(
        self, value: Mapping[str, object], kind: FieldKind, depth: int
    ) -> dict[str, object]:
        masked: dict[str, object] = {}
        row = person_in_row(value)
        for key, item in value.items():
            if self.left <= 0:
                masked[HIDDEN] = HIDDEN
                break
            self.left -= min(len(key), LONGEST_TEXT)
            shown = _key(key) if len(key) <= _LONGEST_NAME else masked_text(_cut(key))
            is_revealed = row is not None and key in row[2]
            below = row[0] if row is not None and is_revealed else _below(kind, key, item)
            masked[shown] = self.masked(item, below, depth + 1)
        return masked

    def _text(self, text: str, kind: FieldKind, depth: int) -> str:
        is_shown = kind is FieldKind.ANY or kind is FieldKind.PLAIN
        if is_shown and len(text) <= _SHORT_WORD and text.isascii() and text.isalnum():
            return text  # no form of personal data or secrets is as short
        match kind:
            case FieldKind.ANY | FieldKind.PLAIN if _DIGEST.fullmatch(text):
                return _head(text)
            case FieldKind.ANY:
                return self._any(text, depth) or masked_text(_cut(text))
            case FieldKind.BODY:
                return self._any(text, depth) or f"{HIDDEN} ({len(text)} characters)"
        return _MASKS[kind](_cut(text))

    def _any(self, text: str, depth: int) -> str:
        """Mask a text that is JSON or a form; return "" if it is neither."""
        read = _read(text) if text.lstrip()[:1] in {"{", "["} else None
        if read is not None:
            return msgspec.json.encode(self.masked(read, FieldKind.ANY, depth + 1)).decode()
        cut = _cut(text)
        return masked_query(cut) if _FORM.fullmatch(cut) else ""


@lru_cache(maxsize=8_192)
def _key(key: str) -> str:
    return key if is_well_known(key) else masked_text(key)


def _below(kind: FieldKind, key: str, value: object) -> FieldKind:
    if kind in {FieldKind.ANY, FieldKind.PLAIN, FieldKind.BODY}:
        is_people = isinstance(value, Mapping | list) and is_about_people(key)
        return FieldKind.PEOPLE if is_people else kind_of(key)
    if kind in _OF_PEOPLE:
        own = kind_of(key)
        return (
            own
            if own in {FieldKind.CLICK, FieldKind.ADDRESS, FieldKind.AGENT, FieldKind.SECRET}
            else kind
        )
    if kind is FieldKind.HEADERS:
        return FieldKind.PLAIN if is_harmless_header(key) else FieldKind.SECRET
    return kind


def _person(text: str) -> str:
    return _head(text) if _DIGEST.fullmatch(text) else MASK if text else ""


def _addresses(text: str) -> str:
    return ", ".join(map(network, text.split(",")))


def _agent(text: str) -> str:
    return f"{masked_text(text.split(' ', 1)[0][:24])} … ({len(text)} characters)"


def _cut(text: str) -> str:
    """Truncate a long text before a word, because half a token would not look like a token."""
    if len(text) <= LONGEST_TEXT:
        return text
    head = text[: LONGEST_TEXT - _MARGIN]
    whole = _WHOLE_WORDS.match(head)
    return f"{'' if whole is None else whole[0]}… ({len(text)} characters)"


def _head(text: str) -> str:
    """Return the beginning of a value: enough for a comparison, too little to reveal the value."""
    return f"{text[:_HEAD]}{HIDDEN}" if len(text) > 2 * _HEAD else HIDDEN if text else ""


def _cookies(text: str) -> str:
    names = [pair.partition("=")[0].strip() for pair in text.split(";")]
    if "=" not in text:
        return MASK
    return "; ".join(f"{masked_text(name)}={HIDDEN}" for name in names if name)


def _header(name: str, value: str) -> str:
    if kind_of(name) is FieldKind.COOKIES:
        return _cookies(value)
    return masked_text(_cut(value)) if is_harmless_header(name) else MASK


def _is_pair(value: list[Any]) -> bool:
    return len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], str)


def _number(value: object, kind: FieldKind) -> object:
    if kind in {FieldKind.ANY, FieldKind.PLAIN, FieldKind.BODY}:
        if isinstance(value, int) and -_SHORT_NUMBER < value < _SHORT_NUMBER:
            return value
        text = str(value)
        return value if masked_text(text, plain=kind is FieldKind.PLAIN) == text else HIDDEN
    return HIDDEN


def _read(text: str) -> object:
    """Return the JSON of a text that starts with a bracket, None if it is none."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None


_MASKS: Final[Mapping[FieldKind, Callable[[str], str]]] = {
    **dict.fromkeys(_OF_PEOPLE, _person),
    FieldKind.CLICK: _head,
    FieldKind.TOKEN: lambda text: HIDDEN if text else "",
    FieldKind.SECRET: lambda _: MASK,
    FieldKind.ADDRESS: _addresses,
    FieldKind.AGENT: _agent,
    FieldKind.COOKIES: _cookies,
    FieldKind.HEADERS: lambda _: MASK,
    FieldKind.QUERY: masked_query,
    FieldKind.PATH: masked_path,
    FieldKind.PLAIN: lambda text: masked_text(text, plain=True),
}
