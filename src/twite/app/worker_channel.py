"""What the worker processes of a machine ask each other: their metrics, and to reload."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from twite.gateway.operations.control import ReloadReport
from twite.gateway.ports.events import ReloadResult

Reload = Callable[[bool], Awaitable[ReloadReport]]
# Workers that started with the settings of the parent read them again if this file exists.
_MARK: Final = "reloaded"
_METRICS_WITHIN: Final = 2.0
_RELOAD_WITHIN: Final = 50.0
# From the best result to the worst.
_RESULTS: Final = (
    ReloadResult.UNCHANGED,
    ReloadResult.RELOADED,
    ReloadResult.NEEDS_RESTART,
    ReloadResult.FAILED,
)


class WorkerQuestion(StrEnum):
    METRICS = "metrics"
    RELOAD = "reload"
    DRY_RUN = "dry run"


class WorkerChannel:
    """Asks the other workers of a parent. Each worker answers on a socket in `folder`."""

    def __init__(self, folder: Path, rendered: Callable[[], bytes], reload: Reload) -> None:
        """`rendered` returns the metrics of this worker, and `reload` reloads it alone."""
        self._folder = folder
        self._rendered = rendered
        self._reload = reload
        self._own = folder / f"{os.getpid()}.sock"
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Answer the other workers."""
        self._server = await asyncio.start_unix_server(self._serve, path=self._own)

    async def stop(self) -> None:
        """Stop answering, and save the last metrics for the other workers."""
        if self._server is not None:
            self._server.close()
            _seen(self._own).write_bytes(self._rendered())
            self._own.unlink(missing_ok=True)

    async def add_up(self, page: bytes) -> bytes:
        """Add the metrics of all other workers to this worker's page.

        The last values of a worker that has ended still count, so that a sum never falls.
        """
        answers = await self._ask(WorkerQuestion.METRICS, within=_METRICS_WITHIN)
        live = {self._own: page} | {other: text for other, text in answers.items() if text}
        gone = [
            seen.read_bytes()
            for seen in self._folder.glob("*.seen")
            if seen.with_suffix(".sock") not in live
        ]
        for where, text in live.items():
            draft = where.with_suffix(f".{os.getpid()}")
            draft.write_bytes(text)
            draft.replace(_seen(where))
        from twite.observers.prometheus import added_up  # noqa: PLC0415  # see there

        return added_up(list(live.values()), gone)

    async def reload_others(self, own_report: ReloadReport, *, dry_run: bool) -> ReloadReport:
        """Reload the other workers, and return one report for all, with the worst result."""
        question = WorkerQuestion.DRY_RUN if dry_run else WorkerQuestion.RELOAD
        answers = await self._ask(question, within=_RELOAD_WITHIN)
        reports = (own_report, *(_report(where, answer) for where, answer in answers.items()))
        return msgspec.structs.replace(
            max(reports, key=lambda report: _RESULTS.index(report.result)),
            problems=tuple(dict.fromkeys(each for report in reports for each in report.problems)),
            processes=sum(report.processes for report in reports),
        )

    async def _ask(self, question: WorkerQuestion, *, within: float) -> dict[Path, bytes]:
        """Return the answers of the other workers, without those that have ended."""
        others = sorted(found for found in self._folder.glob("*.sock") if found != self._own)
        answers = await asyncio.gather(*(_answer(other, question, within) for other in others))
        return {
            other: answer
            for other, answer in zip(others, answers, strict=True)
            if answer is not None
        }

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            question = (await reader.readline()).decode().strip()
            if question == WorkerQuestion.METRICS:
                writer.write(self._rendered())
            elif question:
                writer.write(
                    msgspec.json.encode(await self._reload(question == WorkerQuestion.DRY_RUN))
                )
            await writer.drain()
        writer.close()


async def _answer(where: Path, question: WorkerQuestion, within: float) -> bytes | None:
    """Return a worker's answer; b"" if it does not answer in time, None if it has ended."""
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(within):
            try:
                reader, writer = await asyncio.open_unix_connection(where)
            except (ConnectionRefusedError, FileNotFoundError):
                return None  # a worker that was killed leaves its socket
            try:
                writer.write(f"{question}\n".encode())
                return await reader.read(-1)
            finally:
                writer.close()
    return b""


def _report(where: Path, answer: bytes) -> ReloadReport:
    """Read a report. The one that replaces a worker which has ended starts with new settings."""
    try:
        return msgspec.json.decode(answer, type=ReloadReport)
    except msgspec.DecodeError:
        problem = f"the worker process {where.stem} did not answer"
        return ReloadReport(result=ReloadResult.FAILED, problems=(problem,), processes=0)


def _seen(where: Path) -> Path:
    """Return the file of the last metrics that a worker sent."""
    return where.with_suffix(".seen")


def mark_reloaded(folder: Path) -> None:
    """Record that workers no longer use the settings with which the parent started."""
    with suppress(OSError):
        (folder / _MARK).touch()


def is_reloaded(folder: Path) -> bool:
    return (folder / _MARK).exists()
