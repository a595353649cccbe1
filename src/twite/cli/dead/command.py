"""`twite dead`: list, replay or discard dead and held deliveries, and follow replays."""

import asyncio
from functools import partial
from typing import Annotated, Final

import typer

from twite.app.reports.conversion_report import ConversionReport, conversion_report
from twite.cli import printing
from twite.cli.dead.choice import MOST, Selection, choose, print_histories, resting
from twite.cli.dead.discard import DiscardReport, discard_chosen
from twite.cli.dead.replay import ReplayChoice, ReplayReport, replay_chosen
from twite.cli.dead.status import (
    ReplayStatus,
    cancelled,
    follow_replay,
    may_be_sent,
    print_replays,
    read_status,
)
from twite.cli.options import (
    DEFAULT_CONFIG,
    Config,
    Json,
    ListedByDefault,
    Pixel,
    known_pixel,
    load,
    option,
    prints,
    time_given,
)
from twite.config.settings import Settings
from twite.domain.replay_batch import ReplayState
from twite.domain.times import LATEST
from twite.gateway.ports.queries import AtRest
from twite.machine.system import SystemClock

_REPLAYS_SHOWN: Final = 20

Ids = Annotated[
    list[str] | None,
    typer.Argument(metavar="ID", help="Conversion ids or delivery numbers"),
]
All = Annotated[bool, typer.Option("--all", help="All dead letters, instead of ids")]
Held = Annotated[bool, typer.Option("--held", help="With --all: include held conversions")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show what would happen without changing anything")
]
Sure = Annotated[
    bool,
    typer.Option("--may-count-twice", help="Also send conversions that X may count twice"),
]
CurrentMapping = Annotated[
    bool,
    typer.Option(
        "--current-mapping", help="Send each with the event id that the settings now map it to"
    ),
]
Note = Annotated[str, typer.Option("--note", help="The reason, stored with the conversions")]
Limit = Annotated[
    int, typer.Option("--limit", min=1, max=MOST, help="Show at most this many conversions")
]
Since = Annotated[str | None, option("--since", "TIME", "Only those dead or held since then")]
Until = Annotated[str | None, option("--until", "TIME", "Only those dead or held before then")]
ReplayId = Annotated[str, typer.Argument(metavar="REPLAY", help="The id of a replay")]
OneReplay = Annotated[
    str | None, typer.Argument(metavar="REPLAY", help="Only the replay with this id")
]
Follow = Annotated[
    bool, typer.Option("--follow", help="With an id: wait until nothing is left to send")
]

dead = typer.Typer(
    help="Example: `twite dead list`, then `twite dead replay order-1001`", cls=ListedByDefault
)


@dead.command("list")
@prints(list[ConversionReport])
def listed(
    *,
    config: Config = DEFAULT_CONFIG,
    pixel: Pixel = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """List dead letters and held conversions, latest first.

    Example: `twite dead list --since 2026-11-24 --until 2026-11-25`
    """
    found = load(config)
    known_pixel(found, pixel)
    now = SystemClock().now()
    ends = time_given("--until", until, now)
    wanted = AtRest(
        pixel=pixel,
        since=time_given("--since", since, now) or 0,
        until=LATEST if ends is None else ends,
        limit=limit,
    )
    histories = resting(found, wanted)
    if as_json:
        printing.print_json([conversion_report(history) for history in histories])
    elif not histories:
        printing.say("No dead letters or held conversions.")
    else:
        print_histories(histories)
    if len(histories) == limit:
        printing.complain(f"Only the latest {limit} are shown; --limit shows more.")


@dead.command("replay")
@prints(ReplayReport)
def replay(
    ids: Ids = None,
    *,
    config: Config = DEFAULT_CONFIG,
    pixel: Pixel = None,
    every: All = False,
    held: Held = False,
    may_count_twice: Sure = False,
    current_mapping: CurrentMapping = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Start a replay with the same conversion ids and bodies.

    X may already have received some of these conversions. X could count such a conversion twice if
    40 hours have passed since then. If that is possible, or if the settings forbid resending, the
    command sends nothing unless you add --may-count-twice.

    After you have corrected `events` in the settings, add --current-mapping: otherwise the
    conversions are sent with the event id that X refused.

    Example: `twite dead replay --all --pixel o8z6j --dry-run`
    """
    settings = load(config)
    selection = Selection(ids=ids or [], every=every, held=held, pixel=pixel)
    choice = ReplayChoice(
        is_sure=may_count_twice,
        current_mapping=current_mapping,
        dry_run=dry_run,
        as_json=as_json,
    )
    if not replay_chosen(settings, choose(settings, selection), choice):
        raise typer.Exit(1)


@dead.command("discard")
@prints(DiscardReport)
def discard(
    ids: Ids = None,
    *,
    config: Config = DEFAULT_CONFIG,
    pixel: Pixel = None,
    every: All = False,
    held: Held = False,
    note: Note = "discarded by hand",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Discard conversions permanently. Twite then counts them as suppressed.

    Example: `twite dead discard order-1001 --note "test order"`
    """
    settings = load(config)
    chosen = choose(settings, Selection(ids=ids or [], every=every, held=held, pixel=pixel))
    if not discard_chosen(settings, chosen, note, dry_run=dry_run, as_json=as_json):
        raise typer.Exit(1)


@dead.command("replays")
@prints(list[ReplayStatus])
def replays(
    replay: OneReplay = None,
    *,
    config: Config = DEFAULT_CONFIG,
    follow: Follow = False,
    as_json: Json = False,
) -> None:
    """List replays of the last 30 days, or follow one to its end.

    With --follow, the exit code is 1 unless X has accepted all of its conversions.

    Example: `twite dead replays 019ab9f2-10aa-74ba-a097-7c8d979853a0 --follow`
    """
    settings = load(config)
    if follow:
        if replay is None:
            raise typer.BadParameter("name a replay. Run twite dead replays to see the ids")
        report = partial(_may_continue if as_json else _says, settings)
        status = asyncio.run(follow_replay(settings, replay, report))
        if as_json:
            printing.print_json([status])
        if not status.is_delivered:
            raise typer.Exit(1)
        return
    statuses = asyncio.run(read_status(settings, replay, _REPLAYS_SHOWN))
    if as_json:
        printing.print_json(statuses)
    elif not statuses:
        printing.say("No replays in the last 30 days.")
    else:
        print_replays(statuses)


@dead.command("cancel")
@prints(ReplayStatus)
def cancel(replay: ReplayId, *, config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Cancel a replay: what is not sent yet is held again.

    Example: `twite dead cancel 019ab9f2-10aa-74ba-a097-7c8d979853a0`
    """
    status = asyncio.run(cancelled(load(config), replay))
    if as_json:
        printing.print_json(status)
    else:
        printing.say(f"Cancelled: {status.in_words}.")


def _says(settings: Settings, status: ReplayStatus) -> bool:
    """Print a change of a replay; return whether a gateway may continue it."""
    printing.say(f"{status.state.value}: {status.in_words}")
    return _may_continue(settings, status)


def _may_continue(settings: Settings, status: ReplayStatus) -> bool:
    if status.state is not ReplayState.RUNNING or may_be_sent(settings):
        return True
    printing.complain("No gateway is running. Start twite serve, then follow again.")
    return False
