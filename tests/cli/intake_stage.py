"""Intake into a store, for commands that read what was received."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from command_stage import KEY

from fakes import SeededRandomness
from twite.domain.destination import Destination, Source
from twite.domain.secret import Secret
from twite.gateway.ingest.accept import Accept
from twite.gateway.ingest.value_rules import CurrentValueRules
from twite.gateway.ports.store import StoreOptions
from twite.machine.system import SystemClock
from twite.stores.postgres.store import PostgresStore
from twite.stores.sqlite import SQLiteStore

SHOP = Source(name="shop", key=Secret(KEY), pixel="o8z6j", pixels=frozenset({"o8z6j"}))
DESTINATION = Destination(
    pixel="o8z6j", credentials=None, events={"purchase": "o8z6k", "sign_up": "o8z6m"}
)


@asynccontextmanager
async def intake(place: str, value_rules: CurrentValueRules | None = None) -> AsyncIterator[Accept]:
    """Accept conversions in a store: the path of a database, or the URL of PostgreSQL."""
    is_server = place.startswith("postgresql:")
    store = await (PostgresStore if is_server else SQLiteStore).open(place, StoreOptions())
    yield Accept(
        intake=store,
        clock=SystemClock(),
        randomness=SeededRandomness(1),
        destinations={"o8z6j": DESTINATION},
        salt=store.salt,
        wake=lambda _pixel: None,
        privacy=store,
        value_rules=value_rules or CurrentValueRules(),
    )
    await store.close()
