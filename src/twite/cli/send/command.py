"""`twite send`: send conversions from files."""

import sys
import time
from collections.abc import Sequence
from datetime import tzinfo
from pathlib import Path
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo

import typer

from twite.cli import printing
from twite.cli.options import DEFAULT_CONFIG, Config, Json, option
from twite.cli.send import summary as send_summary
from twite.cli.send.client import target
from twite.cli.send.files import OpenedFile, examine
from twite.cli.send.results import RowResultKind, options_digest
from twite.cli.send.run import SendOptions, perform
from twite.domain.conversion import currency as known_currency
from twite.domain.fault import Fault
from twite.domain.times import DAY
from twite.formats.files.cells import Decimal
from twite.formats.files.findings import RowAge, remembered_age
from twite.formats.files.rows import RowOptions
from twite.formats.files.table import NAMES, UnknownColumn

OlderRows = Literal["send", "skip"]

_PATIENCE: Final = 600  # seconds


def send(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE…",
            help="JSON, JSON Lines, CSV or Parquet; also .gz and .zst",
            show_default=False,
        ),
    ],
    *,
    mapping: Annotated[
        list[str] | None,
        option(
            "--map",
            "OURS=COLUMN",
            "Read one of Twite's fields from a column; OURS= leaves it empty",
        ),
    ] = None,
    event: Annotated[
        str | None, option("--event", "NAME", "The event of rows that name no event")
    ] = None,
    currency: Annotated[
        str | None, option("--currency", "CODE", "The currency of amounts without a currency")
    ] = None,
    decimal: Annotated[
        Decimal | None,
        typer.Option(show_default=False, help="The decimal separator, for amounts such as 1,234"),
    ] = None,
    delimiter: Annotated[
        str | None,
        option("--delimiter", "CHAR", "The CSV separator, such as ';' or tab; default: detected"),
    ] = None,
    timezone: Annotated[
        str | None,
        option(
            "--timezone", "ZONE", "The time zone of times without a zone, such as Europe/London"
        ),
    ] = None,
    source: Annotated[
        str | None, option("--source", "NAME", "The source to send as, from the settings")
    ] = None,
    to: Annotated[
        str | None, option("--to", "URL", "The gateway's address; default: from the settings")
    ] = None,
    key_from: Annotated[
        str | None,
        option("--key-from", "PLACE", "With --to: the API key, as env:NAME or file:PATH"),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check every row without sending")
    ] = False,
    report: Annotated[
        Path | None,
        option("--report", "FILE", "Where to write the report; default: FILE.report.csv"),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Start at the first row, ignoring an earlier run")
    ] = False,
    wait: Annotated[
        int,
        typer.Option(
            min=0, metavar="SECONDS", help="Give up if the gateway accepts nothing for this long"
        ),
    ] = _PATIENCE,
    older: Annotated[
        OlderRows | None,
        typer.Option(
            show_default=False,
            help="What to do with rows that are older than the gateway's memory of duplicates",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation")] = False,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Exits with 1 if a row was rejected or not sent. The report lists the reasons.

    Example: `twite send orders.csv --event purchase --timezone Europe/London`
    """
    _require_sense(files, report, key_from, dry=dry_run)
    if currency is not None and isinstance(known_currency(currency, path=""), Fault):
        raise typer.BadParameter(
            "not an ISO 4217 currency code, such as EUR", param_hint="--currency"
        )
    chosen = dict(_mapped(pair) for pair in mapping or ())
    aim = target(config, to=to, source=source, key_from=key_from)
    wish = SendOptions(
        row_options=RowOptions(
            event=event,
            currency=currency,
            decimal=decimal,
            zone=_zone(timezone),
            age=_age(older, aim.dedup_window),
        ),
        options=options_digest(
            [aim.url, aim.name, event, currency, decimal, timezone, chosen, delimiter, older]
        ),
        dry=dry_run,
        restart=restart,
        agreed=yes,
        patience=wait,
        quiet=as_json,
        report=report,
    )
    # Read all files first: nothing is sent if one cannot be read.
    separator = None if delimiter is None else _separator(delimiter)
    can_ask = not yes and sys.stdin.isatty() and sys.stderr.isatty()
    opened = [_examined(file, chosen, event, separator, can_ask=can_ask) for file in files]
    done = [perform(file, wish, aim) for file in opened]
    if as_json:
        results = [
            send_summary.as_json(result.opened, result.tally, result.report) for result in done
        ]
        printing.print_json({"dry_run": dry_run, "files": results})
    if any(
        result.tally.of(RowResultKind.REJECTED) or result.tally.rows < result.opened.rows
        for result in done
    ):
        raise typer.Exit(1)


def _require_sense(
    files: list[Path], report: Path | None, key_from: str | None, *, dry: bool
) -> None:
    if report is not None and len(files) > 1:
        raise typer.BadParameter("works with one file only", param_hint="--report")
    if dry and key_from is not None:
        raise typer.BadParameter("needs no key: remove --key-from", param_hint="--dry-run")


def _age(older: OlderRows | None, dedup_window: int) -> RowAge | None:
    if older == "send":
        return None
    age = remembered_age(dedup_window)
    oldest = time.time_ns() // 1_000_000 - age
    return RowAge(oldest=oldest, days=age // DAY, is_skipped=older == "skip")


def _mapped(pair: str) -> tuple[str, str]:
    field, equals, column = pair.partition("=")
    if not equals or not field.strip():
        raise typer.BadParameter(
            f"must be FIELD=COLUMN, such as email=Contact. The fields: {', '.join(NAMES)}",
            param_hint="--map",
        )
    return field.strip(), column.strip()


def _zone(name: str | None) -> tzinfo | None:
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise typer.BadParameter(
            "unknown time zone. Use a name such as Europe/London or UTC", param_hint="--timezone"
        ) from None


def _separator(given: str) -> str:
    mark = {"tab": "\t", "\\t": "\t"}.get(given.lower(), given)
    if len(mark) != 1 or mark in '"\r\n' or mark.isalnum():
        raise typer.BadParameter(
            "must be one character, such as ';' or '|', or the word tab",
            param_hint="--delimiter",
        )
    return mark


def _examined(
    file: Path,
    chosen: dict[str, str],
    event: str | None,
    delimiter: str | None,
    *,
    can_ask: bool,
) -> OpenedFile:
    try:
        opened = examine(file, chosen, delimiter=delimiter)
    except UnknownColumn as error:
        raise typer.BadParameter(f"{file.name}: {error.message}", param_hint="--map") from None
    if delimiter is not None and opened.kind != "csv":
        raise typer.BadParameter(
            f"{file.name} is not a CSV file and has no separator",
            param_hint="--delimiter",
        )
    if opened.columns.header and "event" not in opened.columns.taken and event is None:
        raise typer.BadParameter(
            f"{file.name} has no event column. Give the event, as in --event purchase, or its "
            f"column, as in --map event=COLUMN",
            param_hint="--event",
        )
    if opened.unmapped_times:
        chosen = chosen | {"time": _time_column(file.name, opened.unmapped_times, can_ask=can_ask)}
        return _examined(file, chosen, event, delimiter, can_ask=can_ask)
    return opened


def _time_column(file: str, names: Sequence[str], *, can_ask: bool) -> str:
    """Ask which column is the time; "" for none. Raises BadParameter if nobody can be asked."""
    if not can_ask:
        likely = " or ".join(f'--map time="{name}"' for name in names[:3])
        raise typer.BadParameter(
            f"{file} has no known time column, and unused columns look like times. Use {likely}, "
            "or --map time= to send every row with the current time",
            param_hint="--map",
        )
    for name in names:
        question = f'{file}: is the column "{printing.safe(name)}" the time of the conversions?'
        if typer.confirm(question, default=True, err=True):
            return name
    return ""
