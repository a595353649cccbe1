"""A gateway whose database is on its own small disk, which can be filled."""

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from gateway_processes import Gateway

MIB = 1024 * 1024
FULL_AT = 3 * MIB


class GatewayOnDisk(Gateway):
    """A gateway that has only its database in `disk`."""

    def __init__(self, folder: Path, x: str, *, disk: Path, extra: str = "") -> None:
        super().__init__(folder, x, extra=extra)
        self.database = disk / "twite.db"
        settings = self.config.read_text()
        self.config.write_text(settings.replace("sqlite:twite.db", f"sqlite:{self.database}"))

    @property
    def note(self) -> Path:
        return self.database.with_name("twite.db.gateway")


class LimitedFiles:
    """A size limit for all files of the gateway: writes beyond it fail with EFBIG, an I/O error."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._size = FULL_AT

    def limit(self, gateway: Gateway) -> None:
        assert gateway.process is not None
        limits = (self._size, resource.RLIM_INFINITY)
        resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, limits)

    def grow(self, gateway: Gateway, by: int = FULL_AT) -> None:
        self._size += by
        self.limit(gateway)


class SmallDisk:
    """A file system in memory: writes beyond its size fail with ENOSPC."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._size = FULL_AT

    def limit(self, gateway: Gateway) -> None:
        """Do nothing: the file system limits the size already."""

    def grow(self, gateway: Gateway, by: int = FULL_AT) -> None:  # noqa: ARG002 - as LimitedFiles
        self._size += by
        subprocess.run(["mount", "-o", f"remount,size={self._size}", self.folder], check=True)  # noqa: S607 the path of mount differs between systems


@contextmanager
def limited_files(folder: Path) -> Iterator[LimitedFiles]:
    yield LimitedFiles(folder)


@contextmanager
def small_disk(folder: Path) -> Iterator[SmallDisk]:
    """Mount it; skips the test where that is not allowed."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small file system takes root")
    mounting = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={FULL_AT}", "twite-test", folder],  # noqa: S607 - as above
        capture_output=True,
        text=True,
        check=False,
    )
    if mounting.returncode:
        pytest.skip(f"no file system can be mounted here: {mounting.stderr.strip()}")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "-l", folder], check=True)  # noqa: S607 - as above
