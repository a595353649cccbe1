"""Back up the store while it is in use, restore a backup, recover a damaged store."""

from pathlib import Path

from twite.app.store_access import engine_of
from twite.config.settings import Settings
from twite.gateway.ports.store_engine import Backup, Recovered, Restored


def back_up(settings: Settings, to: Path) -> Backup:
    """Copy the store into a new file, whether or not a gateway runs. Raises StoreUnusable."""
    return engine_of(settings).back_up(str(settings.store.path), str(to))


def restore_store(settings: Settings, source: Path) -> Restored:
    """Replace the store with a backup. Raises StoreInUse, StoreUnusable."""
    return engine_of(settings).restore(str(settings.store.path), str(source))


def recover_store(settings: Settings, path: Path | None, to: Path | None) -> Recovered:
    """Save the readable parts of the store, or of another file.

    Raises StoreInUse, StoreUnusable.
    """
    known = [
        (pixel.pixel, event)
        for pixel in settings.destinations()
        for event in dict.fromkeys(pixel.events.values())
    ]
    place = str(path or settings.store.path)
    return engine_of(settings).recover(place, None if to is None else str(to), known)
