"""Back up the store while it is in use, restore a backup, recover a damaged store."""

from pathlib import Path

from twite.config.settings import Settings
from twite.stores.sqlite.recovery.backup import Backup, backup
from twite.stores.sqlite.recovery.recover import Recovered, recover
from twite.stores.sqlite.recovery.restore import Restored, restore

__all__ = ["Backup", "Recovered", "Restored", "back_up", "recover_store", "restore_store"]


def back_up(settings: Settings, to: Path) -> Backup:
    """Copy the store into a new file, whether or not a gateway runs. Raises StoreUnusable."""
    return backup(str(settings.store.path), str(to))


def restore_store(settings: Settings, source: Path) -> Restored:
    """Replace the store with a backup. Raises StoreInUse, StoreUnusable."""
    return restore(str(settings.store.path), str(source))


def recover_store(settings: Settings, path: Path | None, to: Path | None) -> Recovered:
    """Save the readable parts of the store, or of another file.

    Raises StoreInUse, StoreUnusable.
    """
    known = [
        (pixel.pixel, event)
        for pixel in settings.destinations()
        for event in dict.fromkeys(pixel.events.values())
    ]
    return recover(str(path or settings.store.path), None if to is None else str(to), known=known)
