"""Write the form of a template as a `[[tag]]` or `[[client]]` block of twite.toml."""

import re
import textwrap
from collections.abc import Iterator
from typing import Final

from twite.config.template import toml_key, toml_value
from twite.redaction.vocabulary import promises_secret
from twite.tags.json_tree import Tree
from twite.tags.template.fields import TABLES, shown, values_of
from twite.tags.template.form import FormRow, form_rows
from twite.tags.template.template import Template, TemplateKind

_WIDTH: Final = 100
_MOST_CHOICES: Final = 20


def form_block(template: Template, file: str) -> str:
    """Return the block, or "" for a variable, which only a container can use.

    Required fields and defaults are set. Other fields are comments.
    """
    if template.kind is TemplateKind.VARIABLE:
        return ""
    table = "tag" if template.kind is TemplateKind.TAG else "client"
    name = re.sub(r"[^a-z0-9]+", "-", template.name.lower()).strip("-") or table
    lines = [f"[[{table}]]", f"name = {toml_value(name)}", f"template = {toml_value(file)}"]
    if table == "tag":
        lines.append(f"events = {toml_value(['purchase'])}")
    rows = form_rows(template.fields)
    if rows:
        lines += ["", f"[{table}.fields]"]
    used = shown(template.fields, values_of(template.fields, {}))
    for row in rows:
        if "[]." not in row.name:
            columns = [column for column in rows if column.name.startswith(f"{row.name}[].")]
            lines += _lines(row, columns, is_used=row.name in used)
    return "\n".join(lines) + "\n"


def _lines(row: FormRow, columns: list[FormRow], *, is_used: bool) -> Iterator[str]:
    label = f"{row.label or row.name}{' (required)' if row.required else ''}"
    yield from _comment(label)
    if row.choices:
        more = ["…"] if len(row.choices) > _MOST_CHOICES else []
        yield from _comment(
            " or ".join([*map(_shown, row.choices[:_MOST_CHOICES]), *more]).replace("\n", " ")
        )
    if row.when:
        yield from _comment(f"Only if {row.when}")
    is_set = is_used and (row.required or row.default not in (None, "", False))
    mark = "" if is_set else "# "
    yield f"{mark}{toml_key(row.name)} = {toml_value(_value(row, columns))}"


def _value(row: FormRow, columns: list[FormRow]) -> Tree:
    if row.default is not None:
        return row.default
    if row.type in TABLES:
        return [{column.name.partition("[].")[2]: _value(column, []) for column in columns}]
    if row.type == "TEXT" and promises_secret(f"{row.name} {row.label}"):
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+", "_", row.name)
        return f"env:{words.upper().strip('_')}"
    return ""


def _shown(value: Tree) -> str:
    return toml_value("" if value is None else value)


def _comment(text: str) -> Iterator[str]:
    printable = "".join(char if char.isprintable() else " " for char in text)
    yield from (f"# {line}" for line in textwrap.wrap(printable, _WIDTH - 2))
