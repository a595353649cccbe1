import pytest

from twite.stores.memory.store import MemoryStore
from twite.testing.ledger_contract import LedgerContract


class TestMemoryStore(LedgerContract):
    @pytest.fixture
    def store(self):
        return MemoryStore()
