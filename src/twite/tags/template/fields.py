"""Fields of a template: its form, and the `data` object for its code.

Groups and labels have no value; nested fields are top-level keys. A field whose enabling conditions
do not hold is absent from `data`. So is an empty table, and so is an empty text unless the template
allows that.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from twite.tags.json_tree import Tree, as_list, as_mapping, as_text

HOLDS_NOTHING: Final = frozenset({"GROUP", "LABEL"})
TABLES: Final = frozenset({"SIMPLE_TABLE", "PARAM_TABLE"})
CHOICES: Final = frozenset({"SELECT", "RADIO"})
_SHOWN_TEXTS: Final = frozenset(
    {"displayName", "checkboxText", "help", "valueHint", "displayValue", "errorMessage"}
)


class EnablingCondition(msgspec.Struct, frozen=True, kw_only=True):
    """An enabling condition. If a field has several enabling conditions, one of them must hold.

    `type` is EQUALS, NOT_EQUALS or PRESENT.
    """

    field: str
    type: str
    value: Tree = None


class FieldChoice(msgspec.Struct, frozen=True, kw_only=True):
    """An item of a SELECT or RADIO field; `value` keeps its JSON type."""

    value: Tree
    shown: str
    fields: "tuple[Field, ...]" = ()


class Validator(msgspec.Struct, frozen=True, kw_only=True):
    """A validation rule, such as NON_EMPTY or REGEX; it applies while a condition holds."""

    type: str
    arguments: tuple[str, ...] = ()
    message: str = ""
    conditions: tuple[EnablingCondition, ...] = ()


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One field. `columns` are the columns of a table, `fields` the nested fields.

    `unset` allows no choice, and `from_variables` a variable as the value. With `empty`, text may
    be empty. The values of a `unique` column must differ.
    """

    type: str
    name: str
    shown: str = ""
    help: str = ""
    hint: str = ""
    default: Tree = None
    style: str = ""
    choices: tuple[FieldChoice, ...] = ()
    columns: "tuple[Field, ...]" = ()
    fields: "tuple[Field, ...]" = ()
    conditions: tuple[EnablingCondition, ...] = ()
    validators: tuple[Validator, ...] = ()
    unset: bool = False
    from_variables: bool = False
    empty: bool = False
    unique: bool = False


def read_fields(tree: Tree) -> tuple[Field, ...]:
    """Read TEMPLATE_PARAMETERS. Raises WrongShape."""
    return tuple(_field(as_mapping(field)) for field in as_list(tree))


def shown_text(tree: Tree) -> str:
    """Return a text of the form: a string, or the `text` of an object (for translators)."""
    if isinstance(tree, dict):
        tree = tree.get("text")
    return tree if isinstance(tree, str) else ""


def unreadable_texts(tree: Tree) -> Iterator[str]:
    """Yield the place of each text that is neither a string nor such an object: `help of NAME`."""
    if isinstance(tree, list):
        for child in tree:
            yield from unreadable_texts(child)
    elif isinstance(tree, dict):
        for key in sorted(_SHOWN_TEXTS & tree.keys()):
            value = tree[key]
            text = value.get("text") if isinstance(value, dict) else value
            if value is not None and not isinstance(text, str):
                yield f"{key} of {tree.get('name') or tree.get('value') or 'a field'}"
        for key, child in tree.items():
            if key not in _SHOWN_TEXTS:
                yield from unreadable_texts(child)


def flat(fields: tuple[Field, ...]) -> list[Field]:
    found: list[Field] = []
    _collect(fields, found)
    return found


def fill(
    fields: tuple[Field, ...],
    given: Mapping[str, Tree],
    *,
    written: Mapping[str, Tree] | None = None,
) -> dict[str, Tree]:
    """Return `data` for the given values, with defaults for untouched fields.

    `written` has the fields before variables were replaced by their values in `given`: it tells a
    field whose variable has no value, which is absent, from an untouched field. Names that are not
    fields of the template are kept, because templates read such keys, too.
    """
    form = flat(fields)
    values = _values(form, given, given if written is None else written)
    seen = shown(fields, values)
    data = {name: value for name, value in values.items() if name in seen}
    known = {field.name for field in form}
    return data | {name: value for name, value in given.items() if name not in known}


def values_of(
    fields: tuple[Field, ...],
    given: Mapping[str, Tree],
    *,
    written: Mapping[str, Tree] | None = None,
) -> dict[str, Tree]:
    return _values(flat(fields), given, given if written is None else written)


def shown(
    fields: tuple[Field, ...],
    values: Mapping[str, Tree],
    *,
    unknown: frozenset[str] = frozenset(),
) -> frozenset[str]:
    found: set[str] = set()
    _show(fields, values, unknown, found)
    return frozenset(found)


def hold(
    conditions: tuple[EnablingCondition, ...],
    values: Mapping[str, Tree],
    *,
    unknown: frozenset[str] = frozenset(),
) -> bool:
    return not conditions or any(
        condition.field not in unknown and _met(condition, values.get(condition.field))
        for condition in conditions
    )


def _collect(fields: tuple[Field, ...], found: list[Field]) -> None:
    for field in fields:
        if field.type not in HOLDS_NOTHING:
            found.append(field)
        if field.fields:
            _collect(field.fields, found)
        for choice in field.choices:
            if choice.fields:
                _collect(choice.fields, found)


def _values(
    form: list[Field], given: Mapping[str, Tree], touched: Mapping[str, Tree]
) -> dict[str, Tree]:
    values: dict[str, Tree] = {}
    for field in form:
        if field.name not in touched:
            value = _default(field)
        elif field.name not in given or _is_emptied(field, touched[field.name]):
            continue
        else:
            value = given[field.name]
        if value is not None and not (value == [] and field.type in TABLES):
            values[field.name] = value
    return values


def _field(tree: Mapping[str, Tree]) -> Field:
    return Field(
        type=as_text(tree.get("type")),
        name=as_text(tree.get("name")),
        shown=shown_text(tree.get("displayName")) or shown_text(tree.get("checkboxText")),
        help=shown_text(tree.get("help")),
        hint=shown_text(tree.get("valueHint")),
        default=tree.get("defaultValue"),
        style=as_text(tree.get("groupStyle")),
        choices=tuple(
            FieldChoice(
                value=item.get("value"),
                shown=shown_text(item.get("displayValue")),
                fields=read_fields(item.get("subParams")),
            )
            for key in ("selectItems", "radioItems")
            for item in map(as_mapping, as_list(tree.get(key)))
        ),
        columns=_columns(tree),
        fields=read_fields(tree.get("subParams")),
        conditions=_conditions(tree),
        validators=tuple(
            Validator(
                type=as_text(rule.get("type")),
                arguments=tuple(map(str, as_list(rule.get("args")))),
                message=shown_text(rule.get("errorMessage")),
                conditions=_conditions(rule),
            )
            for rule in map(as_mapping, as_list(tree.get("valueValidators")))
        ),
        unset=tree.get("notSetText") is not None,
        from_variables=tree.get("macrosInSelect") is True,
        empty=tree.get("canBeEmptyString") is True,
        unique=tree.get("isUnique") is True,
    )


def _conditions(tree: Mapping[str, Tree]) -> tuple[EnablingCondition, ...]:
    return tuple(
        EnablingCondition(
            field=as_text(condition.get("paramName")),
            type=as_text(condition.get("type")),
            value=condition.get("paramValue"),
        )
        for condition in map(as_mapping, as_list(tree.get("enablingConditions")))
    )


def _columns(tree: Mapping[str, Tree]) -> tuple[Field, ...]:
    simple = [as_mapping(column) for column in as_list(tree.get("simpleTableColumns"))]
    wrapped = [
        {**as_mapping(column.get("param")), "isUnique": column.get("isUnique")}
        for column in map(as_mapping, as_list(tree.get("paramTableColumns")))
    ]
    return tuple(_field(column) for column in (*simple, *wrapped))


def _default(field: Field) -> Tree:
    if field.default is not None and not _is_emptied(field, field.default):
        return field.default
    match field.type:
        case "CHECKBOX":
            return False
        case "TEXT" if field.empty:
            return ""
        case "SELECT" if field.unset:
            return ""
        case "SELECT" | "RADIO" if field.choices:
            return field.choices[0].value
    return None


def _is_emptied(field: Field, value: Tree) -> bool:
    """Return whether an empty text is undefined for this field, as in Google's editor."""
    return field.type == "TEXT" and value == "" and not field.empty


def _show(
    fields: tuple[Field, ...],
    values: Mapping[str, Tree],
    unknown: frozenset[str],
    found: set[str],
) -> None:
    for field in fields:
        if field.conditions and not hold(field.conditions, values, unknown=unknown):
            continue
        found.add(field.name)
        if field.fields:
            _show(field.fields, values, unknown, found)
        for choice in field.choices:
            if choice.fields and values.get(field.name) == choice.value:
                _show(choice.fields, values, unknown, found)


def _met(condition: EnablingCondition, value: Tree) -> bool:
    match condition.type:
        case "EQUALS":
            return _or_empty(value) == _or_empty(condition.value)
        case "NOT_EQUALS":
            return _or_empty(value) != _or_empty(condition.value)
        case "PRESENT":
            return value not in (None, "", False)
    return True


def _or_empty(value: Tree) -> Tree:
    """For a condition, an absent text and an empty text are the same."""
    return "" if value is None else value
