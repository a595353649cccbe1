"""Convert parameters of an export to plain values.

`TEMPLATE` is a text that may hold `{{names}}`, and is undefined without a value; `BOOLEAN` and
`INTEGER` are written as texts; `LIST` and `MAP` hold parameters; references are names or ids.
"""

from collections.abc import Sequence
from typing import Final

from twite.domain.json_tree import Tree
from twite.gtm.container.parts import ContainerUnusable
from twite.gtm.importer.lines import LeftOut
from twite.gtm.importer.reading import ExportPart, spelled
from twite.gtm.template.texts import UNDEFINED, Value

_PLAIN: Final = frozenset({"TEMPLATE", "TAG_REFERENCE", "TRIGGER_REFERENCE", "TYPE_UNSPECIFIED"})


def values(parameters: Sequence[ExportPart]) -> dict[str, Tree]:
    """Return what a list of parameters says by key; what is undefined is absent."""
    read = {parameter.text("key"): value(parameter) for parameter in parameters}
    return {key: tree for key, tree in read.items() if tree is not UNDEFINED}


def value(parameter: ExportPart) -> Value:
    """Return one parameter's value. Raises ContainerUnusable."""
    word = spelled(parameter.text("type"))
    if word == "LIST":
        # In a list what is undefined has a place: an empty text holds it.
        items = [value(piece) for piece in parameter.pieces("list")]
        return ["" if item is UNDEFINED else item for item in items]
    if word == "MAP":
        return dict(values(parameter.pieces("map")))
    held = parameter.tree.get("value")
    if held is None:
        return UNDEFINED
    text = parameter.text("value")
    return _plain(word, text, parameter)


def _plain(word: str, text: str, parameter: ExportPart) -> Tree:
    if word == "BOOLEAN":
        # One that a variable feeds is a TEMPLATE in good exports, and may be none in others.
        return text == "true" if text in {"true", "false"} else text
    if word == "INTEGER":
        return _whole(text, parameter)
    if word in _PLAIN:
        return text
    message = f"the type {word!r} of a parameter is not known"
    raise ContainerUnusable(place=f"{parameter.place}.type", message=message)


def _whole(text: str, parameter: ExportPart) -> Tree:
    if "{{" in text:
        return text
    digits = text.strip().removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > len("9007199254740991"):
        message = "an INTEGER was expected"
        raise ContainerUnusable(place=f"{parameter.place}.value", message=message)
    return int(text)


def text_in(held: dict[str, Tree], key: str) -> str:
    """Return a value as a text; what is none, and has none, is an empty one."""
    found = held.get(key)
    if isinstance(found, bool):
        return "true" if found else "false"
    return str(found) if isinstance(found, str | int) else ""


def flag_in(held: dict[str, Tree], key: str) -> bool:
    """Return a flag among values."""
    return is_set(held.get(key))


def is_set(flag: Tree) -> bool:
    """Say whether a flag is set: exports write it as a boolean, and parameters as a text."""
    return flag is True or flag == "true"


def rows_in(held: dict[str, Tree], key: str) -> list[dict[str, Tree]]:
    """Return the rows of a table among values. Raises LeftOut for what is none."""
    found = held.get(key)
    rows = found if isinstance(found, list) else [] if found in (None, "") else [found]
    if not all(isinstance(row, dict) for row in rows):
        raise LeftOut(f"its {key} is not a table")
    return [row for row in rows if isinstance(row, dict)]
