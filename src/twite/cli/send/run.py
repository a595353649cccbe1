"""Send one file or query: confirm, continue where an earlier run stopped, write the report."""

import asyncio
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Final

import aiohttp
import msgspec
import typer

from twite.app.row_check import RowCheck
from twite.cli import printing
from twite.cli.send import summary as send_summary
from twite.cli.send.client import (
    TIMEOUT,
    SendStopped,
    SendTarget,
    Submitter,
    poster,
    retry_patience,
)
from twite.cli.send.results import ReportState, SendReport, earlier_run, open_report, state_path
from twite.domain.errors import ClientError
from twite.domain.plural import plural
from twite.formats.files.findings import FileRow
from twite.formats.files.requests import batches
from twite.formats.files.results import ResultTally, RowResult, refused
from twite.formats.files.rows import RowOptions
from twite.readers.files import OpenedInput, read_rows

_AGAIN: Final = "Run the same command again to continue"


class SendOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a run.

    `options` is a digest of all options that affect what is sent, and where. `patience` is in
    seconds. If `report` is None, each report is written next to its file. `preview` is a number of
    rows to check only.
    """

    row_options: RowOptions
    options: str
    dry: bool
    preview: int | None
    restart: bool
    agreed: bool
    patience: float
    quiet: bool
    report: Path | None


class SendResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a run. `report` is None if nothing was written."""

    opened: OpenedInput
    tally: ResultTally
    report: Path
    is_finished: bool


def perform(opened: OpenedInput, options: SendOptions, target: SendTarget) -> SendResult:
    """Confirm, send, write the report and print a summary."""
    ending = "dry-run" if options.dry else "report"
    place = opened.report_path
    path = options.report or place.with_name(f"{place.name}.{ending}.csv")
    if not options.quiet:
        send_summary.announce(opened)
    if options.preview is not None:
        return _previewed(opened, options, target, path)
    state = _state(opened, options, path)
    if state.finished:
        printing.complain(
            f"{opened.name} was already sent; these are its verdicts. Use --restart to "
            "send the file again"
        )
    else:
        _ask(opened, options, target, state)
        report = open_report(path, state, source=opened.report_path, overwrite=options.agreed)
        try:
            _send(opened, options, target, report)
        finally:
            report.close()
        if options.dry:
            state_path(path).unlink(missing_ok=True)
    if not options.quiet:
        send_summary.summarise(opened, state.tally, path, dry=options.dry)
    return SendResult(opened=opened, tally=state.tally, report=path, is_finished=state.finished)


def _previewed(
    opened: OpenedInput, options: SendOptions, target: SendTarget, path: Path
) -> SendResult:
    """Check the first rows, and print the result of each."""
    check = _dry_run(target)
    tally, shown = ResultTally(), []
    rows = islice(read_rows(opened, options.row_options), options.preview)
    for batch in batches(rows, skip=0):
        for result in asyncio.run(_judged(batch, check)):
            tally.add(result)
            shown.append(result)
    if not options.quiet:
        send_summary.preview(opened, shown)
    return SendResult(opened=opened, tally=tally, report=path, is_finished=True)


def _state(opened: OpenedInput, options: SendOptions, report: Path) -> ReportState:
    """Return the progress of an earlier run with the same file and options, or a new progress."""
    fresh = ReportState(size=opened.size, sha256=opened.digest.hex(), options=options.options)
    # A query is sent from the start: its rows may have changed. Sent ones count as duplicates.
    if options.restart or options.dry or opened.rows is None:
        return fresh
    earlier = earlier_run(report, size=fresh.size, sha256=fresh.sha256)
    if earlier is None or (earlier.finished and earlier.options != options.options):
        return fresh
    if earlier.options != options.options:
        raise ClientError(
            f"{opened.name}: an earlier run with different options stopped after "
            f"{plural(earlier.done, 'row')}. Use the same options to continue, or --restart to "
            "send all rows: rows that the gateway already has then count as duplicates"
        )
    if earlier.done and not earlier.finished:
        printing.complain(
            f"continuing after the {plural(earlier.done, 'row')} that an earlier run sent"
        )
    return earlier


def _ask(opened: OpenedInput, options: SendOptions, target: SendTarget, state: ReportState) -> None:
    if options.agreed or options.dry or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return
    rest = "all rows" if opened.rows is None else plural(opened.rows - state.done, "row")
    as_whom = f" as {target.name}" if target.name else ""
    typer.confirm(
        f"Send {rest} to {printing.safe(target.url)}{as_whom}?",
        default=True,
        abort=True,
        err=True,
    )


def _send(
    opened: OpenedInput, options: SendOptions, target: SendTarget, report: SendReport
) -> None:
    with send_summary.telling(opened.name, opened.rows) as notifier:
        try:
            asyncio.run(_submitted(opened, options, target, report, notifier))
        except SendStopped as error:
            notifier.say(f"stopped after {plural(report.state.done, 'row')}: {error}")
            notifier.say(_AGAIN)
        except KeyboardInterrupt:
            notifier.say(f"stopped after {plural(report.state.done, 'row')}. {_AGAIN}")
            raise


async def _submitted(
    opened: OpenedInput,
    options: SendOptions,
    target: SendTarget,
    report: SendReport,
    reporter: send_summary.ProgressReporter,
) -> None:
    """Send the remaining rows and record each result. Raises SendStopped."""
    done = report.state.done
    reporter.advance(done)
    # The earlier run may have stopped after it sent these rows and before it recorded them.
    lost = done > 0
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT)) as session:
        submitter = _submitter(options, target, session, reporter)
        for batch in batches(read_rows(opened, options.row_options), skip=done):
            report.write(await _judged(batch, submitter, lost=lost))
            lost = False
            reporter.advance(report.state.done)
    report.finish()


async def _judged(
    batch: list[FileRow], submitter: Submitter | RowCheck, *, lost: bool = False
) -> list[RowResult]:
    """Submit the rows that can be sent, and return the result of each row."""
    sent = [row for row in batch if row.body is not None]
    results = await submitter.submit(sent, lost=lost) if sent else []
    judged = {result.number: result for result in results}
    return [judged.get(row.number) or refused(row) for row in batch]


def _submitter(
    options: SendOptions,
    target: SendTarget,
    session: aiohttp.ClientSession,
    reporter: send_summary.ProgressReporter,
) -> Submitter | RowCheck:
    if options.dry:
        return _dry_run(target)
    return Submitter(
        post=poster(session, url=target.url, key=target.key),
        patience=retry_patience(options.patience, say=reporter.say),
    )


def _dry_run(target: SendTarget) -> RowCheck:
    assert target.source is not None  # noqa: S101  # --key-from is refused: for the type checker
    return RowCheck(
        source=target.source,
        destinations=target.destinations or {},
        now=time.time_ns() // 1_000_000,
    )
