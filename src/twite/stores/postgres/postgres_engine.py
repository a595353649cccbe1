"""PostgreSQL as a store engine. `place` is the URL of a database."""

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, NoReturn

from twite.domain.errors import StoreUnusable
from twite.gateway.ports.store import (
    Backup,
    Recovered,
    Restored,
    Store,
    StoreExamination,
    StoreOptions,
    StoreReader,
)
from twite.gateway.ports.store_copy import CopySource, CopyTarget

_NEEDED: Final = ("asyncpg", "greenlet")


class PostgresEngine:
    """Implements StoreEngine. The driver is an extra, and is imported when a store is opened."""

    is_server = True

    @property
    def version(self) -> str:
        from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415  # imports email

        try:
            return f"PostgreSQL through asyncpg {version('asyncpg')}"
        except PackageNotFoundError:
            return "PostgreSQL, without its driver"

    async def open(self, place: str, options: StoreOptions) -> Store:
        store: Store = await _module("store").PostgresStore.open(place, options)
        return store

    async def open_reader(self, place: str) -> StoreReader:
        reader: StoreReader = await _module("store").PostgresReader.open(place)
        return reader

    async def examine(self, place: str) -> StoreExamination:
        """Connect, and check the server's settings. Damage is left to PostgreSQL's own checks."""
        examination: StoreExamination = await _module("examine").examined(place)
        return examination

    def back_up(self, place: str, to: str) -> Backup:  # noqa: ARG002 - see StoreEngine
        _refuse("back up", "Back up the database with pg_dump or your provider's snapshots")

    def restore(self, place: str, source: str) -> Restored:  # noqa: ARG002 - as above
        _refuse("restore", "Restore it with pg_restore, then run twite store hold")

    async def hold_pending(self, place: str) -> int:
        held: int = await _module("holding").hold_pending(place)
        return held

    def recover(self, place: str, to: str | None, known: Sequence[tuple[str, str]]) -> Recovered:  # noqa: ARG002 - as above
        _refuse("recover", "Restore the database from a backup with pg_restore")

    async def open_copy_source(self, place: str) -> CopySource:
        source: CopySource = await _module("copying").PostgresCopySource.open(place)
        return source

    async def open_copy_target(
        self, place: str, *, state: str, accept_weak_durability: bool
    ) -> CopyTarget:
        target: CopyTarget = await _module("copying").PostgresCopyTarget.open_for(
            place, state=state, accept_weak_durability=accept_weak_durability
        )
        return target


def _refuse(what: str, fix: str) -> NoReturn:
    raise StoreUnusable("store.url", f"Twite does not {what} a PostgreSQL database", fix)


def _module(name: str) -> Any:  # noqa: ANN401 - a module
    """Import a module of this engine that needs the driver."""
    missing = [needed for needed in _NEEDED if find_spec(needed) is None]
    if missing:
        raise StoreUnusable(
            "store.url",
            f"PostgreSQL needs packages that are not installed: {', '.join(missing)}",
            "Run pip install --no-deps --require-hashes -r requirements/run.txt",
        )
    return import_module(f"twite.stores.postgres.{name}")
