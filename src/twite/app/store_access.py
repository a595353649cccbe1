"""The store, for commands: read beside a running gateway, or act on deliveries through it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from twite.app.control_client import owner_of
from twite.config.settings import Settings
from twite.domain.errors import StoreInUse, StoreUnusable
from twite.domain.people.users import AuditEvent
from twite.gateway.ports.outbox import Discard, MoveResult, Replay
from twite.gateway.ports.privacy import EraseStore
from twite.gateway.ports.store import Store, StoreReader
from twite.gateway.ports.store_engine import StoreEngine, StoreOptions
from twite.stores.factory import ENGINES


class StoreOwner(Protocol):
    """The process that owns the store: this one, or the gateway of this machine."""

    async def move(
        self, move: Replay | Discard, *, now: int, audit_event: AuditEvent | None = None
    ) -> MoveResult:
        """See Moves in gateway.ports.outbox."""
        ...

    async def erase(self, erasing: EraseStore, *, now: int) -> int:
        """See Privacy in gateway.ports.privacy."""
        ...


def engine_of(settings: Settings) -> StoreEngine:
    """Return the engine of the store's URL."""
    return ENGINES[settings.store.engine]


async def open_store(settings: Settings) -> Store:
    """Own the store for a command. Raises StoreInUse, StoreUnusable."""
    options = StoreOptions(dedup_window=settings.store.dedup_window)
    return await engine_of(settings).open(str(settings.store.path), options)


@asynccontextmanager
async def open_records(settings: Settings) -> AsyncIterator[StoreReader]:
    """Open the store for reading, whether or not a gateway runs. Raises StoreUnusable."""
    path = settings.store.path
    if not path.exists():
        raise StoreUnusable(
            path=str(path),
            reason="there is no such database yet",
            cure="twite serve makes it; or store.url names another file than the gateway's",
        )
    reader = await engine_of(settings).open_reader(str(path))
    try:
        yield reader
    finally:
        await reader.close()


@asynccontextmanager
async def open_operations(settings: Settings) -> AsyncIterator[StoreOwner]:
    """Act on deliveries and personal data: in the store, or through the gateway that owns it.

    Raises StoreUnusable, and StoreInUse where the owner does not say how to reach it.
    """
    try:
        store = await open_store(settings)
    except StoreInUse as in_use:
        async with owner_of(settings, in_use) as gateway:
            yield gateway
        return
    try:
        yield store
    finally:
        await store.close()
