"""A store with files in a simulator: one call at a time; crashes copy its files."""

import asyncio
import shutil
import tempfile
import threading
from collections.abc import Awaitable, Callable, Coroutine
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar, cast

from twite.gateway.ports.store import Store

T = TypeVar("T")

_LONGEST: Final = 60  # seconds, real ones


class FileStore(Store, Protocol):
    """A store on files."""

    async def close(self) -> None: ...


class _Opening(Protocol):
    async def open(self, path: str) -> FileStore: ...


class FileStoreData:
    """A store in its own folder.

    It runs in the loop of another thread, and each call blocks the simulator until it is done. Thus
    the same seed gives the same scenario, whatever threads the store uses.
    """

    def __init__(self, name: str) -> None:
        """`name` is `module:Class`."""
        module, _, kind = name.partition(":")
        self._kind = cast("_Opening", getattr(import_module(module), kind))
        self._folder = Path(tempfile.mkdtemp(prefix="twite-trial-", dir=_memory_disk()))
        self._generation = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._store = self._wait(self._kind.open(self._path()))

    async def do(self, act: Callable[[Store], Awaitable[T]]) -> T:
        return self._wait(_done(act, self._store))

    async def reopen(self, *, crashed: bool) -> None:
        """Open it again; after a crash, open a copy of its files from that moment."""
        old = self._path()
        if crashed:
            self._generation += 1
            # Checkpoints continue during the copy. The epoch file, the log, the database: in this
            # order, no copy is ahead of the next.
            for file in sorted(Path(old).parent.iterdir(), reverse=True):
                if not file.name.endswith((".lock", "-shm")):
                    self._copy(file)
        self._wait(self._store.close())
        if crashed:
            shutil.rmtree(Path(old).parent)
        self._store = self._wait(self._kind.open(self._path()))

    async def close(self) -> None:
        self._wait(self._store.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        shutil.rmtree(self._folder)

    def _path(self) -> str:
        folder = self._folder / str(self._generation)
        folder.mkdir(exist_ok=True)
        return str(folder / "store")

    def _copy(self, file: Path) -> None:
        shutil.copyfile(file, Path(self._path()).parent / file.name)

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_LONGEST)


async def _done(act: Callable[[Store], Awaitable[T]], store: Store) -> T:
    return await act(store)


def _memory_disk() -> str | None:
    """Return a folder in memory if possible: here the power never fails."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  a folder of our own in it
