import shutil

import pytest

from store_contract.claiming import ClaimLaws
from store_contract.copies import CopyLaws
from store_contract.copies_at_once import CopiesAtOnceLaws
from store_contract.ledger_contract import LedgerContract
from store_contract.limits import CrashLaws, DoubtLaws, LimitLaws
from store_contract.operations import OperationLaws
from store_contract.privacy import ConsentLaws, PrivacyLaws
from store_contract.recording import BalanceLaws, RecordingLaws
from store_contract.rejections import RejectionLaws
from store_contract.sealing import TagPayloadLaws
from store_contract.settling import SettlingLaws, SweepLaws
from twite.stores.sqlite import SQLiteStore
from twite.stores.sqlite.engine.owner_session import OwnerSession


class TestSQLiteStore(LedgerContract):
    @pytest.fixture
    async def store(self, tmp_path, migrated_file):
        path = shutil.copyfile(migrated_file, tmp_path / "twite.db")
        store = await SQLiteStore.open(str(path), fresh_keys=100_000)
        yield store
        await store.close()


class TestKeysInTheTable(
    RecordingLaws,
    TagPayloadLaws,
    ClaimLaws,
    SettlingLaws,
    SweepLaws,
    LimitLaws,
    CrashLaws,
    DoubtLaws,
    OperationLaws,
    BalanceLaws,
    ConsentLaws,
    CopyLaws,
    CopiesAtOnceLaws,
    RejectionLaws,
    PrivacyLaws,
):
    """The contract's tests about conversions, with most keys looked up in the table.

    Claims begin as they would after a claim of small bodies: a typical claim has separate
    statements. The first claim of a store reads the sizes of bodies.
    """

    @pytest.fixture
    async def store(self, tmp_path, migrated_file, monkeypatch):
        monkeypatch.setattr(OwnerSession, "largest_body", 1)
        path = shutil.copyfile(migrated_file, tmp_path / "twite.db")
        store = await SQLiteStore.open(str(path), fresh_keys=2)
        yield store
        await store.close()
