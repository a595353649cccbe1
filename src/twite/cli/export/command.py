"""`twite export`: write conversions with their states into a database, object storage or a file."""

import asyncio
import os
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from twite.app.export.file_export import ENDINGS
from twite.app.export.open import event_names, export_to
from twite.app.export.run import ExportBasis, ExportRange, ExportRun
from twite.app.store_access import open_records
from twite.cli import printing
from twite.cli.options import DEFAULT_CONFIG, Config, Json, load, option, prints, time_given
from twite.config.exports import DEFAULT_TABLE, ExportSettings, require_target
from twite.config.kinds import Text
from twite.config.settings import Settings
from twite.config.syncs import LocationUrl, table_name
from twite.config.toml import Reader, nearest
from twite.domain.plural import plural
from twite.domain.times import LATEST, spelled
from twite.gateway.operations.export_rows import SCHEMA_VERSION, store_id
from twite.machine.system import SystemClock
from twite.readers.database.connection import shown_place

# The name of the position of exports that no [[export]] names.
_COMMAND: Final = "command"
_SHOWN_EVERY: Final = 50_000  # conversions

Name = Annotated[
    str | None, typer.Argument(metavar="NAME", help="The name of an [[export]]", show_default=False)
]
Target = Annotated[
    str | None,
    option(
        "--to",
        "TARGET",
        "postgresql://…, a prefix such as s3://BUCKET/twite/, FILE.parquet or FILE.csv; or "
        "env:NAME or file:PATH with the URL",
    ),
]
Since = Annotated[
    str | None, option("--since", "TIME", "Only conversions received since this day or time")
]
Until = Annotated[
    str | None, option("--until", "TIME", "Only conversions received before this day or time")
]
TableName = Annotated[
    str, typer.Option("--table", metavar="TABLE", help="The table in the database")
]


class ExportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an export did, as JSON. `since` and `until` are ISO 8601; None for no limit."""

    to: str
    schema_version: int
    since: str | None
    until: str | None
    read: int
    rows: int
    rejected: int


@prints(ExportReport)
def export(
    name: Name = None,
    *,
    to: Target = None,
    since: Since = None,
    until: Until = None,
    table: TableName = DEFAULT_TABLE,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """A database or object storage gets what is new or has changed since the last export.

    A file gets all conversions of the range. The gateway may run or not.

    Example: `twite export --since 30d --to conversions.parquet`
    """
    settings = load(config)
    now = SystemClock().now()
    if (name is None) == (to is None):
        raise typer.BadParameter("name an [[export]] of the settings, or a target with --to")
    if name is not None:
        target: ExportSettings | Path = _named(settings, name)
        if since is not None:
            raise typer.BadParameter("is a key of the [[export]]", param_hint="--since")
    else:
        target = _target(to or "", table)
    begin = time_given("--since", since, now) or 0
    if isinstance(target, ExportSettings) and name is not None:
        begin = target.since
    end = time_given("--until", until, now)
    if end is not None and begin >= end:
        raise typer.BadParameter("the range ends before it begins", param_hint="--until")
    range_ = ExportRange(since=begin, until=LATEST if end is None else end)
    run = ExportRun(at=now)
    asyncio.run(_export(settings, target, range_, run, quiet=as_json))
    shown = str(target) if isinstance(target, Path) else shown_place(target.secret_url.reveal())
    if as_json:
        printing.print_json(
            ExportReport(
                to=shown,
                schema_version=SCHEMA_VERSION,
                since=spelled(begin) if begin else None,
                until=None if end is None else spelled(end),
                read=run.read,
                rows=run.rows,
                rejected=run.rejected,
            )
        )
    else:
        printing.say(f"{plural(run.rows, 'row')} to {shown}, of {plural(run.read, 'conversion')}")


async def _export(
    settings: Settings,
    target: ExportSettings | Path,
    range_: ExportRange,
    run: ExportRun,
    *,
    quiet: bool,
) -> None:
    shown = 0

    def progressed(run: ExportRun) -> None:
        nonlocal shown
        if not quiet and run.read >= shown + _SHOWN_EVERY:
            shown = run.read
            printing.complain(plural(shown, "conversion"))

    async with open_records(settings) as records:
        basis = ExportBasis(
            queries=records,
            store_id=store_id(records.salt),
            clock=SystemClock(),
            event_names=event_names(settings),
            rests=False,
            progressed=progressed,
        )
        await export_to(target, basis, range_, run)


def _target(written: str, table: str) -> ExportSettings | Path:
    """Return the target that `--to` names. Raises SettingsError."""
    is_elsewhere = written.startswith(("env:", "file:"))
    if "://" not in written and not is_elsewhere:
        path = Path(written)
        if path.suffix not in ENDINGS:
            raise typer.BadParameter(
                f"{written!r} is neither a URL nor a file that ends in {' or '.join(ENDINGS)}",
                param_hint="--to",
            )
        return path
    reader = Reader(environ=os.environ, folder=Path.cwd())
    secret_url = LocationUrl().read(written, "--to", reader)
    require_target(secret_url, "--to")
    Text(table_name).read(table, "--table", reader)
    return ExportSettings(name=_COMMAND, secret_url=secret_url, table=table)


def _named(settings: Settings, name: str) -> ExportSettings:
    known = {each.name: each for each in settings.exports}
    if name not in known:
        raise typer.BadParameter(
            f"no [[export]] in {settings.path} has this name. "
            f"{nearest(name, known, none='There is no [[export]] yet')}",
            param_hint="NAME",
        )
    return known[name]
