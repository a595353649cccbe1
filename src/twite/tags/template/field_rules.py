"""Validate the field values of a template by the rules of its form.

Only known values of visible fields are checked, not values of variables. A value passes if Google
does not document how a rule treats it: decimals where a number is required, and empty text unless
that is forbidden.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from twite.tags.json_tree import Tree
from twite.tags.template.fields import (
    CHOICES,
    TABLES,
    Field,
    Validator,
    flat,
    hold,
    shown,
    values_of,
)
from twite.tags.template.texts import names_in, text_of

_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_MOST_CHOICES: Final = 12
_RANGES: Final[Mapping[str, tuple[int | None, int | None]]] = {
    "NUMBER": (None, None),
    "DECIMAL": (None, None),
    "NON_NEGATIVE_NUMBER": (0, None),
    "POSITIVE_NUMBER": (0, None),
    "PERCENTAGE": (0, 100),
}
_SAID: Final[Mapping[str, str]] = {
    "NON_EMPTY": "must not be empty",
    "NUMBER": "must be a number",
    "DECIMAL": "must be a number",
    "NON_NEGATIVE_NUMBER": "must be 0 or more",
    "POSITIVE_NUMBER": "must be a number above 0",
    "PERCENTAGE": "must be a number from 0 to 100, without a percent sign",
}


class FieldRemark(msgspec.Struct, frozen=True):
    field: str
    message: str
    doubt: bool = False


class _Scope(msgspec.Struct, frozen=True):
    """The values that conditions refer to. Those named in `unknown` come from variables."""

    values: Mapping[str, Tree]
    unknown: frozenset[str]

    def within(self, row: Mapping[str, Tree]) -> "_Scope":
        return _Scope({**self.values, **row}, (self.unknown - set(row)) | _open(row))


def remarks_on(fields: tuple[Field, ...], given: Mapping[str, Tree]) -> tuple[FieldRemark, ...]:
    return tuple(_remarks(fields, given))


def _remarks(fields: tuple[Field, ...], given: Mapping[str, Tree]) -> Iterator[FieldRemark]:
    every = {field.name: field for field in flat(fields)}
    for name in given:
        if name not in every:
            yield FieldRemark(name, "is not a field of this template", doubt=True)
    scope = _Scope(values_of(fields, given), _open(given))
    seen = shown(fields, scope.values, unknown=scope.unknown)
    for name, field in every.items():
        if name not in seen:
            continue
        value = scope.values.get(name)
        for message in _wrong(field, value, scope):
            yield FieldRemark(name, message)
        if name in given and _is_no_choice(field, value):
            message = f"is not one of its choices: {_listed(field)}"
            yield FieldRemark(name, message, doubt=field.from_variables)


def _wrong(field: Field, value: Tree, scope: _Scope) -> Iterator[str]:
    if isinstance(value, str) and any(names_in(value)):
        return  # the value is known only for an event
    if field.type == "CHECKBOX" and value is not None and not isinstance(value, bool):
        yield "must be true or false"
    if field.type in TABLES and value is not None:
        if not isinstance(value, list):
            yield "must be a list of rows"
            return
        yield from _wrong_rows(field, value, scope)
    for rule in field.validators:
        if hold(rule.conditions, scope.values, unknown=scope.unknown) and not _keeps(rule, value):
            yield rule.message or _rule_text(rule)


def _wrong_rows(field: Field, rows: list[Tree], scope: _Scope) -> Iterator[str]:
    columns = {column.name: column for column in field.columns}
    first: dict[tuple[str, str], int] = {}
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            if not any(names_in(row)):
                yield f"row {number} must have the columns {', '.join(columns)}"
            continue
        for name in row:
            if name not in columns and not any(names_in(name)):
                yield f"row {number} has {name!r}, which is not a column: {', '.join(columns)}"
        yield from _wrong_cells(field.columns, number, row, scope.within(row))
        for name, column in columns.items():
            cell = row.get(name)
            if not column.unique or cell in (None, "") or any(names_in(cell)):
                continue
            before = first.setdefault((name, str(cell)), number)
            if before != number:
                yield f"row {number}, {name}: repeats row {before}: values must be unique"


def _wrong_cells(
    columns: tuple[Field, ...], number: int, row: Mapping[str, Tree], scope: _Scope
) -> Iterator[str]:
    seen = shown(columns, scope.values, unknown=scope.unknown)
    for column in columns:
        if column.name not in seen:
            continue
        cell = row.get(column.name)
        for message in _wrong(column, cell, scope):
            yield f"row {number}, {column.name}: {message}"
        if _is_no_choice(column, cell) and not column.from_variables:
            yield f"row {number}, {column.name}: is not one of its choices: {_listed(column)}"


def _open(values: Mapping[str, Tree]) -> frozenset[str]:
    return frozenset(name for name, value in values.items() if any(names_in(value)))


def _is_no_choice(field: Field, value: Tree) -> bool:
    if (
        field.type not in CHOICES
        or not field.choices
        or value in (None, "")
        or any(names_in(value))
    ):
        return False
    return not any(_same(value, choice.value) for choice in field.choices)


def _same(value: Tree, other: Tree) -> bool:
    return value == other and isinstance(value, bool) is isinstance(other, bool)


def _listed(field: Field) -> str:
    found = [msgspec.json.encode(choice.value).decode() for choice in field.choices]
    more = ", …" if len(found) > _MOST_CHOICES else ""
    return ", ".join(found[:_MOST_CHOICES]) + more


def _keeps(validator: Validator, value: Tree) -> bool:
    if value in (None, "", []):
        return validator.type != "NON_EMPTY"
    match validator.type:
        case "REGEX" if validator.arguments and not isinstance(value, list):
            try:
                return re.fullmatch(validator.arguments[0], text_of(value)) is not None
            except re.error:  # the pattern is valid in RE2 but not in Python
                return True
        case "STRING_LENGTH" if isinstance(value, str):
            return _is_within(len(value), validator)
        case "TABLE_ROW_COUNT" if isinstance(value, list):
            return _is_within(len(value), validator)
    return validator.type not in _RANGES or _is_number(value, validator)


def _is_number(value: Tree, validator: Validator) -> bool:
    if isinstance(value, str):
        number = float(value) if _NUMBER.fullmatch(value) else None
    else:
        number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    least, most = _RANGES[validator.type]
    return (
        number is not None
        and (least is None or number >= least)
        and (most is None or number <= most)
        and not (validator.type == "POSITIVE_NUMBER" and number == 0)
    )


def _is_within(count: int, validator: Validator) -> bool:
    least, most = _bounds(validator)
    return (least is None or count >= least) and (most is None or count <= most)


def _bounds(validator: Validator) -> tuple[int | None, int | None]:
    numbers = [
        int(argument) if argument.isdecimal() else None for argument in validator.arguments[:2]
    ]
    least, most = (*numbers, None, None)[:2]
    return least, most


def _rule_text(validator: Validator) -> str:
    match validator.type:
        case "REGEX":
            return f"must match {validator.arguments[0]}"
        case "STRING_LENGTH":
            return f"must have {_span(validator)} characters"
        case "TABLE_ROW_COUNT":
            return f"must have {_span(validator)} rows"
    return _SAID[validator.type]


def _span(validator: Validator) -> str:
    least, most = _bounds(validator)
    if most is None:
        return f"at least {least}"
    return f"{least or 0} to {most}" if least != most else f"{most}"
