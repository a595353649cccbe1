"""The fields of a template: what a person fills in, and what of it the code sees as `data`.

Groups and labels hold nothing themselves; nested fields are flat keys. A field whose enabling
conditions do not hold is absent from `data`, an empty table likewise.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from twite.sgtm.tree import Tree, as_list, as_mapping, as_text

HOLDS_NOTHING: Final = frozenset({"GROUP", "LABEL"})
TABLES: Final = frozenset({"SIMPLE_TABLE", "PARAM_TABLE"})
CHOICES: Final = frozenset({"SELECT", "RADIO"})


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """One enabling condition; of several, one is enough.

    `type` is EQUALS, NOT_EQUALS or PRESENT.
    """

    field: str
    type: str
    value: Tree = None


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """An item of a SELECT or RADIO field; `value` keeps its JSON type."""

    value: Tree
    shown: str
    fields: "tuple[Field, ...]" = ()


class Validator(msgspec.Struct, frozen=True, kw_only=True):
    """A rule for a field's text, as NON_EMPTY or REGEX with its arguments."""

    type: str
    arguments: tuple[str, ...] = ()
    message: str = ""


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One field. `columns` are those of a table, `fields` those shown below it."""

    type: str
    name: str
    shown: str = ""
    help: str = ""
    hint: str = ""
    default: Tree = None
    style: str = ""
    choices: tuple[Choice, ...] = ()
    columns: "tuple[Field, ...]" = ()
    fields: "tuple[Field, ...]" = ()
    conditions: tuple[Condition, ...] = ()
    validators: tuple[Validator, ...] = ()


class Remark(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a value that was given for a field."""

    field: str
    message: str


def read_fields(tree: Tree) -> tuple[Field, ...]:
    """Read TEMPLATE_PARAMETERS. Raises WrongShape."""
    return tuple(_field(as_mapping(one)) for one in as_list(tree))


def flat(fields: tuple[Field, ...]) -> Iterator[Field]:
    """Yield every field that may stand in `data`, nested ones too."""
    for field in fields:
        if field.type not in HOLDS_NOTHING:
            yield field
        yield from flat(field.fields)
        for choice in field.choices:
            yield from flat(choice.fields)


def fill(
    fields: tuple[Field, ...], given: Mapping[str, Tree]
) -> tuple[dict[str, Tree], tuple[Remark, ...]]:
    """Return `data` for what a person gave, defaults filled in, and what is wrong with it.

    A name that is no field of the template is remarked on, and kept: templates read such keys too.
    """
    every = {field.name: field for field in flat(fields)}
    values = {
        name: given.get(name, _default(field))
        for name, field in every.items()
        if name in given or _default(field) is not None
    }
    shown = set(_enabled(fields, values))
    filled = {
        name: value
        for name, value in values.items()
        if name in shown and not (every[name].type in TABLES and value == [])
    }
    remarks = [
        Remark(field=name, message="is no field of this template")
        for name in given
        if name not in every
    ]
    remarks += [
        Remark(field=name, message=message)
        for name in every
        if name in shown
        for message in _wrong(every[name], filled.get(name))
    ]
    return {**filled, **{k: v for k, v in given.items() if k not in every}}, tuple(remarks)


def _field(tree: Mapping[str, Tree]) -> Field:
    return Field(
        type=as_text(tree.get("type")),
        name=as_text(tree.get("name")),
        shown=as_text(tree.get("displayName")) or as_text(tree.get("checkboxText")),
        help=as_text(tree.get("help")),
        hint=as_text(tree.get("valueHint")),
        default=tree.get("defaultValue"),
        style=as_text(tree.get("groupStyle")),
        choices=tuple(
            _choice(one)
            for key in ("selectItems", "radioItems")
            for one in map(as_mapping, as_list(tree.get(key)))
        ),
        columns=_columns(tree),
        fields=read_fields(tree.get("subParams")),
        conditions=tuple(
            Condition(
                field=as_text(one.get("paramName")),
                type=as_text(one.get("type")),
                value=one.get("paramValue"),
            )
            for one in map(as_mapping, as_list(tree.get("enablingConditions")))
        ),
        validators=tuple(
            Validator(
                type=as_text(one.get("type")),
                arguments=tuple(map(str, as_list(one.get("args")))),
                message=as_text(one.get("errorMessage")),
            )
            for one in map(as_mapping, as_list(tree.get("valueValidators")))
        ),
    )


def _choice(tree: Mapping[str, Tree]) -> Choice:
    return Choice(
        value=tree.get("value"),
        shown=as_text(tree.get("displayValue")),
        fields=read_fields(tree.get("subParams")),
    )


def _columns(tree: Mapping[str, Tree]) -> tuple[Field, ...]:
    simple = [as_mapping(one) for one in as_list(tree.get("simpleTableColumns"))]
    wrapped = [
        as_mapping(as_mapping(one).get("param")) for one in as_list(tree.get("paramTableColumns"))
    ]
    return tuple(_field(one) for one in (*simple, *wrapped))


def _default(field: Field) -> Tree:
    """Return what an untouched field holds: what the form shows before anybody fills it in."""
    if field.default is not None:
        return field.default
    match field.type:
        case "CHECKBOX":
            return False
        case "TEXT":
            return ""
        case "SELECT" | "RADIO" if field.choices:
            return field.choices[0].value
    return None


def _enabled(fields: tuple[Field, ...], values: Mapping[str, Tree]) -> Iterator[str]:
    for field in fields:
        if not _holds(field.conditions, values):
            continue
        yield field.name
        yield from _enabled(field.fields, values)
        for choice in field.choices:
            if values.get(field.name) == choice.value:
                yield from _enabled(choice.fields, values)


def _holds(conditions: tuple[Condition, ...], values: Mapping[str, Tree]) -> bool:
    return not conditions or any(_met(one, values.get(one.field)) for one in conditions)


def _met(condition: Condition, value: Tree) -> bool:
    match condition.type:
        case "EQUALS":
            return value == condition.value
        case "NOT_EQUALS":
            return value != condition.value
        case "PRESENT":
            return value not in (None, "", False)
    return True


def _wrong(field: Field, value: Tree) -> Iterator[str]:
    if field.type == "CHECKBOX" and not isinstance(value, bool):
        yield "takes true or false"
    elif field.type in TABLES and value is not None and not isinstance(value, list):
        yield "takes a list of rows"
    for validator in field.validators:
        if not _valid(validator, value):
            yield validator.message or _RULES.get(validator.type, validator.type)


def _valid(validator: Validator, value: Tree) -> bool:
    text = value if isinstance(value, str) else "" if value is None else str(value)
    match validator.type:
        case "NON_EMPTY":
            return text != ""
        case "REGEX" if text and validator.arguments:
            try:
                return re.fullmatch(validator.arguments[0], text) is not None
            except re.error:  # a pattern of RE2's that Python does not know
                return True
        case "NUMBER" | "DECIMAL" | "NON_NEGATIVE_NUMBER" | "POSITIVE_NUMBER" if text:
            return re.fullmatch(r"-?\d+(\.\d+)?", text) is not None
    return True


_RULES: Final = {
    "NON_EMPTY": "must not be empty",
    "REGEX": "does not have the right form",
    "NUMBER": "takes a number",
    "DECIMAL": "takes a number",
    "NON_NEGATIVE_NUMBER": "takes a number",
    "POSITIVE_NUMBER": "takes a number",
}
