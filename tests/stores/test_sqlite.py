import shutil

import pytest

from store_contract.ledger_contract import LedgerContract
from twite.stores.sqlite import SQLiteStore


class TestSQLiteStore(LedgerContract):
    # With so few keys in memory, most are looked up in the table.
    @pytest.fixture(params=[2, 100_000])
    async def store(self, tmp_path, request, migrated_file):
        path = shutil.copyfile(migrated_file, tmp_path / "twite.db")
        store = await SQLiteStore.open(str(path), fresh_keys=request.param)
        yield store
        await store.close()
