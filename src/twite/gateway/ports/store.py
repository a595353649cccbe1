"""The store: the sum of its ports. An engine in `twite.stores` implements it."""

import asyncio
from typing import Protocol

from twite.domain.errors import StoreUnusable
from twite.gateway.ports.directory import Directory
from twite.gateway.ports.intake import Intake
from twite.gateway.ports.monitoring import AlertRecords, MonitoringStore
from twite.gateway.ports.outbox import DeliveryStore, Operations, TagPayloadStore
from twite.gateway.ports.privacy import Consents, Eraser, OptOuts
from twite.gateway.ports.queries import (
    ConsoleQueries,
    Editor,
    ErrorGroups,
    Records,
    Sightings,
    TallyQueries,
)
from twite.gateway.ports.secret_store import SecretRecords
from twite.gateway.ports.state import UsualAmounts


class StoreReader(Records, MonitoringStore, Sightings, Protocol):
    """What any process reads of a store, beside the one that owns it."""


class Store(
    Intake,
    DeliveryStore,
    Records,
    Operations,
    MonitoringStore,
    AlertRecords,
    Sightings,
    TallyQueries,
    ConsoleQueries,
    ErrorGroups,
    Editor,
    UsualAmounts,
    OptOuts,
    Consents,
    Eraser,
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
    def letters(self) -> TagPayloadStore:
        """The queued tag payloads."""

    @property
    def people(self) -> Directory:
        """Users, sessions, API keys and the audit log."""

    async def close(self) -> None:
        """Finish what was begun, and let go of the store."""
