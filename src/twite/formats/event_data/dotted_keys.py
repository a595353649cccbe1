"""Build the objects and lists that dotted keys name: `items.0.item_id`."""

from collections.abc import Iterable
from typing import Final

_DEEPEST: Final = 8
_LONGEST_LIST: Final = 1_000


def expanded(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    """Return the tree of the pairs; an object whose keys are all numbers becomes a list.

    If two pairs contradict each other, an object replaces a text, and a later text any value.
    """
    root: dict[str, object] = {}
    for key, value in pairs:
        *way, last = key.split(".", _DEEPEST)[:_DEEPEST]
        inside = root
        for step in way:
            deeper = inside.setdefault(step, {})
            if not isinstance(deeper, dict):
                deeper = inside[step] = {}
            inside = deeper
        inside[last] = value
    return {name: _listed(value) for name, value in root.items()}


def _listed(value: object) -> object:
    if not isinstance(value, dict):
        return value
    inside = {name: _listed(child) for name, child in value.items()}
    if all(name.isascii() and name.isdigit() for name in inside) and len(inside) <= _LONGEST_LIST:
        return [inside[name] for name in sorted(inside, key=lambda name: (len(name), name))]
    return inside
