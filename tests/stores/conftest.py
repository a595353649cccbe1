import asyncio
import os
from collections.abc import Iterator

import pytest
from postgres_server import PostgresServer, programs

from twite.gateway.ports.store import StoreOptions
from twite.stores.postgres.store import PostgresStore

_TEMPLATE = "twite_template"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A server of this test process, with a database that has the newest schema."""
    server = PostgresServer(programs())

    async def migrate() -> None:
        store = await PostgresStore.open(server.create(_TEMPLATE), StoreOptions())
        await store.close()

    asyncio.run(migrate())
    yield server
    server.remove()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a new database with the newest schema."""
    name = f"twite_{os.urandom(6).hex()}"
    yield postgres_server.create(name, template=_TEMPLATE)
    postgres_server.drop(name)


@pytest.fixture
def empty_postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a new database without a table."""
    name = f"twite_{os.urandom(6).hex()}"
    yield postgres_server.create(name)
    postgres_server.drop(name)
