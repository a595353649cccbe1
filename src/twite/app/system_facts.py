"""What the page of the system shows: versions and the store."""

import platform
from contextlib import suppress

from twite import __version__
from twite.app.monitoring import disk_of
from twite.app.store_access import engine_of
from twite.config.settings import Settings
from twite.console.pages.system import SystemFacts


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
