"""`twite events`: manage X's web event tags, which X's Events Manager shows as events."""

import asyncio
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from twite.app.logins import events_manager, stored
from twite.cli import printing
from twite.cli.options import (
    DEFAULT_CONFIG,
    Config,
    Json,
    Pixel,
    load,
    one_pixel,
    option,
    prints,
    who,
)
from twite.domain.errors import EventRefused
from twite.gateway.x_account.event_tags import EventTagManager, SettingsDraft
from twite.gateway.x_account.snippets import KINDS, Snippet
from twite.x.event_tags import SHOWN_AS, EventTag, EventTagChange

Event = Annotated[str, typer.Argument(metavar="EVENT", help="Your name for the event, or X's id")]
Title = Annotated[str, typer.Argument(metavar="NAME", help="The name that X shows")]
Type = Annotated[str | None, option("--type", "TYPE", "X's type of event")]
Click = Annotated[
    int | None,
    typer.Option("--click-window", metavar="DAYS", help="Days after a click: 1, 7, 14 or 30"),
]
View = Annotated[
    int | None,
    typer.Option("--view-window", metavar="DAYS", help="Days after a view: 0, 1, 7, 14 or 30"),
]
Retargeting = Annotated[
    bool | None,
    typer.Option(
        "--retargeting/--no-retargeting", help="Allow X to build audiences from the event"
    ),
]
NewName = Annotated[str | None, option("--name", "NAME", "The new name")]
As = Annotated[
    str | None, option("--as", "OURS", "Your name for the event, written to the settings")
]
Which = Annotated[
    str,
    typer.Option("--id", metavar="WHICH", help="Which of X's two ids to use: id, website_tag_id"),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation")]
ServerOnly = Annotated[
    bool, typer.Option("--server-only", help="The event is sent only by servers, not by pages")
]
Deleted = Annotated[bool, typer.Option("--deleted", help="Include deleted events")]


class EventTagView(EventTag, frozen=True, kw_only=True):
    """An event of X with X's fields; `ours` are its names in the settings."""

    ours: tuple[str, ...]


class CreatedEventTag(EventTagView, frozen=True, kw_only=True):
    """An event that was created; `written` says whether the settings now have its name."""

    written: bool


events = typer.Typer(
    help="Example: `twite events list`, then `twite events create Purchase --as purchase`",
    no_args_is_help=True,
)


@events.command("list")
@prints(list[EventTagView])
def listed(
    *,
    config: Config = DEFAULT_CONFIG,
    pixel: Pixel = None,
    deleted: Deleted = False,
    as_json: Json = False,
) -> None:
    """List the events of the pixel's ads account, and your names.

    Example: `twite events list --deleted`
    """
    manager, chosen = _opened(config, pixel)
    known = asyncio.run(manager.events(chosen, with_deleted=deleted))
    rows = [(tag, manager.names(chosen, tag)) for tag in known]
    if as_json:
        printing.print_json([event_view(*row) for row in rows])
    elif not known:
        printing.say("The ads account has no events.")
    else:
        print_events(rows)


@events.command("create")
@prints(CreatedEventTag)
def create(
    name: Title,
    *,
    kind: Type = "PURCHASE",
    config: Config = DEFAULT_CONFIG,
    pixel: Pixel = None,
    click_window: Click = 30,
    view_window: View = 1,
    retargeting: Retargeting = True,
    ours: As = None,
    which: Which = "id",
    server_only: ServerOnly = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Create an event at X, and map your name to it.

    The view window must not exceed the click window. X calls SIGN_UP “Lead” and SITE_VISIT “Page
    view”.

    Example: `twite events create "Newsletter" --type SIGN_UP --as newsletter`
    """
    if which not in {"id", "website_tag_id"}:
        raise typer.BadParameter("must be id or website_tag_id", param_hint="--id")
    manager, chosen = _opened(config, pixel)
    change = _change(name, kind, click_window, view_window, retargeting=retargeting)
    if ours is not None:
        # Checked before X creates the event, so that an invalid name creates no event.
        manager.draft(chosen, ours, "o8z6k")
    made = _done(manager.create(chosen, change, by=who()))
    if not as_json:
        printing.say(f"Created {made.name}: {both(chosen, made.id)}.")
    written = False
    if ours is not None:
        event = made.id if which == "id" else made.website_tag_id or made.id
        written = _write(manager, manager.draft(chosen, ours, event), yes=yes, quiet=as_json)
        if not as_json and not server_only:
            printing.say(f"Print the code: twite events snippet {ours}")
        elif not as_json:
            printing.say(f"Print the code: twite events snippet {ours} --server-only")
    if as_json:
        view = msgspec.structs.asdict(event_view(made, () if ours is None else (ours,)))
        printing.print_json(CreatedEventTag(**view, written=written))


@events.command("update")
@prints(EventTagView)
def update(
    event: Event,
    *,
    name: NewName = None,
    kind: Type = None,
    config: Config = DEFAULT_CONFIG,
    pixel: Pixel = None,
    click_window: Click = None,
    view_window: View = None,
    retargeting: Retargeting = None,
    as_json: Json = False,
) -> None:
    """Change the named properties of an event.

    Example: `twite events update purchase --click-window 30 --view-window 7`
    """
    manager, chosen = _opened(config, pixel)
    change = _change(name, kind, click_window, view_window, retargeting=retargeting)
    if change == EventTagChange():
        raise typer.BadParameter(
            "pass at least one property to change, such as --name", param_hint="--name"
        )
    changed = _done(manager.update(chosen, event, change, by=who()))
    names = manager.names(chosen, changed)
    if as_json:
        printing.print_json(event_view(changed, names))
    else:
        print_events([(changed, names)])


@events.command("delete")
@prints(EventTagView)
def delete(
    event: Event,
    *,
    config: Config = DEFAULT_CONFIG,
    pixel: Pixel = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Delete an event. X then refuses its conversions.

    Example: `twite events delete o8z6q --yes`
    """
    manager, chosen = _opened(config, pixel)
    tag = asyncio.run(manager.event_tag(chosen, event))
    names = manager.names(chosen, tag)
    if not yes:
        printing.complain(f"{tag.name}: {both(chosen, tag.id)}")
        for ours in names:
            printing.complain(
                f"The settings map {ours} to this event. X would refuse its conversions."
            )
        if not typer.confirm("Delete the event at X?", err=True):
            raise typer.Exit(1)
    gone = asyncio.run(manager.delete(chosen, tag.id, by=who()))
    if as_json:
        printing.print_json(event_view(gone, names))
        return
    printing.say(
        f"Deleted {gone.name}. X keeps the event, marked as deleted. To see it, run "
        "twite events list --deleted."
    )
    for ours in names:
        printing.say(f"Remove {ours} from {config}: X now refuses the conversions of this event.")


def _opened(config: Path, pixel: str | None) -> tuple[EventTagManager, str]:
    """Return the event tag manager, with stored credentials, and the chosen pixel."""
    found = load(config, credentials=True)
    chosen = one_pixel(found, pixel)
    pixels = {destination.pixel: destination for destination in asyncio.run(stored(found))}
    return events_manager(found, pixels), chosen


def _change(
    name: str | None,
    kind: str | None,
    click_window: int | None,
    view_window: int | None,
    *,
    retargeting: bool | None,
) -> EventTagChange:
    return EventTagChange(
        name=name,
        type=kind and kind.upper(),
        click_window=click_window,
        view_through_window=view_window,
        retargeting_enabled=retargeting,
    )


def _done(change: Coroutine[None, None, EventTag]) -> EventTag:
    """Make a change at X; if X would refuse the change, raise a usage error."""
    try:
        return asyncio.run(change)
    except EventRefused as wrong:
        raise typer.BadParameter(str(wrong)) from None


def _write(manager: EventTagManager, draft: SettingsDraft, *, yes: bool, quiet: bool) -> bool:
    """Show the change to the settings, and write it after confirmation."""
    if not draft.is_changed:
        return True
    if not quiet:
        for line in draft.diff():
            printing.say(line)
    if not yes:
        if not sys.stdin.isatty():
            printing.complain("Nothing was written. Use --yes, or add the line yourself.")
            return False
        if not typer.confirm("Write this to the settings?", err=True):
            return False
    asyncio.run(manager.write(draft, by=who()))
    if not quiet:
        printing.say("Settings written. Run twite reload to apply them.")
    return True


Row = tuple[EventTag, Sequence[str]]  # an event, and its names in the settings


def both(pixel: str, event: str) -> str:
    """Return X's id, and the form that X's pixel code uses."""
    return f"{event} (tw-{pixel}-{event})"


def event_view(tag: EventTag, names: Sequence[str]) -> EventTagView:
    return EventTagView(**msgspec.structs.asdict(tag), ours=tuple(sorted(names)))


def print_events(rows: Sequence[Row]) -> None:
    printing.print_table(
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


Ours = Annotated[str, typer.Argument(metavar="EVENT", help="Your name for the event")]
For = Annotated[str | None, option("--for", "KIND", f"One of {', '.join(KINDS)}")]
ServersOnly = Annotated[bool, typer.Option("--server-only", help="Only snippets for servers")]


@events.command("snippet")
@prints(list[Snippet])
def snippet(
    event: Ours,
    *,
    config: Config = DEFAULT_CONFIG,
    pixel: Pixel = None,
    kind: For = None,
    server_only: ServersOnly = False,
    as_json: Json = False,
) -> None:
    """Print code that sends an event.

    The snippets are for pages, servers and Google's server tag.

    With `--for`, print only one snippet, ready to be saved to a file.

    Example: `twite events snippet purchase --for python`
    """
    if kind is not None and kind not in KINDS:
        raise typer.BadParameter(f"must be one of {', '.join(KINDS)}", param_hint="--for")
    found = load(config)
    pixels = {destination.pixel: destination for destination in found.destinations()}
    manager = events_manager(found, pixels)
    made = manager.snippets(one_pixel(found, pixel), event, server_only=server_only)
    shown = [snippet for snippet in made if kind in {None, snippet.kind}]
    if as_json:
        printing.print_json(shown)
    elif kind is not None:
        # Not escaped: users copy and run this code, and it contains no text from outside.
        sys.stdout.write("".join(snippet.text for snippet in shown))
    else:
        for snippet in shown:
            printing.say(printing.styled(f"{snippet.title}: ", "bold"), snippet.description)
            for line in snippet.text.splitlines():
                printing.say(f"    {line}")
            printing.say("")
