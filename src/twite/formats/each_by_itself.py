"""What is sent together, read each by itself: what cannot be read costs none beside it."""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from twite.domain.errors import MalformedRequest
from twite.domain.fault import CODES, Fault, fault

Given = TypeVar("Given")
Value = TypeVar("Value")


def each_by_itself(
    given: Iterable[Given], read: Callable[[Given], dict[str, Value]], *, within: str
) -> tuple[list[dict[str, Value]], Mapping[int, Fault]]:
    """Return what was read, an empty table in place of what cannot be, and why, by place.

    `within` is the path of one, with `{}` for its place. Raises the first's Malformed where none
    can be read.
    """
    tables: list[dict[str, Value]] = []
    unread: dict[int, Fault] = {}
    first: MalformedRequest | None = None
    for place, one in enumerate(given):
        try:
            tables.append(read(one))
        except MalformedRequest as wrong:
            path = _joined(within.format(place), wrong.path)
            first = first or MalformedRequest(code=wrong.code, path=path, message=wrong.message)
            tables.append({})
            unread[place] = as_fault(wrong, path)
    if first is not None and len(unread) == len(tables):
        raise first
    return tables, unread


def _joined(path: str, inside: str) -> str:
    dot = "." if path and inside and not inside.startswith("[") else ""
    return f"{path}{dot}{inside}"


def as_fault(wrong: MalformedRequest, path: str) -> Fault:
    """Return what was wrong with one of several, in the words of a conversion's faults."""
    code = wrong.code if wrong.code in CODES else "wrong_type"
    return fault(path, code, wrong.message)
