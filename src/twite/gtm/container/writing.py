"""Write a Container as container.toml, for people to read and edit. Defaults are left out."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from twite.domain.json_tree import Tree
from twite.gtm.container.parts import Container, ContainerUnusable
from twite.gtm.container.reading import TemplateFile


def written(
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
    raise ContainerUnusable(place=place, message="is null, which TOML has no word for")


def _list(tree: list[Tree], place: str) -> str:
    values = [_value(child, f"{place}[{at}]") for at, child in enumerate(tree)]
    if any(isinstance(child, dict | list) for child in tree):
        return "[\n" + "".join(f"  {value},\n" for value in values) + "]"
    return f"[{', '.join(values)}]"


def _text(text: str) -> str:
    # JSON's escapes are valid in TOML, which needs one more.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(text: str) -> str:
    return text if _BARE.fullmatch(text) else _text(text)


_BARE: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_COMMENTED: Final = re.compile(r"[\x00-\x08\n-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_BELOW: Final = frozenset({"fields", "secrets", "set"})
_TEMPLATES: Final = "# The templates that the parts below speak of, and where each is."
_CLIENTS: Final = """\
# Who claims a request; the highest priority is asked first. Without a template: one of Twite's own
# readings (`reads`: ga4, measurement_protocol, data_tag), under this name."""
_VARIABLES: Final = """\
# Variables. Anywhere in texts below, {{name}} stands for one."""
_TRIGGERS: Final = """\
# Triggers. All conditions of one must hold; "All Events" is always there, and always fits."""
_TAGS: Final = """\
# Tags. One of `triggers` must fit, and none of `unless`. `secrets` says where a field's value is
# kept: "sealed:NAME" (in the store), "env:NAME" or "file:PATH"."""
_CHANGES: Final = """\
# Transformations: what tags see of the event. Triggers see it as it came."""
