"""BigQuery's `tabledata.insertAll`.

Source: cloud.google.com/bigquery/docs/reference/rest/v2/tabledata/insertAll [doc]
"""

from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from twite.tags.google_requests.request import (
    FAILED,
    GoogleRequest,
    GoogleResult,
    RequestNotSent,
    error_of,
    posted,
    tree_of,
)
from twite.tags.json_tree import Tree

SCOPE: Final = "https://www.googleapis.com/auth/bigquery.insertdata"
_ROOT: Final = "https://bigquery.googleapis.com/bigquery/v2/"
# Google's own limit for one request. [doc]
_MOST_ROWS: Final = 50_000


def insert(
    table: tuple[str, str, str], rows: Tree, options: Tree, *, id_of: Callable[[Tree], str]
) -> GoogleRequest:
    """Return the request that adds rows to (project, dataset, table). Raises RequestNotSent.

    `id_of` returns the insertId of a row, which BigQuery uses to drop duplicates.
    """
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise RequestNotSent("rows must be a list of objects", reason="invalid")
    if len(rows) > _MOST_ROWS:
        raise RequestNotSent(f"at most {_MOST_ROWS} rows are allowed per request", reason="invalid")
    settings = options if isinstance(options, dict) else {}
    body: dict[str, Tree] = {
        "kind": "bigquery#tableDataInsertAllRequest",
        "skipInvalidRows": bool(settings.get("skipInvalidRows")),
        "ignoreUnknownValues": bool(settings.get("ignoreUnknownValues")),
        "rows": [{"insertId": id_of(row), "json": row} for row in rows],
    }
    return posted(f"{_ROOT}{_address(table)}/insertAll", body, scope=SCOPE, is_recorded=True)


def insert_result(status: int, body: bytes, rows: Tree) -> GoogleResult:
    answer = tree_of(body)
    if status != 200:
        listed = error_of(answer).get("errors")
        reasons = [_reason(error) for error in listed] if isinstance(listed, list) else []
        return refused(*(reasons or [FAILED]))
    if not isinstance(answer, dict):
        return refused(FAILED)
    found = answer.get("insertErrors")
    if not isinstance(found, list) or not found:
        return GoogleResult()
    return GoogleResult(
        reason="invalid", value=[error for entry in found for error in _wrong(entry, rows)]
    )


def refused(*reasons: str) -> GoogleResult:
    return GoogleResult(reason=reasons[0], value=[{"reason": reason} for reason in reasons])


def _address(table: tuple[str, str, str]) -> str:
    if any(part in {"", ".", ".."} for part in table):
        raise RequestNotSent("a table must have a project, a dataset and a name", reason="invalid")
    project, dataset, name = (quote(part, safe="") for part in table)
    return f"projects/{project}/datasets/{dataset}/tables/{name}"


def _wrong(entry: Tree, rows: Tree) -> list[Tree]:
    if not isinstance(entry, dict):
        return []
    at, errors = entry.get("index"), entry.get("errors")
    known = isinstance(at, int) and isinstance(rows, list) and 0 <= at < len(rows)
    row: dict[str, Tree] = {"row": rows[at]} if known else {}  # type: ignore[index] # checked above
    listed = errors if isinstance(errors, list) and errors else [None]
    return [{"reason": _reason(error), **row} for error in listed]


def _reason(error: Tree) -> str:
    reason = error.get("reason") if isinstance(error, dict) else None
    return reason if isinstance(reason, str) and reason else FAILED
