"""`twite reload`: make the running gateway use changed settings."""

import asyncio
from typing import Annotated

import typer

from twite.app.control_client import reload_gateway
from twite.cli import printing
from twite.cli.options import DEFAULT_CONFIG, Config, Json, load
from twite.config.collected_errors import located
from twite.domain.errors import SettingsError
from twite.domain.plural import plural
from twite.gateway.operations.control import ReloadReport
from twite.gateway.ports.events import ReloadResult

_KEPT = frozenset({ReloadResult.NEEDS_RESTART, ReloadResult.FAILED})


def reload(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would change, and change nothing")
    ] = False,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Requests and connections go on. All workers reload, and other nodes read their own files.

    If the file has mistakes, the gateway keeps the old settings. The command lists the changed keys
    that need a restart. Exits with 1 if the gateway kept the old settings.

    Example: `twite reload --dry-run`
    """
    try:
        report = asyncio.run(reload_gateway(load(config), dry_run=dry_run))
    except SettingsError as wrong:
        report = ReloadReport(result=ReloadResult.FAILED, problems=located(config, wrong))
    if as_json:
        printing.print_json(report)
    else:
        _print(report, dry_run=dry_run)
    if report.result in _KEPT:
        raise typer.Exit(1)


def _print(report: ReloadReport, *, dry_run: bool) -> None:
    for change in report.changes:
        printing.say(f"  {change}")
    for key in report.restart:
        printing.say(f"  {key} needs a restart")
    for problem in report.problems:
        printing.complain(f"Error: {problem}")
    if report.result in _KEPT:
        printing.complain("The gateway keeps the old settings.")
    elif dry_run:
        printing.say("Nothing was changed: this was a dry run.")
    elif report.result is ReloadResult.UNCHANGED:
        printing.say("Nothing to reload.")
    else:
        printing.say(f"Reloaded in {plural(report.processes, 'process', 'processes')}.")
