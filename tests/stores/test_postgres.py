import pytest

from twite.gateway.ports.store import StoreOptions
from twite.stores.postgres.store import PostgresStore
from twite.testing.ledger_contract import LedgerContract


class TestPostgresStore(LedgerContract):
    @pytest.fixture
    async def store(self, postgres_url):
        store = await PostgresStore.open(postgres_url, StoreOptions())
        yield store
        await store.close()
