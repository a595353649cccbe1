"""What the page of the system shows: versions, the store, and the state of each sync."""

import platform
from collections.abc import Sequence
from contextlib import suppress

from twite import __version__
from twite.app.monitoring import disk_of
from twite.app.store_access import engine_of
from twite.app.sync.state import PAUSED, load_pause, load_state
from twite.config.settings import Settings
from twite.console.pages.system import ShownSync, SystemFacts
from twite.gateway.ports.state import StateReader


async def system_facts(settings: Settings) -> SystemFacts:
    kept = settings.store
    facts = SystemFacts(versions=_versions(settings), store=kept.shown)
    if not engine_of(settings).is_server:
        with suppress(OSError):
            space = await disk_of(kept.path).space()
            return SystemFacts(
                versions=facts.versions,
                store=facts.store,
                size=sum(space.files.values()),
                free=space.free,
            )
    return facts


def _versions(settings: Settings) -> dict[str, str]:
    return {
        "Twite": __version__,
        "Python": platform.python_version(),
        "Store": engine_of(settings).version,
        "X's API": settings.x.api_version,
    }


async def shown_syncs(settings: Settings, state_reader: StateReader) -> Sequence[ShownSync]:
    """Return the syncs of the settings with their last runs. Raises LedgerUnavailable."""
    pixels = {source.name: source.pixels for source in settings.sources()}
    found = []
    for sync in settings.syncs:
        state = await load_state(state_reader, sync.name)
        pause, run = await load_pause(state_reader, state), state.last_run
        found.append(
            ShownSync(
                name=sync.name,
                source=sync.source,
                pixels=pixels[sync.source],
                at=run.at if run else None,
                rows=run.rows if run else 0,
                counts=run.verdicts if run else {},
                problem=PAUSED if pause else run.error if run else "",
            )
        )
    return found
