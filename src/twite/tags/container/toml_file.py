"""Read and write container.toml: tables `[[tag]]` … `[[transformation]]`, and template files."""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Final

import msgspec
from msgspec import inspect

from twite.tags.container.parts import (
    Container,
    ContainerClient,
    ContainerTag,
    ContainerTrigger,
    ContainerUnusable,
    Transformation,
    Variable,
)
from twite.tags.json_tree import Tree

_WHERE: Final = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*)`")
_MISSING: Final = re.compile(r"Object missing required field `(.*)`")
_WRONG: Final = re.compile(r"Expected `(.*)`, got `(.*)`")
_WRONG_VALUE: Final = re.compile(r"Invalid enum value '(.*)'", re.DOTALL)
_TYPE_NAMES: Final[Mapping[str, str]] = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "object | null": "a table",
}
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_COMMENTED: Final = re.compile(r"[\x00-\x08\n-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_BELOW: Final = frozenset({"fields", "secrets", "set"})
_TEMPLATES: Final = "# Templates used by the parts below, and their files."
_CLIENTS: Final = """\
# Clients, which claim requests in the order of their priority. A client without a template stands
# for one of Twite's own formats (`reads`: ga4, measurement_protocol, data_tag)."""
# Clients, which claim requests in the order of their priority. A client without a template stands
# for one of Twite's own formats (`reads`: ga4, measurement_protocol, data_tag)."""
_VARIABLES: Final = """\
# Variables. In any text below, {{name}} inserts the value of a variable."""
# Variables. In any text below, {{name}} inserts the value of a variable."""
_TRIGGERS: Final = """\
# Triggers. All conditions must hold, and all triggers of `all_of` must match. The trigger
# "All Events" always exists, and always matches."""
# Triggers. All conditions must hold, and all triggers of `all_of` must match. The trigger
# "All Events" always exists, and always matches."""
_TAGS: Final = """\
# Tags. One of `triggers` must match, and none of `unless`. `secrets` says where a field's value is
# stored: "sealed:NAME" (in the store), "env:NAME" or "file:PATH"."""
# Tags. One of `triggers` must match, and none of `unless`. `secrets` says where a field's value is
# stored: "sealed:NAME" (in the store), "env:NAME" or "file:PATH"."""
_CHANGES: Final = """\
# Transformations change the event that tags see. Triggers see the original event."""


class TemplateFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    file: str


class ContainerFile(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    name: str = ""
    public_id: str = "GTM-TWITE"
    version: str = "1"
    template: tuple[TemplateFile, ...] = ()
    client: tuple[ContainerClient, ...] = ()
    variable: tuple[Variable, ...] = ()
    trigger: tuple[ContainerTrigger, ...] = ()
    tag: tuple[ContainerTag, ...] = ()
    transformation: tuple[Transformation, ...] = ()


def container_of_toml(text: str) -> tuple[Container, tuple[TemplateFile, ...]]:
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
        # Python rejects numbers of more than 4,300 digits.
        raise ContainerUnusable("", "contains a number with too many digits") from None
    except RecursionError:
        raise ContainerUnusable("", "is nested too deeply") from None
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
        raise ContainerUnusable(place, "is a date or time. Write it in quotes")


def _not_toml(message: str) -> ContainerUnusable:
    found = _WHERE.search(message)
    where = f"line {found[1]}, column {found[2]}" if found and found[1] else "the end"
    what = _WHERE.sub("", message)
    return ContainerUnusable(
        where,
        f"not TOML: {what[:1].lower()}{what[1:]}. "
        "Put strings in quotes and table names in [brackets]",
    )


def _misshapen(message: str) -> ContainerUnusable:
    what, _, place = message.rpartition(" - at ")
    what, place = (what, place.strip("`")) if what else (message, "")
    place = place.removeprefix("$").removeprefix(".")
    unknown = _UNKNOWN.fullmatch(what)
    if unknown is not None:
        kind = _kind_at(place)
        fields = kind.fields if isinstance(kind, inspect.StructType) else ()
        known = [field.name for field in fields]
        place = f"{place}.{unknown[1]}" if place else unknown[1]
        return ContainerUnusable(place, f"unknown key. {_nearest(unknown[1], known)}")
    missing = _MISSING.fullmatch(what)
    if missing is not None:
        place = f"{place}.{missing[1]}" if place else missing[1]
        return ContainerUnusable(place, "is missing")
    wrong = _WRONG.fullmatch(what)
    if wrong is not None:
        there, is_ = _TYPE_NAMES.get(wrong[1], wrong[1]), _TYPE_NAMES.get(wrong[2], wrong[2])
        return ContainerUnusable(place, f"must be {there}, not {is_}")
    value = _WRONG_VALUE.fullmatch(what)
    if value is not None:
        kind = _kind_at(place)
        choices = kind.cls if isinstance(kind, inspect.EnumType) else ()
        known = sorted(str(choice.value) for choice in choices)
        return ContainerUnusable(place, f"{value[1]!r} is not known. {_nearest(value[1], known)}")
    return ContainerUnusable(place, what)


def _nearest(word: str, known: Sequence[str]) -> str:
    close = get_close_matches(word, known, n=1, cutoff=0.6)
    return f"Did you mean {close[0]!r}?" if close else f"Available: {', '.join(known)}"


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


def container_text(
    container: Container, files: Sequence[TemplateFile], *, remarks: Sequence[str] = ()
) -> str:
    """Return the file's text; `remarks` are comment lines at its end.

    Raises ContainerUnusable for values that TOML cannot hold.
    """
    blocks = [
        "\n".join(
            f"{key} = {_value(value, key)}"
            for key, value in (
                ("name", container.name),
                ("public_id", container.public_id),
                ("version", container.version),
            )
        )
    ]
    for name, comment, parts in (
        ("template", _TEMPLATES, files),
        ("client", _CLIENTS, container.clients),
        ("variable", _VARIABLES, container.variables),
        ("trigger", _TRIGGERS, container.triggers),
        ("tag", _TAGS, container.tags),
        ("transformation", _CHANGES, container.transformations),
    ):
        if parts:
            blocks.append(comment)
        blocks += [
            "\n".join(_table(name, _plain(part), f"{name}[{at}]")) for at, part in enumerate(parts)
        ]
    if remarks:
        blocks.append("\n".join(f"# {_COMMENTED.sub(' ', remark)}" for remark in remarks))
    return "\n\n".join(blocks) + "\n"


def _plain(part: msgspec.Struct) -> Mapping[str, Tree]:
    return msgspec.json.decode(msgspec.json.encode(part), type=dict[str, Tree])


def _table(name: str, part: Mapping[str, Tree], place: str) -> Iterator[str]:
    yield f"[[{name}]]"
    below = [key for key, value in part.items() if isinstance(value, dict) and key in _BELOW]
    for key, value in part.items():
        if key not in below:
            yield f"{_key(key)} = {_value(value, f'{place}.{key}')}"
    for key in below:
        fields = part[key]
        if isinstance(fields, dict) and fields:
            yield f"[{name}.{key}]"
            for inner, value in fields.items():
                yield f"{_key(inner)} = {_value(value, f'{place}.{key}.{inner}')}"


def _value(tree: Tree, place: str) -> str:
    if isinstance(tree, bool):
        return "true" if tree else "false"
    if isinstance(tree, str):
        return _text(tree)
    if isinstance(tree, int | float):
        return repr(tree)
    if isinstance(tree, list):
        return _list(tree, place)
    if isinstance(tree, dict):
        pairs = [f"{_key(key)} = {_value(child, f'{place}.{key}')}" for key, child in tree.items()]
        return f"{{ {', '.join(pairs)} }}" if pairs else "{}"
    raise ContainerUnusable(place, "is null, which TOML cannot express")


def _list(tree: list[Tree], place: str) -> str:
    values = [_value(child, f"{place}[{at}]") for at, child in enumerate(tree)]
    if any(isinstance(child, dict | list) for child in tree):
        return "[\n" + "".join(f"  {value},\n" for value in values) + "]"
    return f"[{', '.join(values)}]"


def _text(text: str) -> str:
    # JSON's escapes are valid in TOML, which also requires an escape for DEL.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(text: str) -> str:
    return text if _BARE.fullmatch(text) else _text(text)
