"""A report of many accounts reads the store a few times: each read costs half a millisecond."""

import msgspec

from any_results import ACCOUNT, an_account, some_days
from builders import a_destination
from memory_store.state import MemoryState
from twite.domain.results.sale_amounts import SaleAmountUnit
from twite.gateway.ports.state import XResultRecord
from twite.gateway.results.read import ResultsOptions, ResultsReader
from twite.gateway.results.records import put_account, put_days

NOW = 1_795_953_600_000
OTHERS = ("second", "third")


class CountedReads(MemoryState):
    """Results in memory, and how often they are read."""

    reads = 0

    async def load(self, kind, *, prefix=""):
        self.reads += kind is XResultRecord
        return await super().load(kind, prefix=prefix)

    async def answer(self, _query):
        return None if type(_query).__name__ == "CountedSinceQuery" else []


async def test_report_reads_all_accounts_at_once_and_their_days_by_month():
    state = CountedReads()
    await put_account(state, an_account(NOW))
    await put_days(state, ACCOUNT, some_days(NOW))
    destinations = [
        msgspec.structs.replace(a_destination(f"pixel{place}"), account=account)
        for place, account in enumerate((ACCOUNT, *OTHERS))
    ]
    options = ResultsOptions(unit=SaleAmountUnit.MICRO, cut_over="2026-11-24")
    reader = ResultsReader(state, destinations, options)

    report = await reader.report(now=NOW, days=30)

    assert [each.account for each in report.accounts] == [ACCOUNT, *OTHERS]
    assert report.accounts[0].total.spend == "180.00"
    assert len(report.accounts[0].days) == len(some_days(NOW))
    # 61 days are in three months.
    assert state.reads == 1 + 3 * len(destinations)
