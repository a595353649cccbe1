"""One file, from the question whether to send it to the summary."""

import asyncio
import random
import time
from pathlib import Path
from typing import Final

import aiohttp
import msgspec
import typer

from twite.cli import printing, send_summary
from twite.cli.send_files import Opened
from twite.cli.send_gateway import TIMEOUT, Stopped, Submitter, Waiting, poster
from twite.cli.send_report import Report, State, earlier_run, open_report, state_path
from twite.cli.send_run import DryRun, Submits, run
from twite.cli.send_target import Target
from twite.cli.send_verdicts import Tally
from twite.domain.errors import SenderError
from twite.intake.rows import Reading


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for. `options` stands for all that decides what is sent, and where to.

    `patience` is in seconds; `report` is None for the place beside each file.
    """

    reading: Reading
    options: str
    dry: bool
    restart: bool
    agreed: bool
    patience: float
    quiet: bool
    report: Path | None


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """How far it came. `report` is None where nothing was written."""

    opened: Opened
    tally: Tally
    report: Path


def perform(opened: Opened, wish: Wish, target: Target) -> Done:
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
    return Done(opened=opened, tally=state.tally, report=path)


def _beside(file: Path, *, dry: bool) -> Path:
    return file.with_name(f"{file.name}.{'dry-run' if dry else 'report'}.csv")


def _state(opened: Opened, wish: Wish, report: Path) -> State:
    """Return how far an earlier run with the same file and options came, or a beginning."""
    fresh = State(size=opened.size, sha256=opened.digest.hex(), options=wish.options)
    if wish.restart or wish.dry:
        return fresh
    earlier = earlier_run(report, size=fresh.size, sha256=fresh.sha256)
    if earlier is None or (earlier.finished and earlier.options != wish.options):
        return fresh
    if earlier.options != wish.options:
        raise SenderError(
            f"{opened.path.name}: an earlier run with other options stopped after {earlier.done:,} "
            "rows. Use the same options to go on, or --restart to begin again: what the gateway "
            "has already is a duplicate then"
        )
    if earlier.done and not earlier.finished:
        printing.complain(f"going on after the {earlier.done:,} rows that an earlier run sent")
    return earlier


def _ask(opened: Opened, wish: Wish, target: Target, state: State) -> None:
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


def _run(opened: Opened, wish: Wish, target: Target, report: Report) -> None:
    with send_summary.telling(opened.path.name, opened.rows) as teller:
        try:
            asyncio.run(_submitted(opened, wish, target, report, teller))
        except Stopped as error:
            teller.say(f"stopped after {report.state.done:,} rows: {error}")
            teller.say(_AGAIN)
        except KeyboardInterrupt:
            teller.say(f"stopped after {report.state.done:,} rows. {_AGAIN}")
            raise


_AGAIN: Final = "The same command goes on from there"


async def _submitted(
    opened: Opened,
    wish: Wish,
    target: Target,
    report: Report,
    teller: send_summary.Teller,
) -> None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT)) as session:
        await run(
            opened,
            wish.reading,
            submitter=_submitter(wish, target, session, teller),
            report=report,
            advance=teller.advance,
        )


def _submitter(
    wish: Wish, target: Target, session: aiohttp.ClientSession, teller: send_summary.Teller
) -> Submits:
    if wish.dry and target.source is not None:
        return DryRun(
            source=target.source,
            destinations=target.destinations or {},
            now=time.time_ns() // 1_000_000,
        )
    return Submitter(
        post=poster(session, url=target.url, key=target.key),
        waiting=Waiting(
            patience=wish.patience,
            elapsed=time.monotonic,
            sleep=asyncio.sleep,
            chance=random.random,
            say=teller.say,
        ),
    )
