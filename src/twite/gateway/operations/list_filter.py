"""What the values of a list's filter mean. The console, the API and commands share them."""

from collections.abc import Iterable

from twite.domain.destination import Destination
from twite.gateway.ports.listing import NONE


def events_of(destinations: Iterable[Destination], text: str | None) -> frozenset[str] | None:
    """Return the `events` of a ListQuery: those that the settings give this name, or X's id.

    Rejections may have any other name, so it is kept. NONE means every event that the settings do
    not have, and None all events.
    """
    if not text:
        return None
    if text == NONE:
        return frozenset({""})
    named = {destination.event_id(text) for destination in destinations}
    return frozenset({text, *filter(None, named)})


def pixel_of(text: str | None) -> str | None:
    """Return the `pixel` of a QueryScope: "" for NONE, and None for all pixels."""
    return "" if text == NONE else text or None
