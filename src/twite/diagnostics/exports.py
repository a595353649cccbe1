"""Diagnostics of `[[export]]`: unreachable targets, failed runs, and runs that are missing."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Final

from twite.app.export.object_target import state_path
from twite.app.export.run import ExportRun
from twite.app.export.state import load_run
from twite.app.export.table_target import open_table
from twite.app.store_access import open_records
from twite.config.exports import ExportSettings
from twite.config.settings import Settings
from twite.domain.errors import TwiteError
from twite.domain.times import spelled
from twite.gateway.ports.findings import CheckFinding, failed, passed, warning
from twite.readers.database.connection import shown_place
from twite.readers.object_storage import ObjectStorage

# Intervals without a run, after which something is wrong.
_MISSING: Final = 3


async def exports(settings: Settings) -> AsyncIterator[CheckFinding]:
    """Reach the target of each export, and report an error of its last run."""
    for export in settings.exports:
        try:
            await _reach(export)
            run = await _last_run(settings, export)
        except TwiteError as error:
            yield failed(
                "exports",
                f"{export.name}: {error}",
                "The export writes nothing.",
                "Correct the table [[export]] or its target, then run twite export NAME.",
            )
            continue
        now = time.time_ns() // 1_000_000
        if run is not None and run.error:
            yield warning(
                "exports",
                f"the last run of {export.name} failed: {run.error}",
                "Its target lags behind. The next run writes what is missing.",
                "Correct the cause, then run twite export NAME.",
            )
        elif run is not None and now - run.at > _MISSING * export.interval:
            yield warning(
                "exports",
                f"{export.name} has not run since {spelled(run.at)}",
                "Its target lags behind. The next run writes what is missing.",
                "Start the gateway. A long first run also delays the next ones.",
            )
        else:
            ran = "has not run yet" if run is None else f"last run {spelled(run.at)}"
            place = shown_place(export.secret_url.reveal())
            yield passed("exports", f"{export.name}: reachable → {place}, {ran}")


async def _reach(export: ExportSettings) -> None:
    """Connect to a target, and change nothing. Raises TwiteError."""
    if export.is_storage:
        storage = await asyncio.to_thread(ObjectStorage, export.secret_url.reveal())
        # It need not exist.
        await asyncio.to_thread(storage.read, state_path("check"))
    else:
        async with open_table(
            export.secret_url, table=export.table, store="", export=export.name
        ) as table_target:
            await table_target.examine()


async def _last_run(settings: Settings, export: ExportSettings) -> ExportRun | None:
    if not settings.store.exists:
        return None
    async with open_records(settings) as records:
        return await load_run(records, export.name)
