"""Measure disk space, through the operating system."""

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path

from twite.gateway.ports.machine import DiskSpace


class SystemDisk:
    """Measures a folder's disk, and the sizes of named files."""

    def __init__(self, folder: Path, files: Mapping[str, Path]) -> None:
        self._folder = folder
        self._files = dict(files)

    async def space(self) -> DiskSpace:
        """Measure it, off the event loop: a disk may be slow. Raises OSError."""
        return await asyncio.to_thread(self._measured)

    def _measured(self) -> DiskSpace:
        return DiskSpace(
            free=shutil.disk_usage(self._folder).free,
            files={name: _size(path) for name, path in self._files.items()},
        )


def _size(path: Path) -> int:
    """Return the bytes of a file, 0 if it does not exist."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
