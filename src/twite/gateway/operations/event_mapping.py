"""Event mapping: look up a stored conversion's X event by the current settings.

Pure. A stored submission keeps the event name of its source. After a wrong mapping is corrected,
its dead letters need not be submitted again.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from twite.domain.destination import Destination, Source
from twite.domain.submission import Ignored
from twite.formats.event_data.conversions import REASONS, our_name

NOT_KEPT: Final = "its request is no longer stored"
NO_NAME: Final = "its request names X's own event, which the settings do not map"


class MappedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """X's id of the event, or why there is none."""

    event: str = ""
    fault: str | None = None


def opened(body: bytes) -> object:
    """Decode a stored submission; None if it is not JSON."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None


def event_today(
    tree: object,
    place: int,
    *,
    pixel: str,
    destination: Destination | None,
    source: Source | None,
) -> MappedEvent:
    """Return the X event of a conversion by the current settings.

    `tree` is its submission from `opened`, `place` its index in it.
    """
    if destination is None:
        return MappedEvent(fault=f"the settings have no pixel {pixel} any more")
    named, traced = _names(tree, place)
    if not named:
        return MappedEvent(fault=NO_NAME)
    if traced:
        chosen = {} if source is None else source.events
        found = our_name(traced, chosen=chosen, known=destination.events)
        if isinstance(found, Ignored):
            return MappedEvent(fault=f"{found.name}: {REASONS[found.reason]}")
        named = found
    event = destination.events.get(named) or destination.events.get(named.strip().lower())
    if event is None:
        return MappedEvent(fault=f"the pixel has no event {named[:64]!r} in the settings")
    return MappedEvent(event=event)


def _names(tree: object, place: int) -> tuple[str, str]:
    """Return (native event name, tag event name) from a submission; "" for none."""
    several = tree.get("conversions", tree) if isinstance(tree, dict) else tree
    traces = tree.get("hit") if isinstance(tree, dict) else None
    own = _at(several, place) if isinstance(several, list) else several
    return _text(own, "event"), _text(_at(traces, place), "event_name")


def _at(many: object, place: int) -> object:
    return many[place] if isinstance(many, list) and 0 <= place < len(many) else None


def _text(tree: object, name: str) -> str:
    found = tree.get(name) if isinstance(tree, Mapping) else None
    return found if isinstance(found, str) else ""
