"""The disk, as the operating system tells of it."""

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path

from twite.gateway.ports.monitoring import DiskSpace


class SystemDisk:
    """Measures a folder's disk, and files by the names that they are given here."""

    def __init__(self, folder: Path, files: Mapping[str, Path]) -> None:
        self._folder = folder
        self._files = dict(files)

    async def space(self) -> DiskSpace:
        """Measure it, off the event loop: a disk may take its time. Raises OSError."""
        return await asyncio.to_thread(self._measured)

    def _measured(self) -> DiskSpace:
        return DiskSpace(
            free=shutil.disk_usage(self._folder).free,
            files={name: _size(path) for name, path in self._files.items()},
        )


def _size(path: Path) -> int:
    """Return the bytes of a file, 0 where it is not there."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
