"""Mask secrets and personal data in log lines."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Final, NamedTuple

from twite.redaction.mask_text import HIDDEN
from twite.redaction.mask_tree import masked_words
from twite.redaction.rows import row_of
from twite.redaction.shapes import MASK
from twite.redaction.vocabulary import (
    LONGEST_NAME,
    FieldContext,
    FieldKind,
    kind_of,
    kind_of_name,
)
from twite.tags.redaction.secrets import spellings

_SHORTEST: Final = 4  # masking shorter texts would garble most lines
_LONGEST: Final = 1_000  # longer texts are split, and each piece is masked
_MOST: Final = 5_000
_LOOKED_AT: Final = 16 * 1024  # characters of a text that are searched; lines are shorter
_DEEPEST: Final = 32
_OPENING: Final = frozenset("{[")
_MOST_FIELDS: Final = 50
_WORD: Final = re.compile(r"[^\W\d_]{4,}")
_TELLING: Final = frozenset(
    {FieldKind.EMAIL, FieldKind.PHONE, FieldKind.NAME, FieldKind.DETAIL, FieldKind.PEOPLE}
    | {FieldKind.TOKEN, FieldKind.CLICK, FieldKind.SECRET, FieldKind.ADDRESS}
)


class LineMask:
    """Masks secrets and personal data in texts; if `blind`, the whole text.

    `event` contains personal data to mask, found by field names; `persons` contains further texts
    to mask.
    """

    def __init__(
        self,
        secrets: Iterable[str],
        event: Mapping[str, object],
        *,
        persons: Iterable[str] = (),
        blind: bool = False,
    ) -> None:
        self._secrets = tuple(secrets)
        self._event = event
        self._persons = tuple(persons)
        self._is_blind = blind

    def over(self, text: str, *, most: int) -> str:
        return _line(masked_words(self._without_hidden(text)), most) if text else ""

    def own(self, sentence: str, *, most: int) -> str:
        """Mask one of Twite's own messages, in which `SetCookie: …` is not a header."""
        return _line(self._without_hidden(sentence), most)

    @cached_property
    def _hidden(self) -> set[str] | None:
        """The texts to mask, in lower case; None if there are too many, so everything is masked.

        They are found when the first text is masked: most runs mask only a short response.
        """
        hidden = {spelling for secret in self._secrets for spelling in _spellings(secret)}
        for text in {*telling(self._event), *self._persons}:
            hidden.update(_pieces(text.strip().lower()))
        return hidden if len(hidden) <= _MOST else None

    def _without_hidden(self, text: str) -> str:
        if self._is_blind or (hidden := self._hidden) is None:
            return HIDDEN
        measured = hidden if len(text) > _LOOKED_AT else ()
        longest = max(map(len, measured), default=0)
        head = text[: _LOOKED_AT + longest]
        is_cut = len(head) < len(text)
        # Templates trim and lower-case values before they hash them.
        low = head.lower()
        if len(low) != len(head):
            low = head
        # Longest first: a long text may contain a short one.
        for word in sorted((word for word in hidden if word in low), key=len, reverse=True):
            head, low = _replaced(head, low, word)
        # The end of a truncated text may be the beginning of a text to mask.
        return head[: len(head) - longest] if is_cut else head


@lru_cache(maxsize=1_000)
def _spellings(secret: str) -> frozenset[str]:
    """Return the spellings of a secret that are masked, in lower case."""
    return frozenset(text.lower() for text in spellings(secret) if len(text) >= _SHORTEST)


def telling(value: object, context: FieldContext = FieldContext.EVENT) -> Iterator[str]:
    """Yield the texts of fields whose names indicate personal data, an identifier or a secret."""
    waiting: list[tuple[object, FieldContext, int]] = [(value, context, 0)]
    while waiting:
        value, where, depth = waiting.pop()
        if depth > _DEEPEST:
            yield from texts_in(value)
        elif isinstance(value, list):
            waiting += [(each, where, depth + 1) for each in value]
        elif isinstance(value, str):
            waiting += [(inner, where, depth + 1) for inner in _parsed(value)]
        elif isinstance(value, Mapping):
            fields = _fields_of(value, where)
            revealed = (
                fields.values if fields.values and _has_revealing_name(value, fields, where) else ()
            )
            for name, tells, inside in fields.each:
                held = value[name]
                if tells or name in revealed:
                    for text in texts_in(held):
                        yield text
                        yield from _WORD.findall(text)
                elif depth == _DEEPEST or _may_contain_fields(held):
                    waiting.append((held, inside, depth + 1))


class _Fields(NamedTuple):
    """The fields of an object: whether each is masked, and the context of the fields in it.

    `names` and `values` are the name and value fields of a name-value row.
    """

    each: tuple[tuple[str, bool, FieldContext], ...]
    names: tuple[str, ...]
    values: frozenset[str]


def _fields_of(value: Mapping[str, object], context: FieldContext) -> _Fields:
    names = tuple(value)
    # The events of a shop have the same few lists of fields.
    is_usual = len(names) <= _MOST_FIELDS and len("".join(names)) <= _LONGEST
    return _known_fields(names, context) if is_usual else _fields(names, context)


def _fields(names: tuple[str, ...], context: FieldContext) -> _Fields:
    labels, values = row_of(dict.fromkeys(names, ""))
    return _Fields(
        each=tuple((name, *_tells(name, context)) for name in names),
        names=tuple(labels),
        values=values,
    )


_known_fields = lru_cache(maxsize=1_000)(_fields)


def _has_revealing_name(row: Mapping[str, object], fields: _Fields, context: FieldContext) -> bool:
    labels = (row[name] for name in fields.names)
    return any(isinstance(label, str) and _tells(label, context)[0] for label in labels)


def _may_contain_fields(value: object) -> bool:
    if isinstance(value, str):
        return value[:1] in _OPENING or value[:1].isspace()
    return not isinstance(value, int | float | None)


def _parsed(value: str) -> tuple[object, ...]:
    """Return the value of a text that is a JSON object or array."""
    if value.lstrip()[:1] not in _OPENING:
        return ()
    try:
        return (json.loads(value),)
    except (ValueError, RecursionError):
        return ()


def texts_in(value: object) -> Iterator[str]:
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{value:.0f}"
        elif isinstance(value, Mapping):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _tells(name: str, context: FieldContext) -> tuple[bool, FieldContext]:
    """Return whether a field is masked, and the context of the fields in it."""
    return _known_tells(name[-LONGEST_NAME:], context)


@lru_cache(maxsize=8_192)
def _known_tells(name: str, context: FieldContext) -> tuple[bool, FieldContext]:
    own, inside = kind_of_name(name, context)
    return own is not None or kind_of(name) in _TELLING, inside


def _replaced(head: str, low: str, word: str) -> tuple[str, str]:
    heads: list[str] = []
    at = 0
    while (found := low.find(word, at)) >= 0:
        heads.append(head[at:found])
        at = found + len(word)
    heads.append(head[at:])
    masked = MASK.join(heads)
    return masked, MASK.join(low.split(word))


def _pieces(text: str) -> Sequence[str]:
    """Split a text into pieces of similar length, so that no piece is too short to be masked."""
    if len(text) < _SHORTEST:
        return ()
    size = -(-len(text) // -(-len(text) // _LONGEST))
    return [text[at : at + size] for at in range(0, len(text), size)]


def _line(text: str, most: int) -> str:
    shown = text[:most]
    if shown.isprintable():
        return shown
    return "".join(letter if letter.isprintable() else " " for letter in shown)
