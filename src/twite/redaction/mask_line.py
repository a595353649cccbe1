"""Mask secrets and personal data in log lines."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from twite.redaction.mask_text import HIDDEN
from twite.redaction.mask_tree import masked_words
from twite.redaction.secrets import spellings
from twite.redaction.shapes import MASK
from twite.redaction.vocabulary import FieldContext, FieldKind, kind_of, row_of, told_by

_SHORTEST: Final = 4  # masking shorter texts would garble most lines
_LONGEST: Final = 1_000  # longer texts are split, and each piece is masked
_MOST: Final = 5_000
_LOOKED_AT: Final = 16 * 1024  # characters of a text that are searched; lines are shorter
_DEEPEST: Final = 32
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
        pieces = (piece for text in (*telling(event), *persons) if text for piece in _pieces(text))
        keys = (spelling for secret in secrets for spelling in spellings(secret))
        hidden = {piece.lower() for piece in (*keys, *pieces) if len(piece) >= _SHORTEST}
        # With more texts than this, the search would take too long, so everything is masked.
        self._is_blind = blind or len(hidden) > _MOST
        # Longest first: a long text may contain a short one.
        self._hidden = sorted(hidden, key=len)[::-1][:_MOST]

    def over(self, text: str, *, most: int) -> str:
        return _line(masked_words(self._without_hidden(text)), most)

    def own(self, sentence: str, *, most: int) -> str:
        """Mask one of Twite's own messages, in which `SetCookie: …` is not a header."""
        return _line(self._without_hidden(sentence), most)

    def _without_hidden(self, text: str) -> str:
        if self._is_blind:
            return HIDDEN
        longest = len(self._hidden[0]) if self._hidden else 0
        head = text[: _LOOKED_AT + longest]
        is_cut = len(head) < len(text)
        # Templates trim and lower-case values before they hash them.
        low = head.lower()
        if len(low) != len(head):
            low = head
        for word in self._hidden:
            if word in low:
                head, low = _replaced(head, low, word)
        # The end of a truncated text may be the beginning of a text to mask.
        return head[: len(head) - longest] if is_cut else head


def telling(value: object, among: FieldContext = FieldContext.EVENT) -> Iterator[str]:
    """Yield the texts of fields whose names indicate personal data, an identifier or a secret."""
    waiting: list[tuple[object, FieldContext, int]] = [(value, among, 0)]
    while waiting:
        value, where, depth = waiting.pop()
        if depth > _DEEPEST:
            yield from texts_in(value)
        elif isinstance(value, list):
            waiting += [(each, where, depth + 1) for each in value]
        elif isinstance(value, str) and value.lstrip()[:1] in {"{", "["}:
            try:
                waiting.append((json.loads(value), where, depth + 1))
            except (ValueError, RecursionError):
                continue
        elif isinstance(value, Mapping):
            labels, values = row_of(value)
            labelled = values if any(_tells(label, where) for label in labels.values()) else ()
            for name, held in value.items():
                own, inside = told_by(f"{name}", where)
                if own is not None or name in labelled or kind_of(f"{name}") in _TELLING:
                    for text in texts_in(held):
                        yield text
                        yield from _WORD.findall(text)
                else:
                    waiting.append((held, inside, depth + 1))


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


def _tells(label: str, among: FieldContext) -> bool:
    return told_by(label, among)[0] is not None or kind_of(label) in _TELLING


def _replaced(head: str, low: str, word: str) -> tuple[str, str]:
    heads: list[str] = []
    at = 0
    while (found := low.find(word, at)) >= 0:
        heads.append(head[at:found])
        at = found + len(word)
    heads.append(head[at:])
    masked = MASK.join(heads)
    return masked, MASK.join(low.split(word))


def _pieces(text: str) -> Iterator[str]:
    """Split a text into pieces of similar length, so that no piece is too short to be masked."""
    text = text.strip()
    if not text:
        return
    size = -(-len(text) // -(-len(text) // _LONGEST))
    yield from (text[at : at + size] for at in range(0, len(text), size))


def _line(text: str, most: int) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)[:most]
