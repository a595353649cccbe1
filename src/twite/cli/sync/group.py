"""`twite sync NAME`: run a `[[sync]]` of the settings now, look at its next rows, or list all."""

import asyncio
from typing import Annotated, Any

import msgspec
import typer
from typer.core import TyperGroup

from twite.app.control_client import running_gateway
from twite.app.store_access import open_records
from twite.app.sync.look import NextRows, read_next_rows
from twite.app.sync.state import PAUSED, SyncRun, SyncState, load_pause, load_state
from twite.cli import printing
from twite.cli.options import DEFAULT_CONFIG, Config, Json, load, prints
from twite.config.settings import Settings
from twite.config.syncs import SyncSettings
from twite.config.toml import nearest
from twite.domain.plural import plural
from twite.domain.times import spelled
from twite.gateway.operations.control import PositionChoice, SyncReport

_RUN = "run"


class SyncGroup(TyperGroup):
    """A group in which every other word is the name of a `[[sync]]`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  # click's context
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            args = [_RUN, *args]
        return super().parse_args(ctx, args)


class SyncView(msgspec.Struct, frozen=True, kw_only=True):
    """A sync and its last run.

    `caught_up_at` (ms) is the start of the last run that read everything.
    """

    name: str
    caught_up_at: int | None
    last_run: SyncRun | None
    is_paused: bool


@prints(SyncReport, NextRows)
def run_sync(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of a [[sync]]")],
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the next rows, and send nothing")
    ] = False,
    position: Annotated[
        PositionChoice | None,
        typer.Option(
            show_default=False,
            help="After a change of url or query: keep the stored position, or reset it, to begin "
            "as a new sync",
        ),
    ] = None,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Run a [[sync]] now, in the running gateway. Exits with 1 if a row was rejected.

    Example: `twite sync orders --dry-run`
    """
    settings = load(config)
    sync = _named(settings, name)
    if dry_run:
        _print_next(asyncio.run(read_next_rows(settings, sync)), as_json=as_json)
        return
    report = asyncio.run(_whole_run(settings, sync, position))
    if as_json:
        printing.print_json(report)
    else:
        _print_report(report)
    if report.error or report.refused:
        raise typer.Exit(1)


@prints(list[SyncView])
def list_syncs(*, config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """List the syncs of the settings, with their last runs.

    Example: `twite sync list`
    """
    settings = load(config)
    states = asyncio.run(_states(settings))
    if as_json:
        printing.print_json(
            [
                SyncView(
                    name=name,
                    caught_up_at=state.caught_up_at,
                    last_run=state.last_run,
                    is_paused=bool(pause),
                )
                for name, state, pause in states
            ]
        )
        return
    rows: list[list[str | int]] = []
    for name, state, pause in states:
        run = state.last_run
        if pause:
            rows.append([name, "" if run is None else spelled(run.at), "", PAUSED])
        elif run is None:
            rows.append([name, "", "", "has not run yet"])
        else:
            rows.append([name, spelled(run.at), run.rows, run.error or _counts(run.verdicts)])
    printing.print_table(["sync", "last run", "rows", "result"], rows)


async def _whole_run(
    settings: Settings, sync: SyncSettings, position: PositionChoice | None
) -> SyncReport:
    """Ask the gateway for parts of the run until it is done. Raises LedgerUnavailable."""
    total = SyncReport()
    async with running_gateway(settings) as gateway:
        while True:
            part = await gateway.sync(sync.name, position)
            position = None
            verdicts = {
                kind: total.verdicts.get(kind, 0) + part.verdicts.get(kind, 0)
                for kind in total.verdicts | part.verdicts
            }
            total = msgspec.structs.replace(
                part,
                rows=total.rows + part.rows,
                files=total.files + part.files,
                verdicts=verdicts,
                refused=(*total.refused, *part.refused),
            )
            if part.is_done:
                return total
            printing.complain(f"{sync.name}: {plural(total.rows, 'row')}")


async def _states(settings: Settings) -> list[tuple[str, SyncState, str]]:
    """Return the name, state and pause of each sync."""
    if not settings.store.exists:
        return [(sync.name, SyncState(), "") for sync in settings.syncs]
    found = []
    async with open_records(settings) as records:
        for sync in settings.syncs:
            state = await load_state(records, sync.name)
            found.append((sync.name, state, await load_pause(records, state)))
    return found


def _named(settings: Settings, name: str) -> SyncSettings:
    known = {sync.name: sync for sync in settings.syncs}
    if name not in known:
        raise typer.BadParameter(
            f"no [[sync]] in {settings.path} has this name. "
            f"{nearest(name, known, none='There is no [[sync]] yet')}",
            param_hint="NAME",
        )
    return known[name]


def _print_report(report: SyncReport) -> None:
    files = f" of {plural(report.files, 'file')}" if report.files else ""
    printing.say(f"{plural(report.rows, 'new row')}{files}: {_counts(report.verdicts) or 'none'}")
    if report.refused:
        printing.print_table(
            ["conversion id", "verdict", "code", "message"],
            [
                [row["conversion_id"], row["verdict"], row["code"], row["message"]]
                for row in report.refused
            ],
        )
    if report.error:
        printing.complain(report.error)


def _print_next(next_rows: NextRows, *, as_json: bool) -> None:
    if as_json:
        printing.print_json(next_rows)
        return
    printing.say("Dry run: nothing was sent.")
    printing.say(next_rows.start)
    if next_rows.files:
        printing.print_table(["file"], [[file] for file in next_rows.files])
    elif next_rows.rows:
        printing.print_table(
            ["conversion id", "verdict", "message"],
            [[row.conversion_id, row.verdict, row.message] for row in next_rows.rows],
        )


def _counts(verdicts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {kind.replace('_', ' ')}" for kind, count in verdicts.items())
