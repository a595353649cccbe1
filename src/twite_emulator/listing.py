"""The lists of an account: pages by cursor, ids, order. [doc FUND pagination]"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol, TypeVar

import msgspec
from msgspec import Struct

from twite_emulator import spec
from twite_emulator.exchange import (
    EXCLUSIVE,
    EXCLUSIVE_PARAMETERS,
    NOT_ONE_OF,
    Problem,
    XAnswer,
    json_answer,
)
from twite_emulator.fields import invalid

MAX_COUNT: Final = 1000
DEFAULT_COUNT: Final = 200
MAX_IDS: Final = 200
CURSOR: Final = "c-"  # the prefix of every cursor; opaque to clients
_SORTABLE: Final = ("created_at", "name")


class Listed(Protocol):
    """An entry of a list."""

    @property
    def id(self) -> str: ...
    @property
    def created_at(self) -> float: ...
    @property
    def deleted(self) -> bool: ...


ListedT = TypeVar("ListedT", bound=Listed)


class Listing(Struct, frozen=True, kw_only=True):
    """The parameters of a list request. `ids` has the accepted lists of ids, by parameter."""

    count: int = DEFAULT_COUNT
    offset: int = 0
    ids: Mapping[str, Sequence[str]] = {}
    with_deleted: bool = False
    with_draft: bool = False
    with_total_count: bool = False
    sort_key: str = "created_at"
    reverse: bool = False
    echo: Mapping[str, object] = {}

    def answer(
        self, entries: Sequence[ListedT], ids: str, shown: Callable[[ListedT], object], account: str
    ) -> XAnswer:
        """Return a page of `entries`, those that `ids` names, as X answers."""
        found = [
            entry
            for entry in entries
            if (self.with_deleted or not entry.deleted)
            and (ids not in self.ids or entry.id in self.ids[ids])
        ]
        found.sort(
            key=lambda entry: (getattr(entry, self.sort_key), entry.id), reverse=self.reverse
        )
        page = found[self.offset : self.offset + self.count]
        end = self.offset + len(page)
        document: dict[str, object] = {
            "request": {"params": {**self.echo, "account_id": account}},
            "next_cursor": f"{CURSOR}{end}" if end < len(found) else None,
            "data": [shown(entry) for entry in page],
        }
        if self.with_total_count:
            document["total_count"] = len(found)
        return json_answer(200, document)


def listing_of(pairs: Mapping[str, str], id_lists: Sequence[str]) -> Listing | Problem:
    """Read the parameters of a list request. Parameters that X does not document are ignored.

    `id_lists`: the parameters that contain ids.
    """
    if "cursor" in pairs and pairs.get("with_total_count") == "true":
        named = "cursor, with_total_count"
        message = EXCLUSIVE.format(parameter=named)
        return Problem(EXCLUSIVE_PARAMETERS, message, named)
    echo: dict[str, object] = {}
    ids: dict[str, Sequence[str]] = {}
    listing = Listing()
    for name in id_lists:
        if name in pairs:
            given = ids_of(name, pairs[name])
            if isinstance(given, Problem):
                return given
            echo[name] = ids[name] = given
    for name, read in _READERS.items():
        if name in pairs:
            found = read(name, pairs[name])
            if isinstance(found, Problem):
                return found
            echo[name] = found.shown
            listing = msgspec.structs.replace(listing, **found.fields)
    return msgspec.structs.replace(listing, echo=echo, ids=ids)


class _Read(Struct, frozen=True):
    shown: object  # typed, as request.params echoes it
    fields: dict[str, object]  # of the Listing


def ids_of(name: str, text: str, *, most: int = MAX_IDS) -> tuple[str, ...] | Problem:
    ids = tuple(text.split(","))
    if len(ids) > most:
        return invalid(NOT_ONE_OF, name, len(ids), choices=f"up to {most} ids")
    return ids


def _count(name: str, text: str) -> _Read | Problem:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_COUNT:
        return invalid(spec.WRONG_TYPE, name, text, type=f"Long from 1 to {MAX_COUNT}")
    return _Read(int(text), {"count": int(text)})


def _cursor(name: str, text: str) -> _Read | Problem:
    digits = text.removeprefix(CURSOR)
    if not text.startswith(CURSOR) or not digits.isdecimal():
        return invalid(NOT_ONE_OF, name, text, choices="the issued cursors")
    return _Read(text, {"offset": int(digits)})


def _truth(name: str, text: str) -> _Read | Problem:
    if text not in ("true", "false"):
        return invalid(spec.WRONG_TYPE, name, text, type="Boolean")
    return _Read(text == "true", {name: text == "true"})


def _order(name: str, text: str) -> _Read | Problem:
    key, _, direction = text.partition("-")
    if key not in _SORTABLE or direction not in ("", "asc", "desc"):
        choices = ", ".join(f"{key}-asc, {key}-desc" for key in _SORTABLE)
        return invalid(NOT_ONE_OF, name, text, choices=choices)
    return _Read(text, {"sort_key": key, "reverse": direction == "desc"})


_READERS: Final[Mapping[str, Callable[[str, str], _Read | Problem]]] = {
    "count": _count,
    "cursor": _cursor,
    "sort_by": _order,
    "with_deleted": _truth,
    "with_draft": _truth,
    "with_total_count": _truth,
}
