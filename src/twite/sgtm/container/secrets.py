"""Secrets of a container: kept elsewhere, and put in before it runs.

A secret is a text in `fields` (of a tag, client or variable template) or in the `value` of a
constant; the part's `secrets` names it by its path, as `rows.0.value`, and says where it is kept.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import msgspec

from twite.sgtm.container.parts import (
    Client,
    Container,
    ContainerUnusable,
    Source,
    Tag,
    Variable,
)
from twite.sgtm.tree import Tree

Part = TypeVar("Part", bound=Tag | Variable | Client)


def places(container: Container) -> Iterator[str]:
    """Yield where the container's secrets are kept."""
    parts: tuple[Tag | Variable | Client, ...]
    parts = (*container.tags, *container.variables, *container.clients)
    for part in parts:
        yield from part.secrets.values()


def opened(container: Container, secret_at: Callable[[str], str]) -> Container:
    """Return the container with its secrets in it. `secret_at` reads the place where one is kept.

    Raises ContainerUnusable for a path that leads nowhere, and what `secret_at` raises.
    """
    return msgspec.structs.replace(
        container,
        tags=_all(container.tags, "tag", secret_at),
        variables=_all(container.variables, "variable", secret_at),
        clients=_all(container.clients, "client", secret_at),
    )


def put(tree: Tree, path: list[str], text: str) -> Tree:
    """Return the tree with a text there. Raises KeyError for a path that leads nowhere."""
    if not path:
        return text
    step, *rest = path
    if isinstance(tree, dict):
        # The last step makes its key: the secret is what stands there, and nothing else did.
        return {**tree, step: put(tree[step] if rest else tree.get(step), rest, text)}
    if isinstance(tree, list) and step.isdecimal() and int(step) < len(tree):
        at = int(step)
        return [*tree[:at], put(tree[at], rest, text), *tree[at + 1 :]]
    raise KeyError(step)


def _all(parts: tuple[Part, ...], what: str, secret_at: Callable[[str], str]) -> tuple[Part, ...]:
    return tuple(
        _opened(one, f"{what}[{at}]", secret_at) if one.secrets else one
        for at, one in enumerate(parts)
    )


def _opened(part: Part, place: str, secret_at: Callable[[str], str]) -> Part:
    if isinstance(part, Variable) and part.type is Source.CONSTANT:
        kept = part.secrets.get("value")
        if kept is None or len(part.secrets) != 1:
            raise ContainerUnusable(
                place=f"{place}.secrets", message="a constant has one secret, its value"
            )
        return msgspec.structs.replace(part, value=secret_at(kept))
    fields: Mapping[str, Tree] = part.fields
    for path, kept in part.secrets.items():
        try:
            changed = put(dict(fields), path.split("."), secret_at(kept))
        except KeyError:
            raise ContainerUnusable(
                place=f"{place}.secrets.{path}", message="leads to no place in fields"
            ) from None
        fields = changed if isinstance(changed, dict) else fields
    return msgspec.structs.replace(part, fields=fields)
