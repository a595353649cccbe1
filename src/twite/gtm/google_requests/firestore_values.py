"""Values of Firestore, and what they are to a template; both are JSON.

| Firestore | a template reads | a template writes |
|---|---|---|
| null, boolean, string | the same | the same |
| integer | a number | a whole number up to 2^53 |
| double | a number; null for what is none | any other number |
| timestamp | text, RFC 3339 | - |
| bytes | text, base64 | - |
| reference | text, the path of the document | - |
| geographical point | {latitude, longitude} | - |
| array, map | array, object | array, object |
"""

from collections.abc import Callable, Mapping
from typing import Final

from twite.domain.json_tree import Tree
from twite.gtm.google_requests.request import RequestNotSent

# Google takes 20 levels. [doc]
_DEEPEST: Final = 20
_SAFE: Final = (1 << 53) - 1
_DOCUMENTS: Final = "/documents/"


def fields_of(value: Tree) -> dict[str, Tree]:
    """Return the fields of a document. Raises RequestNotSent."""
    if not isinstance(value, dict):
        raise RequestNotSent("a document is an object")
    return {name: value_of(child, depth=1) for name, child in value.items()}


def value_of(value: Tree, *, depth: int = 0) -> dict[str, Tree]:
    """Return a value as Firestore has it. Raises RequestNotSent."""
    if depth > _DEEPEST:
        raise RequestNotSent(f"a document has at most {_DEEPEST} levels")
    found: dict[str, Tree]
    match value:
        case None:
            found = {"nullValue": None}
        case bool():
            found = {"booleanValue": value}
        case int() if abs(value) <= _SAFE:
            found = {"integerValue": str(value)}
        case int() | float():
            found = {"doubleValue": float(value)}
        case str():
            found = {"stringValue": value}
        case list():
            found = {
                "arrayValue": {"values": [value_of(element, depth=depth + 1) for element in value]}
            }
        case dict():
            inner: dict[str, Tree] = {k: value_of(v, depth=depth + 1) for k, v in value.items()}
            found = {"mapValue": {"fields": inner}}
    return found


def tree_of_fields(fields: Tree) -> dict[str, Tree]:
    """Return what a template reads of a document."""
    if not isinstance(fields, dict):
        return {}
    return {name: tree_of_value(child) for name, child in fields.items()}


def tree_of_value(value: Tree) -> Tree:
    """Return what a template reads of a value; None for one of an unknown kind."""
    if not isinstance(value, dict):
        return None
    return next((_READERS[kind](held) for kind, held in value.items() if kind in _READERS), None)


def leaves_of(value: Mapping[str, Tree], before: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return the paths of all values in a document: a merge writes these and nothing else."""
    found: list[tuple[str, ...]] = []
    for name, child in value.items():
        place = (*before, name)
        found += leaves_of(child, place) if isinstance(child, dict) and child else [place]
    return found


def _same(held: Tree) -> Tree:
    return held


def _integer(held: Tree) -> Tree:
    return int(held) if isinstance(held, str | int) else None


def _double(held: Tree) -> Tree:
    return held if isinstance(held, int | float) else None


def _reference(held: Tree) -> Tree:
    return held.partition(_DOCUMENTS)[2] or held if isinstance(held, str) else None


def _point(held: Tree) -> Tree:
    # Fields with the value 0 are left out. [doc]
    point = held if isinstance(held, dict) else {}
    return {name: point.get(name, 0) for name in ("latitude", "longitude")}


def _array(held: Tree) -> Tree:
    inner = held.get("values") if isinstance(held, dict) else None
    return [tree_of_value(element) for element in inner] if isinstance(inner, list) else []


def _map(held: Tree) -> Tree:
    return tree_of_fields(held.get("fields") if isinstance(held, dict) else None)


_READERS: Final[Mapping[str, Callable[[Tree], Tree]]] = {
    "booleanValue": _same,
    "stringValue": _same,
    "timestampValue": _same,
    "bytesValue": _same,
    "integerValue": _integer,
    "doubleValue": _double,
    "referenceValue": _reference,
    "geoPointValue": _point,
    "arrayValue": _array,
    "mapValue": _map,
}
