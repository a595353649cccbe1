"""Diagnostics of `[[sync]]`: unreachable sources, failed runs, and a second sender of an event."""

import re
from collections.abc import AsyncIterator, Iterator
from typing import Final

from twite.app.store_access import open_records
from twite.app.sync.look import read_next_rows
from twite.app.sync.state import SyncState, load_pause, load_state
from twite.config.settings import Settings
from twite.config.syncs import SyncSettings
from twite.domain.errors import TwiteError
from twite.domain.times import spelled
from twite.gateway.ports.findings import CheckFinding, failed, passed, warning

# A cursor that is set when a row is created, and a condition that becomes true later.
_OF_CREATION: Final = re.compile(r"creat|insert|placed|(?:^|_)id$|number", re.IGNORECASE)
_OF_STATUS: Final = re.compile(
    r"\bwhere\b.*(?:status|state|paid|payment|confirm|complete|captur)", re.IGNORECASE | re.DOTALL
)


async def syncs(settings: Settings) -> AsyncIterator[CheckFinding]:
    """Read the next rows of each sync, and report an error of its last run."""
    for sync in settings.syncs:
        try:
            await read_next_rows(settings, sync)
            state, pause = await _state(settings, sync)
        except TwiteError as error:
            yield failed(
                "syncs",
                f"{sync.name}: {error}",
                "The sync sends nothing.",
                "Correct the table [[sync]] or its source, then run twite sync NAME --dry-run.",
            )
            continue
        run = state.last_run
        if pause:
            yield warning(
                "syncs",
                f"{sync.name} is paused, because the store is an older copy",
                "Rows that were sent since the copy was made would be sent again.",
                "Run twite sync NAME to send them, or give the sync another name to begin at the "
                "newest row.",
            )
        elif run is not None and run.error:
            yield warning(
                "syncs",
                f"the last run of {sync.name} failed: {run.error}",
                "Its rows wait, and are not lost.",
                "Correct the cause, then run twite sync NAME.",
            )
        else:
            ran = "has not run yet" if run is None else f"last run {spelled(run.at)}"
            yield passed("syncs", f"{sync.name}: readable → source {sync.source}, {ran}")
    for finding in (*_fixed_cursors(settings), *_same_events(settings)):
        yield finding


def _fixed_cursors(settings: Settings) -> Iterator[CheckFinding]:
    for sync in settings.syncs:
        if _OF_CREATION.search(sync.cursor) and _OF_STATUS.search(sync.query):
            yield warning(
                "syncs",
                f"the cursor {sync.cursor} of {sync.name} may be set before a row matches the "
                "query",
                "A row that matches later, such as an order that is paid, is not read.",
                "Choose a cursor that changes then, such as paid_at or updated_at.",
            )


async def _state(settings: Settings, sync: SyncSettings) -> tuple[SyncState, str]:
    """Return the state and the pause of a sync."""
    if not settings.store.exists:
        return SyncState(), ""
    async with open_records(settings) as records:
        state = await load_state(records, sync.name)
        return state, await load_pause(records, state)


def _same_events(settings: Settings) -> Iterator[CheckFinding]:
    pixels = {source.name: source.pixel for source in settings.sources()}
    for sync in settings.syncs:
        for webhook in settings.webhooks:
            same_pixel = pixels[sync.source] == pixels[webhook.source]
            if same_pixel and sync.rows.event in {None, webhook.event}:
                yield warning(
                    "syncs",
                    f"the sync {sync.name} and the webhook {webhook.name} may send the same event",
                    "If their conversion ids differ, X counts each order twice.",
                    "Let only one of them send the event, or make their conversion ids equal.",
                )
