import pytest

from twite.stores.sqlite import SQLiteStore
from twite.testing.ledger_contract import LedgerContract


class TestSQLiteStore(LedgerContract):
    @pytest.fixture
    async def store(self, tmp_path):
        store = await SQLiteStore.open(str(tmp_path / "twite.db"))
        yield store
        await store.close()
