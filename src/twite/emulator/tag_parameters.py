"""Read and check the query parameters of web event tags. [doc WEB]"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec
from msgspec import Struct

from twite.emulator import words
from twite.emulator.exchange import Problem
from twite.emulator.fields import invalid, missing
from twite.emulator.world import EmulatedEventTag
from twite.x import spec

MAX_COUNT: Final = 1000
DEFAULT_COUNT: Final = 200
MAX_IDS: Final = 200
CURSOR: Final = "c-"  # how a cursor begins; opaque to clients
_REQUIRED: Final = ("name", "type", "click_window", "view_through_window", "retargeting_enabled")
_SORTABLE: Final = ("created_at", "name")


class Listing(Struct, frozen=True, kw_only=True):
    count: int = DEFAULT_COUNT
    offset: int = 0
    ids: tuple[str, ...] | None = None
    with_deleted: bool = False
    with_total_count: bool = False
    sort_key: str = "created_at"
    reverse: bool = False
    echo: Mapping[str, object] = {}


def listing_of(pairs: Mapping[str, str]) -> Listing | Problem:
    """Read the parameters of a list; a parameter X does not document is ignored."""
    if "cursor" in pairs and pairs.get("with_total_count") == "true":
        named = "cursor, with_total_count"
        message = words.EXCLUSIVE.format(parameter=named)
        return Problem(words.EXCLUSIVE_PARAMETERS, message, named)
    echo: dict[str, object] = {}
    listing = Listing()
    for name, read in _READERS.items():
        if name in pairs:
            found = read(name, pairs[name])
            if isinstance(found, Problem):
                return found
            echo[name] = found.shown
            listing = msgspec.structs.replace(listing, **found.fields)
    return msgspec.structs.replace(listing, echo=echo)


class _Read(Struct, frozen=True):
    shown: object  # typed, as request.params echoes it
    fields: dict[str, object]  # of the Listing


def _count(name: str, text: str) -> _Read | Problem:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_COUNT:
        return invalid(spec.WRONG_TYPE, name, text, type=f"Long from 1 to {MAX_COUNT}")
    return _Read(int(text), {"count": int(text)})


def _cursor(name: str, text: str) -> _Read | Problem:
    digits = text.removeprefix(CURSOR)
    if not text.startswith(CURSOR) or not digits.isdecimal():
        return invalid(words.NOT_ONE_OF, name, text, choices="the cursors given out")
    return _Read(text, {"offset": int(digits)})


def _ids(name: str, text: str) -> _Read | Problem:
    ids = tuple(text.split(","))
    if len(ids) > MAX_IDS:
        return invalid(words.NOT_ONE_OF, name, len(ids), choices=f"up to {MAX_IDS} ids")
    return _Read(ids, {"ids": ids})


def _truth(name: str, text: str) -> _Read | Problem:
    if text not in ("true", "false"):
        return invalid(spec.WRONG_TYPE, name, text, type="Boolean")
    return _Read(text == "true", {name: text == "true"})


def _order(name: str, text: str) -> _Read | Problem:
    key, _, direction = text.partition("-")
    if key not in _SORTABLE or direction not in ("", "asc", "desc"):
        choices = ", ".join(f"{key}-asc, {key}-desc" for key in _SORTABLE)
        return invalid(words.NOT_ONE_OF, name, text, choices=choices)
    return _Read(text, {"sort_key": key, "reverse": direction == "desc"})


_READERS: Final[Mapping[str, Callable[[str, str], _Read | Problem]]] = MappingProxyType(
    {
        "count": _count,
        "cursor": _cursor,
        "sort_by": _order,
        "web_event_tag_ids": _ids,
        "with_deleted": _truth,
        "with_total_count": _truth,
    }
)


def written_of(
    pairs: Mapping[str, str], tag: EmulatedEventTag | None
) -> dict[str, object] | list[Problem]:
    """The typed parameters of POST (`tag` is None: all are required) or PUT, or every problem."""
    problems = [missing(name) for name in _REQUIRED if tag is None and not pairs.get(name)]
    written: dict[str, object] = {}
    for name in _REQUIRED:
        if pairs.get(name):
            value = _typed(name, pairs[name])
            if isinstance(value, Problem):
                problems.append(value)
            else:
                written[name] = value
    click = written.get("click_window", tag.click_window if tag else None)
    view = written.get("view_through_window", tag.view_through_window if tag else None)
    if isinstance(click, int) and isinstance(view, int) and view > click:
        problems.append(invalid(words.WINDOWS_CROSSED, "view_through_window", view, click=click))
    return problems or written


def _typed(name: str, text: str) -> object:
    if name == "name":
        return text
    if name == "type":
        return (
            text if text in spec.EVENT_TAG_TYPES else _not_one_of(name, text, spec.EVENT_TAG_TYPES)
        )
    if name == "retargeting_enabled":
        if text in ("true", "false"):
            return text == "true"
        return invalid(spec.WRONG_TYPE, name, text, type="Boolean")
    choices = spec.CLICK_WINDOWS if name == "click_window" else spec.VIEW_WINDOWS
    if text.isdecimal() and int(text) in choices:
        return int(text)
    return _not_one_of(name, text, choices)


def _not_one_of(name: str, text: str, choices: tuple[object, ...]) -> Problem:
    return invalid(words.NOT_ONE_OF, name, text, choices=", ".join(map(str, choices)))
