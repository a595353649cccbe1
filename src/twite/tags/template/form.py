"""The form of a template as rows: each field and column, when it is used, and its value."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from twite.tags.json_tree import Tree
from twite.tags.template.fields import (
    CHOICES,
    HOLDS_NOTHING,
    EnablingCondition,
    Field,
    shown,
    values_of,
)
from twite.tags.template.template import Template
from twite.tags.template.texts import names_in

# Google services that need an account.
GOOGLE_SERVICES: Final = ("getGoogleAuth", "BigQuery", "Firestore")
_SWITCHES: Final = CHOICES | {"CHECKBOX"}
_MARKUP: Final = re.compile(r"<[^<>]*>")


class FormRow(msgspec.Struct, frozen=True, kw_only=True):
    """A field, or a column named `TABLE[].COLUMN`. `default` is its value in a new form.

    `when` is the condition under which the field is used, "" for always.
    """

    name: str
    type: str
    label: str = ""
    help: str = ""
    required: bool = False
    default: Tree = None
    choices: tuple[Tree, ...] = ()
    when: str = ""


def form_rows(fields: tuple[Field, ...]) -> tuple[FormRow, ...]:
    return tuple(_rows(fields, values_of(fields, {}), ()))


def is_switched_off(
    fields: tuple[Field, ...], given: Mapping[str, Tree], service: str, *, defaults: bool = True
) -> bool:
    """Return whether the form hides all fields about a service that it can hide.

    Templates with an optional service hide its fields until the service is enabled. `service` is
    a word in the names or labels of these fields.
    """
    word = service.lower()
    rows = form_rows(fields)
    hidden = [
        row.name
        for row in rows
        if row.when and row.type not in _SWITCHES and word in f"{row.name} {row.label}".lower()
    ]
    if not hidden:
        return False
    values = values_of(fields, given) if defaults else given
    # A field set by a variable may either hide or show others.
    deciding = {row.name for row in rows if any(names_in(values.get(row.name)))}
    conditions = {name for row in rows for name in deciding if name in row.when}
    return not conditions and shown(fields, values).isdisjoint(hidden)


def google_calls(
    template: Template, fields: Mapping[str, Tree], *, defaults: bool = True
) -> frozenset[str]:
    return frozenset(
        api
        for api in GOOGLE_SERVICES
        if requires(template, api)
        and not is_switched_off(template.fields, fields, api, defaults=defaults)
    )


def requires(template: Template, api: str) -> bool:
    return re.search(rf"""require\(['"]{api}['"]\)""", template.code.text) is not None


def _rows(
    fields: tuple[Field, ...], defaults: dict[str, Tree], above: tuple[str, ...], table: str = ""
) -> Iterator[FormRow]:
    for field in fields:
        own = " or ".join(map(_condition_text, field.conditions))
        whens = (*above, own) if own else above
        if field.type not in HOLDS_NOTHING:
            yield FormRow(
                name=f"{table}{field.name}",
                type=field.type,
                label=_plain(field.shown),
                help=_plain(field.help or field.hint),
                required=any(
                    rule.type == "NON_EMPTY" and not rule.conditions for rule in field.validators
                ),
                default=defaults.get(field.name),
                choices=tuple(choice.value for choice in field.choices),
                when=_all(whens),
            )
        yield from _rows(field.columns, values_of(field.columns, {}), (), f"{field.name}[].")
        yield from _rows(field.fields, defaults, whens, table)
        for choice in field.choices:
            chosen = EnablingCondition(field=field.name, type="EQUALS", value=choice.value)
            yield from _rows(choice.fields, defaults, (*whens, _condition_text(chosen)), table)


def _condition_text(condition: EnablingCondition) -> str:
    value = json.dumps(condition.value, ensure_ascii=False)
    match condition.type:
        case "EQUALS":
            return f"{condition.field} = {value}"
        case "NOT_EQUALS":
            return f"{condition.field} is not {value}"
    return f"{condition.field} is set"


def _all(conditions: tuple[str, ...]) -> str:
    conditions = tuple(dict.fromkeys(conditions))
    if len(conditions) == 1:
        return conditions[0]
    return " and ".join(f"({text})" if " or " in text else text for text in conditions)


def _plain(text: str) -> str:
    """Return a text of the form without markup and line breaks."""
    return " ".join(_MARKUP.sub("", text).split())
