"""What is stored about an `[[export]]`: its last run. Its position is in the target."""

from collections.abc import Sequence
from typing import Final

import msgspec

from twite.app.export.run import ExportRun
from twite.config.exports import ExportSettings
from twite.gateway.operations.control import ExportSummary
from twite.gateway.ports.state import StateReader, SyncRecord
from twite.readers.database.connection import shown_place

# No name of a [[sync]] contains a colon.
_PREFIX: Final = "export:"


def run_record(name: str, run: ExportRun) -> SyncRecord:
    """Return the record of an export's last run."""
    return SyncRecord(name=f"{_PREFIX}{name}/", state=msgspec.json.encode(run).decode())


async def load_run(reader: StateReader, name: str) -> ExportRun | None:
    """Return the last run of an export. Raises LedgerUnavailable."""
    for record in await reader.load(SyncRecord, prefix=f"{_PREFIX}{name}/"):
        return msgspec.json.decode(record.state, type=ExportRun)
    return None


async def list_exports(
    reader: StateReader, exports: Sequence[ExportSettings]
) -> Sequence[ExportSummary]:
    """Return exports with their last runs. Raises LedgerUnavailable."""
    found = []
    for export in exports:
        run = await load_run(reader, export.name)
        found.append(
            ExportSummary(
                name=export.name,
                to=shown_place(export.secret_url.reveal()),
                at=run.at if run else None,
                rows=run.rows if run else 0,
                problem=run.error if run else "",
            )
        )
    return found
