"""How events are shown: as a table, and for programs."""

from collections.abc import Sequence

from twite.cli import printing
from twite.x.event_tags import SHOWN_AS, EventTag

Row = tuple[EventTag, Sequence[str]]  # an event, and what the settings call it


def both(pixel: str, event: str) -> str:
    """Show an id in both spellings."""
    return f"{event} (tw-{pixel}-{event})"


def told(tag: EventTag, names: Sequence[str]) -> dict[str, object]:
    """Return an event as JSON has it: X's own fields, and what we call it."""
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
        "ours": sorted(names),
    }


def print_events(rows: Sequence[Row]) -> None:
    """Print a table."""
    printing.print_table(
        "",
        ("id", "ours", "name", "type", "click", "view", "status", "last tracked"),
        [_row(*row) for row in rows],
    )


def _row(tag: EventTag, names: Sequence[str]) -> tuple[str, ...]:
    kind = f"{tag.type} ({SHOWN_AS[tag.type]})" if tag.type in SHOWN_AS else tag.type
    return (
        tag.id,
        ", ".join(names) or "-",
        tag.name,
        kind,
        f"{tag.click_window} d",
        f"{tag.view_through_window} d",
        "deleted" if tag.deleted else tag.status,
        tag.last_tracked_at or "never",
    )
