"""Places in an event, named as `user_data.address.city` and `items.0.price`.

A key that is there with its dots, as `x-ga-mp2-user_properties.plan`, goes before the path.
"""

from collections.abc import Mapping, Sequence

from twite.domain.json_tree import Tree
from twite.gtm.template.texts import UNDEFINED, Value


def at(event: Mapping[str, Tree], path: str) -> Value:
    """Return what stands there."""
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
    """Return the event without what stands there; a place in a list is empty (null) then.

    Were it gone, the next path would name what follows it.
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
        one if str(place) != first else _below(one, rest) if rest else None
        for place, one in enumerate(value)
    ]


def put(event: Mapping[str, Tree], path: str, value: Tree) -> dict[str, Tree]:
    """Return the event with the value there; objects on the way are made."""
    first, _, rest = path.partition(".")
    if path in event or not rest:
        return {**event, path: value}
    below = event.get(first)
    return {**event, first: put(below if isinstance(below, dict) else {}, rest, value)}


def only(event: Mapping[str, Tree], paths: Sequence[str]) -> dict[str, Tree]:
    """Return what stands in these places, and nothing else."""
    kept: dict[str, Tree] = {}
    for path in paths:
        value = at(event, path)
        if value is not UNDEFINED:
            kept = {**kept, path: value} if path in event else put(kept, path, value)
    return kept
