"""Get and set values in an event by path, as `user_data.address.city` and `items.0.price`.

A key that contains dots, as `x-ga-mp2-user_properties.plan`, wins over the path.
"""

from collections.abc import Mapping, Sequence

from twite.domain.json_tree import Tree
from twite.gtm.template.texts import UNDEFINED, Value


def at(event: Mapping[str, Tree], path: str) -> Value:
    """Return the value at a path."""
    if path in event:
        return event[path]
    value: Tree = dict(event)
    for step in path.split("."):
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isascii() and step.isdigit():
            if len(step) > len(str(len(value))) or int(step) >= len(value):
                return UNDEFINED
            value = value[int(step)]
        else:
            return UNDEFINED
    return value


def without(event: Mapping[str, Tree], path: str) -> dict[str, Tree]:
    """Return the event without the value; in a list it becomes null.

    Removing it would shift the indexes of later paths.
    """
    if path in event:
        return {key: value for key, value in event.items() if key != path}
    first, _, rest = path.partition(".")
    if rest and first in event:
        return {**event, first: _below(event[first], rest)}
    return dict(event)


def _below(value: Tree, path: str) -> Tree:
    if isinstance(value, dict):
        return without(value, path)
    first, _, rest = path.partition(".")
    if not isinstance(value, list) or not (first.isascii() and first.isdigit()):
        return value
    return [
        child if str(place) != first else _below(child, rest) if rest else None
        for place, child in enumerate(value)
    ]


def put(event: Mapping[str, Tree], path: str, value: Tree) -> dict[str, Tree]:
    """Return the event with the value at the path; missing objects are created."""
    first, _, rest = path.partition(".")
    if path in event or not rest:
        return {**event, path: value}
    below = event.get(first)
    return {**event, first: put(below if isinstance(below, dict) else {}, rest, value)}


def only(event: Mapping[str, Tree], paths: Sequence[str]) -> dict[str, Tree]:
    """Return only the values at these paths."""
    kept: dict[str, Tree] = {}
    for path in paths:
        value = at(event, path)
        if value is not UNDEFINED:
            kept = {**kept, path: value} if path in event else put(kept, path, value)
    return kept
