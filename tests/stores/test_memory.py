import pytest

from twite.stores.memory.store import MemoryStore
from twite.testing.ledger_contract import OutboxContract


class TestMemoryStore(OutboxContract):
    @pytest.fixture
    def store(self):
        return MemoryStore()
