"""Reload the settings in all worker processes of a machine, and report the result of all."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from twite.gateway.operations.control import ReloadReport
from twite.gateway.ports.events import ReloadResult

Reload = Callable[[bool], Awaitable[ReloadReport]]
# Workers that started with the settings of the parent read them again if this file exists.
_MARK: Final = "reloaded"
_SUFFIX: Final = ".reload"
_ANSWER_WITHIN: Final = 50.0
_DRY, _REAL = b"d", b"r"


class WorkerReloads:
    """Reloads the other workers of a parent. Each worker listens on a socket in `folder`."""

    def __init__(self, folder: Path, reload: Reload) -> None:
        """`reload` reloads this worker alone."""
        self._folder = folder
        self._reload = reload
        self._own = folder / f"{os.getpid()}{_SUFFIX}"
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen for the other workers."""
        self._server = await asyncio.start_unix_server(self._serve, path=self._own)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._own.unlink(missing_ok=True)

    async def others(self, dry_run: bool) -> Sequence[ReloadReport]:  # noqa: FBT001
        """Reload the other workers, and return their reports."""
        found = sorted(self._folder.glob(f"*{_SUFFIX}"))
        return await asyncio.gather(
            *(_asked(other, dry_run=dry_run) for other in found if other != self._own)
        )

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            asked = await reader.readexactly(1)
            report = await self._reload(asked == _DRY)
            writer.write(msgspec.json.encode(report))
            await writer.drain()
        writer.close()


async def _asked(where: Path, *, dry_run: bool) -> ReloadReport:
    """Return a worker's report. A worker that has just ended will start with the new settings."""
    try:
        async with asyncio.timeout(_ANSWER_WITHIN):
            reader, writer = await asyncio.open_unix_connection(where)
            try:
                writer.write(_DRY if dry_run else _REAL)
                return msgspec.json.decode(await reader.read(-1), type=ReloadReport)
            finally:
                writer.close()
    except (OSError, TimeoutError, msgspec.DecodeError):
        problem = f"the worker process {where.stem} did not answer"
        return ReloadReport(result=ReloadResult.FAILED, problems=(problem,), processes=0)


def combined(own_report: ReloadReport, others: Sequence[ReloadReport]) -> ReloadReport:
    """Return one report for all workers: usually, all report the same."""
    reports = (own_report, *others)
    worst = max(reports, key=lambda report: _ORDER.index(report.result))
    return msgspec.structs.replace(
        worst,
        problems=tuple(dict.fromkeys(each for report in reports for each in report.problems)),
        processes=sum(report.processes for report in reports),
    )


_ORDER: Final = (
    ReloadResult.UNCHANGED,
    ReloadResult.RELOADED,
    ReloadResult.NEEDS_RESTART,
    ReloadResult.FAILED,
)


def mark_reloaded(folder: Path) -> None:
    """Record that workers no longer use the settings with which the parent started."""
    with suppress(OSError):
        (folder / _MARK).touch()


def is_reloaded(folder: Path) -> bool:
    return (folder / _MARK).exists()
