"""Name-value rows, as forms and shops list their fields: `{"title": "Telefon", "answer": "…"}`."""

from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Final

from twite.redaction import words
from twite.redaction.vocabulary import LONGEST_NAME, FieldKind, person_in, plain

_LONGEST_ROW: Final = 12


def person_in_row(
    row: Mapping[str, object], *, alone: bool = False
) -> tuple[FieldKind, frozenset[str], frozenset[str]] | None:
    """Return which of PERSONS a name-value row contains, and its name and value fields.

    An example is `{"name": "Telefon", "value": "02079460016"}`. `alone` accepts only rows without
    other fields, because items also have a name and a value.
    """
    if len(row) > _LONGEST_ROW:
        return None
    labels, values = row_of(row)
    if not values or (alone and None in map(_part_of_row, row)):
        return None
    kinds = {name: kind for name, label in labels.items() if (kind := person_in(label)) is not None}
    return (next(iter(kinds.values())), frozenset(kinds), values) if kinds else None


def row_of(row: Mapping[str, object]) -> tuple[dict[str, str], frozenset[str]]:
    """Return the labels of a row by field name, and the names of its value fields.

    `{"title": "Telefon", "answer": "…"}` has the label `Telefon`, and the value field `answer`.
    """
    labels: dict[str, str] = {}
    values: list[str] = []
    for name, held in row.items():
        part = _part_of_row(name)
        if part is _RowPart.NAME and isinstance(held, str):
            labels[name] = held
        elif part is _RowPart.VALUE:
            values.append(name)
    return labels, frozenset(values)


class _RowPart(StrEnum):
    NAME = "name"
    VALUE = "value"
    BESIDE = "beside"


def _part_of_row(name: str) -> _RowPart | None:
    return _known_part_of_row(name[-LONGEST_NAME:])


@lru_cache(maxsize=8_192)
def _known_part_of_row(name: str) -> _RowPart | None:
    return _PARTS_OF_ROWS.get(plain(name))


_PARTS_OF_ROWS: Final = {
    **dict.fromkeys(words.ROW_NAMES, _RowPart.NAME),
    **dict.fromkeys(words.ROW_VALUES, _RowPart.VALUE),
    **dict.fromkeys(words.BESIDE_IN_ROWS, _RowPart.BESIDE),
}
