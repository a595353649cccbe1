"""Run an export to its target: a table of PostgreSQL, objects, or a file."""

import asyncio
from pathlib import Path

from twite.app.export.file_export import export_file
from twite.app.export.object_target import ObjectTarget
from twite.app.export.run import ExportBasis, ExportRange, ExportRun, TargetUpdate
from twite.app.export.table_target import open_table
from twite.config.exports import ExportSettings
from twite.config.settings import Settings
from twite.console.scope import EventNames
from twite.gateway.operations.export_rows import EventNamesOf
from twite.readers.object_storage import ObjectStorage


async def export_to(
    target: ExportSettings | Path, basis: ExportBasis, range_: ExportRange, run: ExportRun
) -> None:
    """Bring a target up to date, or write a file. Raises TwiteError."""
    if isinstance(target, Path):
        await export_file(target, basis, range_, run)
    elif target.is_storage:
        storage = await asyncio.to_thread(ObjectStorage, target.secret_url.reveal())
        await TargetUpdate(ObjectTarget(storage, store=basis.store_id), basis, range_).run(run)
    else:
        async with open_table(
            target.secret_url, table=target.table, store=basis.store_id, export=target.name
        ) as table_target:
            await TargetUpdate(table_target, basis, range_).run(run)


def event_names(settings: Settings) -> EventNamesOf:
    """Return the names that the settings give to X's events."""
    return EventNames({pixel.pixel: pixel for pixel in settings.destinations()}).of
