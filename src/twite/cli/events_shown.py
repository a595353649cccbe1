"""How events are shown: as a table, and for programs."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from twite.cli import printing
from twite.domain.destination import Destination
from twite.x.event_tags import SHOWN_AS, EventTag


def names_of(destination: Destination) -> Mapping[str, tuple[str, ...]]:
    """Return our names of each event id."""
    found: dict[str, tuple[str, ...]] = defaultdict(tuple)
    for name, event in destination.events.items():
        found[event] += (name,)
    return found


def both(destination: Destination, event: str) -> str:
    """Show an id in both spellings."""
    return f"{event} (tw-{destination.pixel}-{event})"


def told(tag: EventTag, names: Mapping[str, tuple[str, ...]]) -> dict[str, object]:
    """Return an event as JSON has it: X's own fields, and what we call it."""
    ours = {*names.get(tag.id, ()), *names.get(tag.website_tag_id or "", ())}
    return {
        "id": tag.id,
        "website_tag_id": tag.website_tag_id,
        "name": tag.name,
        "type": tag.type,
        "click_window": tag.click_window,
        "view_through_window": tag.view_through_window,
        "retargeting_enabled": tag.retargeting_enabled,
        "status": tag.status,
        "last_tracked_at": tag.last_tracked_at,
        "deleted": tag.deleted,
        "ours": sorted(ours),
    }


def print_events(
    destination: Destination, tags: Sequence[EventTag], names: Mapping[str, tuple[str, ...]]
) -> None:
    """Print a table."""
    printing.print_table(
        f"Events of ads account {destination.account}",
        ("id", "ours", "name", "type", "click", "view", "status", "last tracked"),
        [_row(tag, names) for tag in tags],
    )


def _row(tag: EventTag, names: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    ours = names.get(tag.id, ()) or names.get(tag.website_tag_id or "", ())
    kind = f"{tag.type} ({SHOWN_AS[tag.type]})" if tag.type in SHOWN_AS else tag.type
    return (
        tag.id,
        ", ".join(ours) or "-",
        tag.name,
        kind,
        f"{tag.click_window} d",
        f"{tag.view_through_window} d",
        "deleted" if tag.deleted else tag.status,
        tag.last_tracked_at or "never",
    )
