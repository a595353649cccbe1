"""Read container.toml: tables `[[tag]]` … `[[transformation]]` to a Container.

Templates are files beside it: `[[template]]` gives each a name and a path.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Final

import msgspec
from msgspec import inspect

from twite.domain.json_tree import Tree
from twite.gtm.container.parts import (
    Container,
    ContainerClient,
    ContainerTag,
    ContainerTrigger,
    ContainerUnusable,
    Transformation,
    Variable,
)


class TemplateFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A template's path, relative to the folder of container.toml."""

    name: str
    file: str


class ContainerFile(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """The whole file, as written."""

    name: str = ""
    public_id: str = "GTM-TWITE"
    version: str = "1"
    template: tuple[TemplateFile, ...] = ()
    client: tuple[ContainerClient, ...] = ()
    variable: tuple[Variable, ...] = ()
    trigger: tuple[ContainerTrigger, ...] = ()
    tag: tuple[ContainerTag, ...] = ()
    transformation: tuple[Transformation, ...] = ()


def read(text: str) -> tuple[Container, tuple[TemplateFile, ...]]:
    """Read the file's text, without the templates. Raises ContainerUnusable."""
    try:
        tree = tomllib.loads(text)
        _refuse_other_than_json(tree)
        file = msgspec.convert(tree, ContainerFile)
    except tomllib.TOMLDecodeError as error:
        raise _not_toml(str(error)) from None
    except ValueError as error:
        if isinstance(error, msgspec.ValidationError):
            raise _misshapen(str(error)) from None
        # Python refuses numbers of more than 4,300 digits.
        raise ContainerUnusable(place="", message="holds a number that is too long") from None
    except RecursionError:
        raise ContainerUnusable(place="", message="is nested too deep") from None
    container = Container(
        name=file.name,
        public_id=file.public_id,
        version=file.version,
        tags=file.tag,
        triggers=file.trigger,
        variables=file.variable,
        clients=file.client,
        transformations=file.transformation,
    )
    return container, file.template


def _refuse_other_than_json(tree: Tree, place: str = "") -> None:
    """Raise ContainerUnusable for dates and times, which JSON does not have."""
    if isinstance(tree, dict):
        for key, child in tree.items():
            _refuse_other_than_json(child, f"{place}.{key}" if place else key)
    elif isinstance(tree, list):
        for at, child in enumerate(tree):
            _refuse_other_than_json(child, f"{place}[{at}]")
    elif not isinstance(tree, str | int | float | bool):
        raise ContainerUnusable(place=place, message="is a date or time. Write it in quotes")


def _not_toml(message: str) -> ContainerUnusable:
    found = _WHERE.search(message)
    where = f"line {found[1]}, column {found[2]}" if found and found[1] else "the end"
    what = _WHERE.sub("", message)
    return ContainerUnusable(
        place=where,
        message=f"not TOML: {what[:1].lower()}{what[1:]}. "
        "Texts are in quotes, tables in [brackets]",
    )


def _misshapen(message: str) -> ContainerUnusable:
    what, _, place = message.rpartition(" - at ")
    what, place = (what, place.strip("`")) if what else (message, "")
    place = place.removeprefix("$").removeprefix(".")
    unknown = _UNKNOWN.fullmatch(what)
    if unknown is not None:
        known = list(_fields_at(place))
        close = get_close_matches(unknown[1], known, n=1, cutoff=0.6)
        cure = f"Did you mean {close[0]!r}?" if close else f"Known here: {', '.join(known)}"
        return ContainerUnusable(
            place=f"{place}.{unknown[1]}" if place else unknown[1], message=f"unknown key. {cure}"
        )
    missing = _MISSING.fullmatch(what)
    if missing is not None:
        place = f"{place}.{missing[1]}" if place else missing[1]
        return ContainerUnusable(place=place, message="is missing")
    wrong = _WRONG.fullmatch(what)
    if wrong is not None:
        there, is_ = _NAMES.get(wrong[1], wrong[1]), _NAMES.get(wrong[2], wrong[2])
        return ContainerUnusable(place=place, message=f"must be {there}, not {is_}")
    value = _VALUE.fullmatch(what)
    if value is not None:
        known = sorted(str(choice) for choice in _choices_at(place))
        close = get_close_matches(value[1], known, n=1, cutoff=0.6)
        cure = f"Did you mean {close[0]!r}?" if close else f"Known here: {', '.join(known)}"
        return ContainerUnusable(place=place, message=f"{value[1]!r} is not known. {cure}")
    return ContainerUnusable(place=place, message=what)


def _fields_at(place: str) -> Iterator[str]:
    kind = _kind_at(place)
    if isinstance(kind, inspect.StructType):
        yield from (field.name for field in kind.fields)


def _choices_at(place: str) -> Iterator[object]:
    kind = _kind_at(place)
    if isinstance(kind, inspect.EnumType):
        yield from (choice.value for choice in kind.cls)


def _kind_at(place: str) -> inspect.Type:
    kind = _ROOT
    for step in re.findall(r"\w+|\[", place):
        kind = _some(kind)
        if isinstance(kind, inspect.VarTupleType):
            kind = _some(kind.item_type)
        if isinstance(kind, inspect.StructType):
            kind = next((field.type for field in kind.fields if field.name == step), kind)
    kind = _some(kind)
    return _some(kind.item_type) if isinstance(kind, inspect.VarTupleType) else kind


def _some(kind: inspect.Type) -> inspect.Type:
    if isinstance(kind, inspect.UnionType):
        return next(type_ for type_ in kind.types if not isinstance(type_, inspect.NoneType))
    return kind


_ROOT: Final = inspect.type_info(ContainerFile)
_WHERE: Final = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*)`")
_MISSING: Final = re.compile(r"Object missing required field `(.*)`")
_WRONG: Final = re.compile(r"Expected `(.*)`, got `(.*)`")
_VALUE: Final = re.compile(r"Invalid enum value '(.*)'", re.DOTALL)
_NAMES: Final[Mapping[str, str]] = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "object | null": "a table",
}
