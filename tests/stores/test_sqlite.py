import shutil

import pytest

from store_contract.ledger_contract import LedgerContract
from twite.stores.sqlite import SQLiteStore
from twite.stores.sqlite.engine.owner_session import OwnerSession


class TestSQLiteStore(LedgerContract):
    # With few keys in memory, most are looked up in the table. The first claim of a store reads
    # the sizes of bodies; after small bodies, typical claims use other statements.
    @pytest.fixture(params=[2, 100_000])
    async def store(self, tmp_path, request, migrated_file, monkeypatch):
        if request.param == 2:
            monkeypatch.setattr(OwnerSession, "largest_body", 1)
        path = shutil.copyfile(migrated_file, tmp_path / "twite.db")
        store = await SQLiteStore.open(str(path), fresh_keys=request.param)
        yield store
        await store.close()
