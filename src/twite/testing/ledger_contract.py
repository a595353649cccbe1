"""What every store must do, as tests: hand a store to it in a subclass.

    class TestMyStore(LedgerContract):
        @pytest.fixture
        async def store(self):
            ...
            yield store

The store must be empty, with the default dedup window. Its module must be known to pytest's assertion
rewriting (`pytest.register_assert_rewrite("twite.testing.laws")` in a conftest.py), and
pytest-asyncio must be in auto mode.
"""

from twite.testing.laws.balance import BalanceLaws
from twite.testing.laws.claiming import ClaimLaws
from twite.testing.laws.desk import DeskLaws
from twite.testing.laws.recording import RecordingLaws
from twite.testing.laws.settling import SettlingLaws
from twite.testing.laws.sweeping import SweepLaws


class LedgerContract(RecordingLaws, ClaimLaws, SettlingLaws, SweepLaws, DeskLaws, BalanceLaws):
    """All of it."""
