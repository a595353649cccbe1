"""A simulated disk under SQLite that loses unsynced writes.

The files are real (their folder may be in memory) and show the operating system's view. Disk also
keeps the durable state: for each file, the synced image and the ordered changes since. A power cut
freezes both at any operation; `Disk.images` then picks a state that a restarted machine may find:

- each change since the last sync is lost with probability 0.5; a surviving write is torn to a
  prefix with probability 0.3; the rest is applied in any order to the synced image;
- one cut in ten loses all changes, and one in ten almost none;
- a deletion is undone with probability 0.5 unless the folder was synced after it.

Operations after the cut have no effect on the disk, although the process continues.
"""

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import apsw

LOST: Final = 0.5
TORN: Final = 0.3
# (lost, torn) for each of ten cuts.
_SEVERITIES: Final = ((1.0, 0.0), (0.02, 0.0), *[(LOST, TORN)] * 8)
# If nothing is synced, the cut comes after this many operations.
_MOST_OPERATIONS: Final = 2_000

# (offset, bytes) is a write; (size, None) truncates the file to this size.
Change = tuple[int, bytes | None]


class Disk:
    """The durable state of a folder's disk, and the states in which a power cut may leave it."""

    def __init__(self, images: Mapping[str, bytes]) -> None:
        self.off = False
        self.operations = 0
        # Called after each write, with the file's name.
        self.written: Callable[[str], None] = lambda _name: None
        self._durable = {name: bytearray(image) for name, image in images.items()}
        self._since: dict[str, list[Change]] = {}
        # Deleted, but the deletion may be undone.
        self._ghosts: dict[str, tuple[bytearray, list[Change]]] = {}
        self._cut_before = ("", 0)

    def cut_before(self, kind: str, count: int) -> None:
        """Cut the power before the `count`-th "operation" or "sync" from now."""
        self._cut_before = (kind, count)

    def cut(self) -> None:
        self.off = True

    def write(self, name: str, offset: int, content: bytes) -> None:
        if self._goes_on():
            self._since.setdefault(name, []).append((offset, bytes(content)))

    def truncate(self, name: str, size: int) -> None:
        if self._goes_on():
            self._since.setdefault(name, []).append((size, None))

    def sync(self, name: str, *, folder: bool) -> None:
        """Make a file durable; with `folder`, also deletions."""
        if self._goes_on("sync"):
            image = self._durable.setdefault(name, bytearray())
            for change in self._since.pop(name, []):
                _apply(image, change)
            if folder:
                self._ghosts.clear()

    def delete(self, name: str, *, folder: bool) -> None:
        if self._goes_on():
            ghost = self._durable.pop(name, bytearray()), self._since.pop(name, [])
            if not folder:
                self._ghosts[name] = ghost

    def images(self, randomness: random.Random) -> dict[str, bytes]:
        """Pick the state after the cut."""
        severity = randomness.choice(_SEVERITIES)
        found = {}
        for name in sorted({*self._durable, *self._since, *self._ghosts}):
            image, since = self._durable.get(name), self._since.get(name, [])
            if name in self._ghosts and randomness.random() >= LOST:
                image, since = self._ghosts[name]
            if image is not None or since:
                found[name] = _survivor(image or bytearray(), since, randomness, severity)
        return found

    def _goes_on(self, kind: str = "operation") -> bool:
        if self.off:
            return False
        self.operations += 1
        awaited, left = self._cut_before
        if awaited in {"operation", kind}:
            self._cut_before = (awaited, left - 1)
            self.off = left == 1
        self.off = self.off or self.operations > _MOST_OPERATIONS
        return not self.off


class LossyVFS(apsw.VFS):
    """The VFS "lossy": simulates files in folders with a Disk; locks and shared memory are real."""

    def __init__(self) -> None:
        super().__init__("lossy", "unix")
        self._disks: dict[Path, Disk] = {}

    def mount(self, folder: Path, disk: Disk, images: Mapping[str, bytes]) -> None:
        """Write a disk's images to a folder."""
        folder.mkdir()
        for name, image in images.items():
            (folder / name).write_bytes(image)
        self._disks[folder] = disk

    def unmount(self, folder: Path) -> None:
        """Forget a folder and what is in it."""
        del self._disks[folder]
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()

    def xOpen(self, name, flags):  # noqa: N802 - SQLite's name
        text = name.filename() if isinstance(name, apsw.URIFilename) else name
        disk = None if text is None else self._disks[Path(text).parent]
        return LossyFile(name, flags, disk, "" if text is None else Path(text).name)

    def xDelete(self, name, sync):  # noqa: N802 - SQLite's name
        path = Path(name)
        self._disks[path.parent].delete(path.name, folder=sync)
        super().xDelete(name, sync)


class LossyFile(apsw.VFSFile):
    def __init__(self, name, flags, disk: Disk | None, short: str) -> None:
        super().__init__("unix", name, flags)
        self._disk = disk
        self._name = short
        # The first sync of a new journal or log syncs its folder (os_unix.c, UNIXFILE_DIRSYNC).
        made = bool(flags[0] & apsw.SQLITE_OPEN_CREATE)
        journal = bool(flags[0] & (apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_WAL))
        self._folder_too = made and journal

    def xWrite(self, content, offset):  # noqa: N802 - SQLite's name
        if self._disk is not None:
            self._disk.write(self._name, offset, content)
        super().xWrite(content, offset)
        if self._disk is not None:
            self._disk.written(self._name)

    def xTruncate(self, size):  # noqa: N802 - SQLite's name
        if self._disk is not None:
            self._disk.truncate(self._name, size)
        super().xTruncate(size)

    def xSync(self, flags):  # noqa: N802, ARG002 - SQLite's name and argument
        """Sync only in the model: the real folder need not be durable."""
        if self._disk is not None:
            self._disk.sync(self._name, folder=self._folder_too)
            self._folder_too = False


def _survivor(
    synced: bytearray, since: list[Change], randomness: random.Random, severity: tuple[float, float]
) -> bytes:
    lost, torn = severity
    left = []
    for place, content in since:
        if randomness.random() < lost:
            continue
        if content is not None and randomness.random() < torn:
            left.append((place, content[: randomness.randrange(len(content))]))
        else:
            left.append((place, content))
    randomness.shuffle(left)
    image = bytearray(synced)
    for change in left:
        _apply(image, change)
    return bytes(image)


def _apply(image: bytearray, change: Change) -> None:
    place, content = change
    if content is None:
        del image[place:]
        return
    if len(image) < place:
        image.extend(bytes(place - len(image)))
    image[place : place + len(content)] = content
