"""Read the parts of a request one by one, so that an unreadable part does not affect the others."""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from twite.domain.errors import MalformedRequest
from twite.domain.fault import CODES, Fault, fault

Given = TypeVar("Given")
Value = TypeVar("Value")


def each_by_itself(
    given: Iterable[Given], read: Callable[[Given], dict[str, Value]], *, within: str
) -> tuple[list[dict[str, Value]], Mapping[int, Fault]]:
    """Return the parts read, an empty dict for an unreadable part, and its error by index.

    `within` is the path of a part, with `{}` for its index. Raises the first
    MalformedRequest if no part can be read.
    """
    tables: list[dict[str, Value]] = []
    unread: dict[int, Fault] = {}
    first: MalformedRequest | None = None
    for place, part in enumerate(given):
        try:
            tables.append(read(part))
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
    """Return the error of one part as a fault of a conversion."""
    code = wrong.code if wrong.code in CODES else "wrong_type"
    return fault(path, code, wrong.message)
