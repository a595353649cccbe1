r"""Secrets of a container: stored elsewhere, and inserted before the container runs.

A secret is a string in `fields` (of a tag, client or variable template), or in another variable's
`value`, `default` or `rows`. The part's `secrets` maps the path of the string, such as
`rows.0.value`, to its storage place. A dot in a step of the path is written `\.`. `{{names}}` in a
secret are replaced as in any other text.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import msgspec

from twite.tags.container.parts import (
    Container,
    ContainerUnusable,
    LookupRow,
    TemplatedPart,
    Variable,
    VariableSource,
)
from twite.tags.json_tree import Tree, as_mapping
from twite.tags.template.texts import literals

Part = TypeVar("Part", bound=TemplatedPart)


def places(container: Container) -> Iterator[str]:
    for part in container.templated:
        yield from part.secrets.values()


def opened(container: Container, secret_at: Callable[[str], str]) -> Container:
    """Return the container with its secrets inserted.

    `secret_at` reads a secret from its storage place. Raises ContainerUnusable for an invalid path,
    and the errors of `secret_at`.
    """
    return msgspec.structs.replace(
        container,
        tags=_all(container.tags, "tag", secret_at),
        variables=_all(container.variables, "variable", secret_at),
        clients=_all(container.clients, "client", secret_at),
    )


def hidden(container: Container) -> Iterator[str]:
    """Yield the secrets in an opened container: they must not be shown.

    Variable names in them are omitted.
    """
    for part in container.templated:
        held = variable_texts(part)
        tree = dict(part.fields) if held is None else held
        for path in part.secrets:
            found = _at(tree, steps(path))
            yield from literals(found) if isinstance(found, str) else ()


def steps(path: str) -> list[str]:
    return [part.replace("\\.", ".") for part in re.split(r"(?<!\\)\.", path)]


def as_step(name: str) -> str:
    return name.replace(".", "\\.")


def put(tree: Tree, path: list[str], text: str) -> Tree:
    """Return the tree with the text put at the path. Raises KeyError for an invalid path."""
    if not path:
        return text
    step, *rest = path
    if isinstance(tree, dict):
        # The last step may be a new key, because the file omits values that are secret.
        return {**tree, step: put(tree[step] if rest else tree.get(step), rest, text)}
    if isinstance(tree, list) and step.isdecimal() and int(step) < len(tree):
        at = int(step)
        return [*tree[:at], put(tree[at], rest, text), *tree[at + 1 :]]
    raise KeyError(step)


def _all(parts: tuple[Part, ...], what: str, secret_at: Callable[[str], str]) -> tuple[Part, ...]:
    return tuple(
        _opened(part, f"{what}[{at}]", secret_at) if part.secrets else part
        for at, part in enumerate(parts)
    )


def _opened(part: Part, place: str, secret_at: Callable[[str], str]) -> Part:
    held = variable_texts(part)
    if held is None:
        fields = _filled(part.fields, part.secrets, f"{place}.fields", secret_at)
        return msgspec.structs.replace(part, fields=fields)
    for path in part.secrets:
        if steps(path)[0] not in held:
            raise _nowhere(place, path)
    held = _filled(held, part.secrets, place, secret_at)
    return msgspec.structs.replace(
        part,
        value=held["value"],
        default=held["default"],
        rows=msgspec.convert(held["rows"], tuple[LookupRow, ...]),
    )


def variable_texts(part: TemplatedPart) -> dict[str, Tree] | None:
    """Return the texts of a variable that may be secret; None if the part has them in `fields`."""
    if not isinstance(part, Variable) or part.type is VariableSource.TEMPLATE:
        return None
    rows: list[Tree] = [{"key": row.key, "value": row.value} for row in part.rows]
    return {"value": part.value, "default": part.default, "rows": rows}


def _at(tree: Tree, path: list[str]) -> Tree:
    for step in path:
        if isinstance(tree, dict):
            tree = tree.get(step)
        elif isinstance(tree, list) and step.isdecimal() and int(step) < len(tree):
            tree = tree[int(step)]
        else:
            return None
    return tree


def _filled(
    tree: Mapping[str, Tree],
    secrets: Mapping[str, str],
    place: str,
    secret_at: Callable[[str], str],
) -> dict[str, Tree]:
    filled: Tree = dict(tree)
    for path, kept in secrets.items():
        try:
            filled = put(filled, steps(path), secret_at(kept))
        except KeyError:
            raise _nowhere(place, path) from None
    return dict(as_mapping(filled))


def _nowhere(place: str, path: str) -> ContainerUnusable:
    return ContainerUnusable(place, f"there is no field {path!r} for the secret")
