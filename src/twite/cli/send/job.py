"""One file, from the question whether to send it to the summary."""

import asyncio
import random
import time
from pathlib import Path
from typing import Final

import aiohttp
import msgspec
import typer

from twite.cli import printing
from twite.cli.send import summary as send_summary
from twite.cli.send.client import TIMEOUT, RetryPatience, SendStopped, Submitter, poster
from twite.cli.send.files import OpenedFile
from twite.cli.send.report import ReportState, SendReport, earlier_run, open_report, state_path
from twite.cli.send.results import ResultTally
from twite.cli.send.run import BatchSubmitter, SendDryRun, run
from twite.cli.send.target import SendTarget
from twite.domain.errors import ClientError
from twite.formats.files.rows import RowOptions


class SendOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for. `options` stands for all that decides what is sent, and where to.

    `patience` is in seconds; `report` is None for the place beside each file.
    """

    reading: RowOptions
    options: str
    dry: bool
    restart: bool
    agreed: bool
    patience: float
    quiet: bool
    report: Path | None


class SendResult(msgspec.Struct, frozen=True, kw_only=True):
    """How far it came. `report` is None where nothing was written."""

    opened: OpenedFile
    tally: ResultTally
    report: Path


def perform(opened: OpenedFile, wish: SendOptions, target: SendTarget) -> SendResult:
    """Ask, send, write the report and say what came of it."""
    path = wish.report or _beside(opened.path, dry=wish.dry)
    if not wish.quiet:
        send_summary.announce(opened)
    state = _state(opened, wish, path)
    if state.finished:
        printing.complain(
            f"{opened.path.name} was sent already; with these verdicts. --restart sends it again"
        )
    else:
        _ask(opened, wish, target, state)
        report = open_report(path, state, source=opened.path, overwrite=wish.agreed)
        try:
            _run(opened, wish, target, report)
        finally:
            report.close()
        if wish.dry:
            state_path(path).unlink(missing_ok=True)
    if not wish.quiet:
        send_summary.summarise(opened, state.tally, path, dry=wish.dry)
    return SendResult(opened=opened, tally=state.tally, report=path)


def _beside(file: Path, *, dry: bool) -> Path:
    return file.with_name(f"{file.name}.{'dry-run' if dry else 'report'}.csv")


def _state(opened: OpenedFile, wish: SendOptions, report: Path) -> ReportState:
    """Return how far an earlier run with the same file and options came, or a beginning."""
    fresh = ReportState(size=opened.size, sha256=opened.digest.hex(), options=wish.options)
    if wish.restart or wish.dry:
        return fresh
    earlier = earlier_run(report, size=fresh.size, sha256=fresh.sha256)
    if earlier is None or (earlier.finished and earlier.options != wish.options):
        return fresh
    if earlier.options != wish.options:
        raise ClientError(
            f"{opened.path.name}: an earlier run with other options stopped after {earlier.done:,} "
            "rows. Use the same options to go on, or --restart to begin again: rows that the "
            "gateway already has are duplicates then"
        )
    if earlier.done and not earlier.finished:
        printing.complain(f"going on after the {earlier.done:,} rows that an earlier run sent")
    return earlier


def _ask(opened: OpenedFile, wish: SendOptions, target: SendTarget, state: ReportState) -> None:
    if wish.agreed or wish.dry or not send_summary.is_terminal():
        return
    rest = opened.rows - state.done
    as_whom = f" as {target.name}" if target.name else ""
    typer.confirm(
        f"Send {rest:,} rows to {printing.safe(target.url)}{as_whom}?",
        default=True,
        abort=True,
        err=True,
    )


def _run(opened: OpenedFile, wish: SendOptions, target: SendTarget, report: SendReport) -> None:
    with send_summary.telling(opened.path.name, opened.rows) as notifier:
        try:
            asyncio.run(_submitted(opened, wish, target, report, notifier))
        except SendStopped as error:
            notifier.say(f"stopped after {report.state.done:,} rows: {error}")
            notifier.say(_AGAIN)
        except KeyboardInterrupt:
            notifier.say(f"stopped after {report.state.done:,} rows. {_AGAIN}")
            raise


_AGAIN: Final = "The same command goes on from there"


async def _submitted(
    opened: OpenedFile,
    wish: SendOptions,
    target: SendTarget,
    report: SendReport,
    notifier: send_summary.ProgressReporter,
) -> None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT)) as session:
        await run(
            opened,
            wish.reading,
            submitter=_submitter(wish, target, session, notifier),
            report=report,
            advance=notifier.advance,
        )


def _submitter(
    wish: SendOptions,
    target: SendTarget,
    session: aiohttp.ClientSession,
    notifier: send_summary.ProgressReporter,
) -> BatchSubmitter:
    if wish.dry and target.source is not None:
        return SendDryRun(
            source=target.source,
            destinations=target.destinations or {},
            now=time.time_ns() // 1_000_000,
        )
    return Submitter(
        post=poster(session, url=target.url, key=target.key),
        waiting=RetryPatience(
            patience=wish.patience,
            elapsed=time.monotonic,
            sleep=asyncio.sleep,
            randomness=random.random,
            say=notifier.say,
        ),
    )
