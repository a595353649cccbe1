import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest
from postgres_nodes_stage import ACCOUNTS
from store_copy_stage import prepare

from twite.gateway.ports.store import StoreOptions
from twite.stores.postgres.session import PostgresSession
from twite.stores.postgres.store import PostgresStore
from twite.stores.sqlite.engine.connection import connect_writer, create
from twite.stores.sqlite.engine.schema import migrate

# In memory if there is room, as in postgres_server.py: no test measures the disk.
IN_MEMORY = Path("/dev/shm")  # noqa: S108
ROOM = 1 << 30


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    if not IN_MEMORY.is_dir() or shutil.disk_usage(IN_MEMORY).free < ROOM:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=IN_MEMORY, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the newest schema and no rows: migrations cost as much as a short test."""
    path = tmp_path_factory.mktemp("migrated") / "twite.db"
    create(str(path))
    with closing(connect_writer(str(path))) as connection:
        migrate(connection, str(path))
    return path


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """A folder with a store that has rows in every table."""
    folder = tmp_path_factory.mktemp("prepared")
    prepare(folder)
    return folder


@pytest.fixture
def full_store(prepared, tmp_path):
    """The path of a separate store with rows in every table."""
    for name in ("twite.db", "twite.db.epoch"):
        shutil.copy(prepared / name, tmp_path / name)
    return tmp_path / "twite.db"


@pytest.fixture
async def open_node(postgres_url):
    """Open stores of more nodes on one database."""
    opened = []

    async def open_one(*, joins=True):
        store = await PostgresStore.open(postgres_url, StoreOptions())
        opened.append(store)
        if joins:
            await store.ownership.join(ACCOUNTS, longest_request=0)
        return store

    yield open_one
    for store in opened:
        await store.close()


@pytest.fixture
def end_lease(postgres_server, postgres_url):
    """End the lease of a node, as after its crash."""
    database = postgres_url.partition("@/")[2].partition("?")[0]

    def end(store):
        node = store.ownership.node
        postgres_server.psql(
            f"UPDATE node SET until = now() - interval '1 hour' WHERE id = {node}",  # noqa: S608
            database,
        )

    return end


@pytest.fixture
def deadlocks(monkeypatch):
    """The deadlocks that ended a transaction; the store runs its unit of work again."""
    ended = []
    transact = PostgresSession.transact

    def noting(session, unit, lost, **how):
        try:
            return transact(session, unit, lost, **how)
        except asyncpg.DeadlockDetectedError as error:
            ended.append(error)
            raise

    monkeypatch.setattr(PostgresSession, "transact", noting)
    return ended


@pytest.fixture
async def other(postgres_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection of another program."""
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()
