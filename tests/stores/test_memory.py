import pytest

from memory_store.store import MemoryStore
from store_contract.ledger_contract import OutboxContract


class TestMemoryStore(OutboxContract):
    @pytest.fixture
    def store(self):
        return MemoryStore()
