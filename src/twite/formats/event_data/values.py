"""Read values of an event, whose fields may be text, numbers, lists, nested, dotted or missing."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

import msgspec

from twite.domain.normalize import PLACEHOLDERS
from twite.formats.parsed_request import Event

NULL: Final = msgspec.Raw(b"null")
# The native format refuses these.
NO_AMOUNT: Final = msgspec.Raw(b"{}")

# And halves of surrogate pairs, which cannot be encoded.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
_NOTHING: Final = PLACEHOLDERS - {"0"}


def value_at(event: Event, place: str) -> object:
    """Return the value at a dotted path; the path may also be a single key."""
    found = event.get(place)
    if found is not None or "." not in place:
        return found
    inside: object = event
    for key in _path(place):
        if isinstance(inside, list) and inside:
            inside = inside[0]
        if not isinstance(inside, Mapping):
            return None
        inside = inside.get(key)
    return inside


def first_text(event: Event, places: Iterable[str]) -> str | None:
    """Return the first text or number that is not empty; of a list its first element."""
    for place in places:
        value = value_at(event, place)
        text = None if value is None else text_of(value)
        if text is not None and text.lower() not in PLACEHOLDERS:
            return text
    return None


def text_of(value: object) -> str | None:
    """Return a text or number as text, of a list its first; None for anything else.

    Control characters become spaces: the native format refuses them as a program's mistake, but
    here they come out of a page.
    """
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, str):
        return (value if value.isprintable() else _CONTROL.sub(" ", value)).strip()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return None


def amount_at(event: Event, places: Iterable[str]) -> msgspec.Raw:
    """Return the first amount that is not empty, as JSON text; null if there is none."""
    for place in places:
        value = value_at(event, place)
        if isinstance(value, Mapping | list):
            return NO_AMOUNT
        text = text_of(value)
        if text is not None and text.lower() not in _NOTHING:
            return msgspec.Raw(msgspec.json.encode(text))
    return NULL


@lru_cache(maxsize=256)
def _path(place: str) -> tuple[str, ...]:
    return tuple(place.split("."))
