"""The store: the sum of its ports. An engine in `twite.stores` implements it."""

import asyncio
from typing import Protocol

from twite.domain.errors import StoreUnusable
from twite.gateway.ports.directory import Directory, DirectoryReader
from twite.gateway.ports.intake import Intake
from twite.gateway.ports.outbox import Outbox
from twite.gateway.ports.privacy import EraseSearch, EraseTraces, Privacy
from twite.gateway.ports.queries import Queries
from twite.gateway.ports.state import StateReader, StateStore


class StoreReader(Queries, StateReader, Protocol):
    """What any process reads of a store, beside the one that owns it."""

    salt: bytes

    @property
    def people(self) -> DirectoryReader:
        """Users, sessions, API keys and the audit log."""
        ...

    async def traces(self, wanted: EraseSearch) -> EraseTraces:
        """Return the rows and texts that name a person."""
        ...

    async def close(self) -> None:
        """Let go of the store."""
        ...


class Store(Intake, Outbox, Queries, StateStore, Privacy, Protocol):
    """All ports of a store. `told` is what a person must know of the store as it was found."""

    salt: bytes
    told: tuple[str, ...]
    # Done when the store can do nothing more: the process must end, and open it again.
    failed: asyncio.Future[StoreUnusable]

    @property
    def people(self) -> Directory:
        """Users, sessions, API keys and the audit log."""

    async def close(self) -> None:
        """Finish what was begun, and let go of the store."""
