"""`twite send`: send conversions from files, object storage and queries."""

import asyncio
import time
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
import typer

from twite.cli import printing
from twite.cli.options import DEFAULT_CONFIG, Config, Json, option, prints
from twite.cli.send import summary as send_summary
from twite.cli.send.client import SendTarget, read_dedup_window, retry_patience, target
from twite.cli.send.inputs import open_database_query, open_files
from twite.cli.send.results import options_digest
from twite.cli.send.row_options import (
    DecimalSeparator,
    Delimiter,
    Mapped,
    RowCurrency,
    RowEvent,
    TimeZone,
    chosen_columns,
    input_options,
    require_currency,
    zone_of,
)
from twite.cli.send.run import SendOptions, perform
from twite.domain.times import DAY
from twite.formats.files.findings import RowAge, remembered_age
from twite.formats.files.results import RowResultKind
from twite.formats.files.rows import RowOptions

OlderRows = Literal["send", "skip"]

_PATIENCE: Final = 600  # seconds


class SentFiles(msgspec.Struct, frozen=True, kw_only=True):
    """The result of each file or query."""

    dry_run: bool
    files: list[send_summary.SentFile]


@prints(SentFiles)
def send(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE…",
            help="JSON, JSON Lines, CSV or Parquet, also .gz and .zst; s3://, gs:// or az://; - is "
            "standard input; with --query, the database's URL",
            show_default=False,
        ),
    ],
    *,
    query: Annotated[
        str | None,
        typer.Option(
            metavar="SQL", show_default=False, help="Send the rows of a query, or of file:PATH"
        ),
    ] = None,
    mapping: Mapped = None,
    event: RowEvent = None,
    currency: RowCurrency = None,
    decimal: DecimalSeparator = None,
    delimiter: Delimiter = None,
    timezone: TimeZone = None,
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
    preview: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1_000,
            metavar="ROWS",
            show_default=False,
            help="Check the first rows, print their results, and send nothing",
        ),
    ] = None,
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
    _require_sense(files, report, key_from, dry=dry_run or preview is not None)
    if query is not None and (len(files) != 1 or delimiter is not None):
        raise typer.BadParameter(
            "needs one database's URL, and no --delimiter", param_hint="--query"
        )
    require_currency(currency)
    chosen = chosen_columns(mapping)
    aim = target(config, to=to, source=source, key_from=key_from)
    wish = SendOptions(
        row_options=RowOptions(
            event=event,
            currency=currency,
            decimal=decimal,
            zone=zone_of(timezone),
            age=_age(older, aim, wait),
        ),
        options=options_digest(
            [aim.url, aim.name, event, currency, decimal, timezone, chosen, delimiter, older]
        ),
        dry=dry_run,
        preview=preview,
        restart=restart,
        agreed=yes,
        patience=wait,
        quiet=as_json,
        report=report,
    )
    inputs = input_options(chosen=chosen, event=event, delimiter=delimiter, agreed=yes)
    if query is None:
        done = [perform(opened, wish, aim) for opened in open_files(files, inputs)]
    else:
        with open_database_query(query, files[0], inputs) as opened:
            done = [perform(opened, wish, aim)]
    if as_json:
        results = [
            send_summary.sent_file(result.opened, result.tally, result.report) for result in done
        ]
        printing.print_json(SentFiles(dry_run=dry_run, files=results))
    if any(result.tally.of(RowResultKind.REJECTED) or not result.is_finished for result in done):
        raise typer.Exit(1)


def _require_sense(
    files: list[str], report: Path | None, key_from: str | None, *, dry: bool
) -> None:
    if report is not None and len(files) > 1:
        raise typer.BadParameter("works with one file only", param_hint="--report")
    if dry and key_from is not None:
        raise typer.BadParameter("needs no key: remove --key-from", param_hint="--dry-run")


def _age(older: OlderRows | None, send_target: SendTarget, patience: float) -> RowAge | None:
    if older == "send":
        return None
    window = send_target.dedup_window
    if window is None:
        asking = retry_patience(patience, say=printing.complain)
        window = asyncio.run(read_dedup_window(send_target, asking))
    age = remembered_age(window)
    oldest = time.time_ns() // 1_000_000 - age
    return RowAge(oldest=oldest, days=age // DAY, is_skipped=older == "skip")
