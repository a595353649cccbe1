"""`twite events`: X's web event tags, which its Events Manager shows as events."""

import asyncio
import sys
from collections.abc import Iterator
from typing import Annotated, Final

import typer

from twite.assembly.ads import ads_account
from twite.assembly.logins import stored
from twite.assembly.mapping import Draft
from twite.assembly.settings import Settings
from twite.cli import COMMANDS, events_shown, events_snippet, printing
from twite.cli.options import DEFAULT_CONFIG, Config, Json, Pixel, load, one_pixel
from twite.domain.destination import Destination
from twite.domain.errors import SettingsError
from twite.gateway.ads_account import AdsAccount
from twite.x.event_tags import Change, EventTag, bare, faults

EXAMPLE: Final = "Example: `twite events list`, then `twite events create Purchase --as purchase`"
LIST: Final = """List the events of the pixel's ads account, and what they are called here.

Example: `twite events list --deleted`"""
CREATE: Final = """Make one, and map a name of ours to it.

The view window may not be longer than the click window. X calls SIGN_UP “Lead” and SITE_VISIT “Page
view”.

Example: `twite events create "Newsletter" --type SIGN_UP --as newsletter`"""
UPDATE: Final = """Change one; what is not named stays.

Example: `twite events update purchase --click-window 30 --view-window 7`"""
DELETE: Final = """Delete one: X takes no conversion of it any more.

Example: `twite events delete o8z6q --yes`"""

Event = Annotated[str, typer.Argument(metavar="EVENT", help="Our name for it, or X's id.")]
Title = Annotated[str, typer.Argument(metavar="NAME", help="What X shows it as.")]
Type = Annotated[
    str | None, typer.Option("--type", metavar="TYPE", help="X's type.", show_default=False)
]
Click = Annotated[
    int | None, typer.Option("--click-window", metavar="DAYS", help="1, 7, 14 or 30.")
]
View = Annotated[
    int | None, typer.Option("--view-window", metavar="DAYS", help="0, 1, 7, 14 or 30.")
]
Retargeting = Annotated[
    bool | None,
    typer.Option("--retargeting/--no-retargeting", help="Whether X may build audiences of it."),
]
NewName = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="Another name.", show_default=False)
]
As = Annotated[
    str | None,
    typer.Option("--as", metavar="OURS", help="Our name for it, to write into the settings."),
]
Which = Annotated[
    str,
    typer.Option(
        "--id", metavar="WHICH", help="Which of X's two ids conversions name: id, website_tag_id."
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
ServerOnly = Annotated[
    bool, typer.Option("--server-only", help="No page calls it: only servers tell of it.")
]
Deleted = Annotated[bool, typer.Option("--deleted", help="Those that were deleted, too.")]


def register(app: typer.Typer) -> None:
    """Add the command and what it can do."""
    events = typer.Typer(help=f"{COMMANDS['events']}\n\n{EXAMPLE}", no_args_is_help=True)
    events.command("list", help=LIST)(listed)
    events.command("create", help=CREATE)(create)
    events.command("update", help=UPDATE)(update)
    events.command("delete", help=DELETE)(delete)
    events.command("snippet", help=events_snippet.HELP)(events_snippet.snippet)
    app.add_typer(events, name="events")


def listed(
    *,
    config: Config = DEFAULT_CONFIG,
    pixel: Pixel = None,
    deleted: Deleted = False,
    as_json: Json = False,
) -> None:
    found, destination = _chosen(config, pixel)
    known = asyncio.run(_account(found, destination).events(with_deleted=deleted))
    names = events_shown.names_of(destination)
    if as_json:
        printing.print_json([events_shown.told(one, names) for one in known])
    elif not known:
        printing.say(f"Ads account {destination.account} has no events.")
    else:
        events_shown.print_events(destination, known, names)


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
    if which not in {"id", "website_tag_id"}:
        raise typer.BadParameter("is id or website_tag_id", param_hint="--id")
    found, destination = _chosen(config, pixel)
    change = Change(
        name=name,
        type=kind and kind.upper(),
        click_window=click_window,
        view_through_window=view_window,
        retargeting_enabled=retargeting,
    )
    _refuse(faults(change))
    if ours is not None:
        # What the settings do not take is known before X has an event of it.
        Draft(found.path, pixel=destination.pixel, name=ours, event="o8z6k")
    made = asyncio.run(_account(found, destination).create(change))
    if not as_json:
        printing.say(f"Made {made.name}: {events_shown.both(destination, made.id)}.")
    written = False
    if ours is not None:
        event = made.id if which == "id" else made.website_tag_id or made.id
        draft = Draft(found.path, pixel=destination.pixel, name=ours, event=event)
        written = _write(draft, yes=yes, quiet=as_json)
        if not as_json and not server_only:
            printing.say(f"Calls for it: twite events snippet {ours}")
        elif not as_json:
            printing.say(f"Calls for it: twite events snippet {ours} --server-only")
    if as_json:
        printing.print_json(events_shown.told(made, {}) | {"ours": ours, "written": written})


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
    found, destination = _chosen(config, pixel)
    change = Change(
        name=name,
        type=kind and kind.upper(),
        click_window=click_window,
        view_through_window=view_window,
        retargeting_enabled=retargeting,
    )
    if change == Change():
        raise typer.BadParameter("say what to change", param_hint="--name")
    changed = asyncio.run(_changed(_account(found, destination), destination, event, change))
    if as_json:
        printing.print_json(events_shown.told(changed, events_shown.names_of(destination)))
    else:
        events_shown.print_events(destination, [changed], events_shown.names_of(destination))


def delete(
    event: Event,
    *,
    config: Config = DEFAULT_CONFIG,
    pixel: Pixel = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    found, destination = _chosen(config, pixel)
    account = _account(found, destination)
    tag = asyncio.run(_existing(account, destination, event))
    names = events_shown.names_of(destination).get(tag.id, ())
    if not yes:
        if not as_json:
            printing.complain(f"{tag.name}: {events_shown.both(destination, tag.id)}")
        for ours in names:
            printing.complain(f"The settings call it {ours}: its conversions would be refused.")
        if not typer.confirm("Delete it at X?", err=True):
            raise typer.Exit(1)
    gone = asyncio.run(account.delete(tag.id))
    if as_json:
        printing.print_json(events_shown.told(gone, events_shown.names_of(destination)))
        return
    printing.say(f"Deleted {gone.name}. X keeps it, marked: twite events list --deleted.")
    for ours in names:
        printing.say(f"Take {ours} out of {found.path}: X refuses its conversions from now on.")


def _chosen(config: Config, pixel: str | None) -> tuple[Settings, Destination]:
    """Return the settings, and the pixel with its stored credentials."""
    found = load(config)
    chosen = one_pixel(found, pixel)
    pixels = asyncio.run(stored(found))
    return found, next(one for one in pixels if one.pixel == chosen)


def _account(found: Settings, destination: Destination) -> AdsAccount:
    return ads_account(found, destination)


async def _existing(account: AdsAccount, destination: Destination, event: str) -> EventTag:
    id_ = bare(destination.events.get(event, event), pixel=destination.pixel)
    tag = await account.one(id_)
    if tag is None or tag.deleted:
        why = "was deleted" if tag is not None else "is not among the account's"
        raise SettingsError(
            place=event, message=f"the event {id_} {why}. twite events list shows which there are"
        )
    return tag


async def _changed(
    account: AdsAccount, destination: Destination, event: str, change: Change
) -> EventTag:
    tag = await _existing(account, destination, event)
    _refuse(faults(change, now=tag))
    return await account.update(tag.id, change)


def _refuse(found: Iterator[str]) -> None:
    wrong = list(found)
    if wrong:
        raise typer.BadParameter("; ".join(wrong))


def _write(draft: Draft, *, yes: bool, quiet: bool) -> bool:
    """Show what would change in the settings, and write it if that is wanted."""
    if not draft.is_changed:
        return True
    if not quiet:
        for line in draft.diff():
            printing.say(line)
    if not yes:
        if not sys.stdin.isatty():
            printing.complain("Not written: add --yes, or the line by hand.")
            return False
        if not typer.confirm("Write this into the settings?", err=True):
            return False
    draft.write()
    if not quiet:
        printing.say("Written. A running gateway knows it after a restart.")
    return True
