import pytest

from twite.testing.ledger_contract import LedgerContract
from twite.testing.memory import MemoryStore


class TestMemoryStore(LedgerContract):
    @pytest.fixture
    def store(self):
        return MemoryStore()
