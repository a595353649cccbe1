"""A real file system on a loop device, and what of it was on the disk at a moment.

The device is a file in memory. What a process wrote and did not sync is in the system's page cache
and not in that file; a copy of the file, taken at once, is what a power cut would have left.
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
    """Return why there can be no such disk here, or None."""
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
    """Make a disk; yield the file behind it and the folder where it is mounted."""
    with tempfile.TemporaryDirectory(prefix="twite-disk-", dir=MEMORY) as folder:
        image = Path(folder) / "image"
        with image.open("wb") as file:
            file.truncate(SIZE)
        _run("mkfs.ext4", "-q", "-F", str(image))
        with _mounted(image) as place:
            yield image, place


@contextmanager
def power_cut(image: Path) -> Iterator[Path]:
    """Copy what is on the disk now, and mount the copy: the file system replays its journal."""
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
            # Lazily: whatever still has a file open there must not keep it.
            _run("umount", "--lazy", str(place))
    finally:
        _run("losetup", "--detach", device)
        place.rmdir()


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
