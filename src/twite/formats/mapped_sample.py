"""A sample of what a mapping reads: the values that its expressions find, where they look for them.

An expression can be turned around as far as it is a path, an alternative, or a comparison with a
constant. A sample for any other expression lacks that value.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from twite.domain.times import spelled
from twite.formats.expressions import Node, compiled
from twite.formats.webhook_map import MappedOptions

_LINES: Final = ({"id": "MUG-1", "name": "Mug", "price": "24.95", "quantity": 2},)
_VALUES: Final[Mapping[str, object]] = {
    "conversion_id": "order-1001",
    "value": "49.90",
    "currency": "EUR",
    "email": "shopper@example.com",
    "twclid": "23opevjt88psuo13lu8d020qkn",
    "consent": "granted",
}
_MOST_LINES: Final = 20
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


def sample_body(options: MappedOptions, now: int) -> bytes:
    """Return the JSON of a message with one conversion, now."""
    values = {**_VALUES, "time": spelled(now), "contents": list(_LINES)}
    if options.minor_units:
        values["value"] = 4990
        values["contents"] = [{**line, "price": 2495} for line in _LINES]
    item: object = {}
    for name, text in options.map.items():
        if name in values:
            item = _put(compiled(text).tree, item, values[name])
    if options.when is not None:
        item = _satisfied(compiled(options.when).tree, item)
    message = compiled(options.message).tree
    if _at(message, item) is None:
        item = _put(message, item, "order.paid")
    if options.each is not None:
        item = _put(compiled(options.each).tree, {}, [item])
    return _ENCODER.encode(item)


def _put(node: Node, here: object, value: object) -> object:
    """Return `here` with the value where the expression looks for it."""
    put = _PUTTERS.get(node["type"])
    return here if put is None else put(node, here, value)


def _at(node: Node, here: object) -> object:
    """Return what an expression of this shape finds in the sample."""
    if node["type"] == "field":
        return here.get(node["value"]) if isinstance(here, dict) else None
    if node["type"] == "index":
        at = max(node["value"], 0)
        return here[at] if isinstance(here, list) and at < len(here) else None
    if node["type"] in {"subexpression", "index_expression", "pipe"}:
        for child in node["children"]:
            here = _at(child, here)
        return here
    if node["type"] in {"or_expression", "flatten"}:
        return _at(node["children"][0], here)
    return here if node["type"] in {"current", "identity"} else None


def _put_field(node: Node, here: object, value: object) -> object:
    return {**(here if isinstance(here, dict) else {}), node["value"]: value}


def _put_index(node: Node, here: object, value: object) -> object:
    at = max(node["value"], 0)
    items = list(here) if isinstance(here, list) else []
    if at >= _MOST_LINES:
        return items
    items += [{}] * (at + 1 - len(items))
    items[at] = value
    return items


def _put_inside(node: Node, here: object, value: object) -> object:
    """Put the value where the last step looks for it, in what the steps before find."""
    *before, last = node["children"]
    if not before:
        return _put(last, here, value)
    outer = {"type": node["type"], "children": before}
    return _put(outer, here, _put(last, _at(outer, here), value))


def _put_first(node: Node, here: object, value: object) -> object:
    children = node["children"]
    return _put(children[0], here, value) if children else here


def _put_elements(node: Node, here: object, value: object) -> object:
    """Put the values into a list, each where the rest of the projection looks for it."""
    base, rest = node["children"][:2]
    values = value if isinstance(value, list) else [value]
    found = _at(base, here)
    kept = list(found) if isinstance(found, list) else []
    is_filter = node["type"] == "filter_projection"
    for at, each in enumerate(values):
        element = _put(rest, kept[at] if not is_filter and at < len(kept) else {}, each)
        if is_filter:
            kept.append(_satisfied(node["children"][2], element))
        elif at < len(kept):
            kept[at] = element
        else:
            kept.append(element)
    return _put(base, here, kept)


def _put_pairs(node: Node, here: object, value: object) -> object:
    for pair in node["children"]:
        if isinstance(value, Mapping) and pair["value"] in value:
            here = _put(pair["children"][0], here, value[pair["value"]])
    return here


_PUTTERS: Final[Mapping[str, Callable[[Node, Any, object], object]]] = {
    "field": _put_field,
    "index": _put_index,
    "subexpression": _put_inside,
    "index_expression": _put_inside,
    "pipe": _put_inside,
    "or_expression": _put_first,
    "flatten": _put_first,
    "function_expression": _put_first,
    "projection": _put_elements,
    "filter_projection": _put_elements,
    "multi_select_dict": _put_pairs,
    "current": lambda _node, _here, value: value,
    "identity": lambda _node, _here, value: value,
}


def _satisfied(node: Node, here: object) -> object:
    """Return `here` with what makes a condition true."""
    if node["type"] == "and_expression":
        for child in node["children"]:
            here = _satisfied(child, here)
        return here
    if node["type"] == "or_expression":
        return _satisfied(node["children"][0], here)
    if node["type"] == "comparator" and node["value"] == "eq":
        left, right = node["children"]
        if right["type"] == "literal":
            return _put(left, here, right["value"])
        return _put(right, here, left["value"]) if left["type"] == "literal" else here
    if node["type"] in _PUTTERS and _at(node, here) is None:
        return _put(node, here, True)  # noqa: FBT003
    return here
