import pytest

from store_contract.ledger_contract import LedgerContract
from twite.gateway.ports.store import StoreOptions
from twite.stores.postgres.store import PostgresStore


class TestPostgresStore(LedgerContract):
    @pytest.fixture
    async def store(self, postgres_url):
        store = await PostgresStore.open(postgres_url, StoreOptions())
        yield store
        await store.close()
