"""The store: the sum of its ports. An engine in `twite.stores` implements it."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from twite.domain.alert import Alert
from twite.domain.errors import StoreUnusable
from twite.gateway.ports.directory import Directory, DirectoryReader
from twite.gateway.ports.intake import Intake
from twite.gateway.ports.monitoring import AlertRecords
from twite.gateway.ports.outbox import DeliveryStore, Operations, TagPayloadStore
from twite.gateway.ports.privacy import Consents, Eraser, EraseSearch, EraseTraces, OptOuts
from twite.gateway.ports.queries import Editor, Queries
from twite.gateway.ports.secret_store import SecretRecords
from twite.gateway.ports.state import Pause, UsualAmounts


class StoreReader(Queries, Protocol):
    """What any process reads of a store, beside the one that owns it."""

    salt: bytes

    @property
    def people(self) -> DirectoryReader:
        """Users, sessions, API keys and the audit log."""
        ...

    async def pauses(self) -> Sequence[Pause]:
        """Return the pauses in force."""
        ...

    async def alerts(self) -> Sequence[Alert]:
        """Return the open alerts, and those that are over and not delivered to the webhook."""
        ...

    async def sealed(self, prefix: str) -> Sequence[tuple[str, bytes]]:
        """Return (name, sealed) of all secrets whose name begins so, in order."""
        ...

    async def traces(self, wanted: EraseSearch) -> EraseTraces:
        """Return the rows and texts that name a person."""
        ...

    async def close(self) -> None:
        """Let go of the store."""
        ...


class Store(
    Intake,
    DeliveryStore,
    Operations,
    TagPayloadStore,
    AlertRecords,
    Editor,
    UsualAmounts,
    OptOuts,
    Consents,
    Eraser,
    Queries,
    Protocol,
):
    """All ports of a store. `told` is what a person must know of the store as it was found."""

    salt: bytes
    told: tuple[str, ...]
    # Done when the store can do nothing more: the process must end, and open it again.
    failed: asyncio.Future[StoreUnusable]

    @property
    def vault(self) -> SecretRecords:
        """The sealed secrets."""

    @property
    def people(self) -> Directory:
        """Users, sessions, API keys and the audit log."""

    async def close(self) -> None:
        """Finish what was begun, and let go of the store."""
