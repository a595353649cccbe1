"""A real file system on a loop device, and its state on disk at a given moment.

The device is a file in memory. Unsynced writes are in the page cache, not in that file; an atomic
copy of the file is what a power cut would leave.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEMORY = Path("/dev/shm")  # noqa: S108 - the system's own memory file system; names in it are ours
SIZE = 192 * 1024 * 1024


def why_not() -> str | None:
    """Return why such a disk is impossible here, or None."""
    if os.geteuid() != 0:
        return "a loop device takes root"
    missing = [name for name in ("losetup", "mkfs.ext4", "mount") if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)}: not installed"
    if not MEMORY.is_dir():
        return f"there is no {MEMORY}"
    try:
        with disk() as (image, _), power_cut(image):
            return None
    except subprocess.CalledProcessError as error:
        return f"{error.cmd[0]}: {error.stderr.strip()}"


@contextmanager
def disk() -> Iterator[tuple[Path, Path]]:
    """Create a disk; yield its backing file and its mount point."""
    with tempfile.TemporaryDirectory(prefix="twite-disk-", dir=MEMORY) as folder:
        image = Path(folder) / "image"
        with image.open("wb") as file:
            file.truncate(SIZE)
        _run("mkfs.ext4", "-q", "-F", str(image))
        with _mounted(image) as place:
            yield image, place


@contextmanager
def power_cut(image: Path) -> Iterator[Path]:
    """Copy the disk's current state, and mount the copy: the file system replays its journal."""
    copy = image.with_name("copy")
    _run("cp", "--sparse=always", str(image), str(copy))
    try:
        with _mounted(copy) as place:
            yield place
    finally:
        copy.unlink()


@contextmanager
def _mounted(image: Path) -> Iterator[Path]:
    place = image.with_name(f"{image.name}-mounted")
    place.mkdir()
    device = _run("losetup", "--find", "--show", str(image)).strip()
    try:
        _run("mount", "-t", "ext4", device, str(place))
        try:
            yield place
        finally:
            # Lazily, because a process may still have a file open.
            _run("umount", "--lazy", str(place))
    finally:
        _run("losetup", "--detach", device)
        place.rmdir()


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
