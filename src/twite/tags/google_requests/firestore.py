"""Firestore over REST, version 1: read and query documents, and write them in commits.

Paths go into bodies where possible; in a URL, each segment is encoded. A segment `..` is refused,
because it would lead to a document other than the permitted one. Source:
cloud.google.com/firestore/docs/reference/rest/v1/projects.databases.documents [doc]
"""

import re
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote

from twite.domain.secret import Masked
from twite.tags.google_requests.request import (
    FAILED,
    GoogleRequest,
    GoogleResult,
    RequestNotSent,
    error_of,
    posted,
    reason_of,
    tree_of,
)
from twite.tags.json_tree import Tree

# Google accepts 20 levels. [doc]
_DEEPEST: Final = 20
_SAFE: Final = (1 << 53) - 1
_DOCUMENTS: Final = "/documents/"
SCOPE: Final = "https://www.googleapis.com/auth/datastore"
NOT_FOUND: Final = "not_found"
_CONFLICT: Final = frozenset({409})
DEFAULT_LIMIT: Final = 5
_MOST: Final = 10_000
_ROOT: Final = "https://firestore.googleapis.com/v1/"
_PROJECT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:-]{0,127}", re.ASCII)
_PLAIN_FIELD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_OPERATORS: Final = {
    "<": "LESS_THAN",
    "<=": "LESS_THAN_OR_EQUAL",
    "==": "EQUAL",
    "!=": "NOT_EQUAL",
    ">": "GREATER_THAN",
    ">=": "GREATER_THAN_OR_EQUAL",
    "array-contains": "ARRAY_CONTAINS",
    "array-contains-any": "ARRAY_CONTAINS_ANY",
    "in": "IN",
    "not-in": "NOT_IN",
}
_OF_NULL: Final = {"==": "IS_NULL", "!=": "IS_NOT_NULL"}


def fields_of(value: Tree) -> dict[str, Tree]:
    """Return the fields of a document. Raises RequestNotSent."""
    if not isinstance(value, dict):
        raise RequestNotSent("a document must be an object")
    return {name: value_of(child, depth=1) for name, child in value.items()}


def value_of(value: Tree, *, depth: int = 0) -> dict[str, Tree]:
    """Return a value in Firestore's format. Raises RequestNotSent."""
    if depth > _DEEPEST:
        raise RequestNotSent(f"a document can have at most {_DEEPEST} levels")
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
    if not isinstance(fields, dict):
        return {}
    return {name: tree_of_value(child) for name, child in fields.items()}


def tree_of_value(value: Tree) -> Tree:
    if not isinstance(value, dict):
        return None
    return next((_READERS[kind](held) for kind, held in value.items() if kind in _READERS), None)


def leaves_of(value: Mapping[str, Tree], before: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return the paths of all values in a document: a merge writes only these paths."""
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
    # Google omits fields with the value 0. [doc]
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


class FirestoreWrite(Masked, frozen=True, kw_only=True):
    """A document to write. It holds personal data: its repr is masked."""

    id: str
    body: dict[str, Tree]


def read(project: str, path: str, *, transaction: str | None) -> GoogleRequest:
    """Return the request for one document. Raises RequestNotSent."""
    parts = _parts(path)
    if len(parts) % 2:
        raise RequestNotSent(
            "the path of a document must consist of pairs of a collection and an id"
        )
    body: dict[str, Tree] = {"documents": [_name(project, parts)]}
    return _asking(project, ":batchGet", body, transaction)


def read_result(status: int, body: bytes) -> GoogleResult:
    answer = tree_of(body)
    if status != 200 or error_of(answer):
        return GoogleResult(reason=reason_of(answer))
    for entry in answer if isinstance(answer, list) else ():
        match entry:
            case {"found": dict() as found}:
                return GoogleResult(value=_document(found))
            case {"missing": _}:
                return GoogleResult(reason=NOT_FOUND)
    return GoogleResult(reason=FAILED)


def query(
    project: str, collection: str, conditions: Tree, *, limit: Tree, transaction: str | None
) -> GoogleRequest:
    """Return the query for the documents that meet all conditions. Raises RequestNotSent."""
    parts = _parts(collection)
    if len(parts) % 2 == 0:
        raise RequestNotSent("only a collection can be queried")
    asked: dict[str, Tree] = {"from": [{"collectionId": parts[-1]}], "limit": _limit(limit)}
    filters = _filters(conditions)
    if filters:
        asked["where"] = {"compositeFilter": {"op": "AND", "filters": filters}}
    parent = "".join(f"/{quote(part, safe='')}" for part in parts[:-1])
    return _asking(project, f"{parent}:runQuery", {"structuredQuery": asked}, transaction)


def query_result(status: int, body: bytes) -> GoogleResult:
    answer = tree_of(body)
    if status != 200 or error_of(answer) or not isinstance(answer, list):
        return GoogleResult(reason=reason_of(answer))
    found = [entry.get("document") for entry in answer if isinstance(entry, dict)]
    return GoogleResult(value=[_document(entry) for entry in found if isinstance(entry, dict)])


def write(project: str, path: str, given: Tree, *, merge: bool, new_id: str) -> FirestoreWrite:
    """Return a write of a document. If `path` is a collection, it is a new document, `new_id`.

    Raises RequestNotSent.
    """
    parts = _parts(path)
    if len(parts) % 2:
        parts = (*parts, new_id)
    body: dict[str, Tree] = {"update": {"name": _name(project, parts), "fields": fields_of(given)}}
    if merge and isinstance(given, dict):
        body["updateMask"] = {"fieldPaths": [_field(place) for place in leaves_of(given)]}
    return FirestoreWrite(id=parts[-1], body=body)


def commit(
    project: str, writes: tuple[FirestoreWrite, ...], *, transaction: str | None = None
) -> GoogleRequest:
    """Return the commit request, which writes all documents or none. Raises RequestNotSent."""
    body: dict[str, Tree] = {"writes": [write.body for write in writes]}
    return _asking(project, ":commit", body, transaction)


def begin(project: str, *, former: str | None) -> GoogleRequest:
    again: dict[str, Tree] = {} if former is None else {"retryTransaction": former}
    return _asking(project, ":beginTransaction", {"options": {"readWrite": again}}, None)


def begun(status: int, body: bytes) -> GoogleResult:
    answer = tree_of(body)
    if status == 200 and isinstance(answer, dict) and isinstance(answer.get("transaction"), str):
        return GoogleResult(value=answer["transaction"])
    return GoogleResult(reason=reason_of(answer))


def rollback(project: str, transaction: str) -> GoogleRequest:
    return _asking(project, ":rollback", {}, transaction)


def done(status: int, body: bytes) -> GoogleResult:
    return GoogleResult() if status == 200 else GoogleResult(reason=reason_of(tree_of(body)))


def _asking(
    project: str, act: str, body: dict[str, Tree], transaction: str | None
) -> GoogleRequest:
    payload = body if transaction is None else body | {"transaction": transaction}
    url = f"{_ROOT}{_documents(project)}{act}"
    return posted(url, payload, scope=SCOPE, passing=_CONFLICT)


def _documents(project: str) -> str:
    if _PROJECT.fullmatch(project) is None:
        raise RequestNotSent("its project is not a project id")
    return f"projects/{project}/databases/(default)/documents"


def _parts(path: str) -> tuple[str, ...]:
    parts = tuple(path.split("/"))
    if any(part in {"", ".", ".."} for part in parts):
        raise RequestNotSent("a path must have a name between slashes, not '.' or '..'")
    return parts


def _name(project: str, parts: tuple[str, ...]) -> str:
    return f"{_documents(project)}/{'/'.join(parts)}"


def _document(found: dict[str, Tree]) -> dict[str, Tree]:
    name = found.get("name")
    last = name.rpartition("/")[2] if isinstance(name, str) else ""
    return {"id": last, "data": tree_of_fields(found.get("fields"))}


def _limit(limit: Tree) -> int:
    if isinstance(limit, bool) or not isinstance(limit, int | float) or limit < 1:
        return DEFAULT_LIMIT
    return int(min(limit, _MOST))


def _filters(conditions: Tree) -> list[Tree]:
    found: list[Tree] = []
    for condition in conditions if isinstance(conditions, list) else ():
        match condition:
            case [str() as name, str() as operator, wanted] if operator in _OPERATORS:
                field: Tree = {"fieldPath": _field(tuple(name.split(".")))}
            case _:
                raise RequestNotSent("a condition must be a list: field, operator, value")
        if wanted is None and operator in _OF_NULL:
            found.append({"unaryFilter": {"op": _OF_NULL[operator], "field": field}})
            continue
        field_filter: dict[str, Tree] = {"field": field, "op": _OPERATORS[operator]}
        found.append({"fieldFilter": field_filter | {"value": value_of(wanted)}})
    return found


def _field(place: tuple[str, ...]) -> str:
    return ".".join(name if _PLAIN_FIELD.fullmatch(name) else _quoted(name) for name in place)


def _quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"
