"""The check of the balance, source by source and pixel by pixel."""

from twite.domain.errors import LedgerUnavailable
from twite.domain.history import ConversionCounts
from twite.gateway.delivery.sweeper import BalanceCheck
from twite.gateway.ports.events import ProblemSeen
from worker_bench import Seen


class Books:
    def __init__(self, *accounts):
        self.kept = accounts

    async def balance(self):
        if not self.kept:
            raise LedgerUnavailable(reason="disk I/O error", retry_after=1)
        return self.kept


def an_audit(*accounts):
    seen = Seen()
    return BalanceCheck(records=Books(*accounts), observer=seen), seen


async def test_balance_of_0_is_not_reported():
    audit, seen = an_audit(
        ConversionCounts(source="shop", pixel="p", received=3, delivered=2, pending=1)
    )

    await audit.once()

    assert seen.notices == []


async def test_balances_whose_sum_is_0_are_both_reported():
    audit, seen = an_audit(
        ConversionCounts(source="shop", pixel="p", received=3, delivered=2),
        ConversionCounts(source="shop", pixel="q", received=2, delivered=3),
    )

    await audit.once()

    assert seen.notices == [
        ProblemSeen(
            where="balance", reason="1 conversions of source shop and pixel p are unaccounted for"
        ),
        ProblemSeen(
            where="balance", reason="-1 conversions of source shop and pixel q are unaccounted for"
        ),
    ]


async def test_check_of_the_balance_returns_the_accounts():
    account = ConversionCounts(source="shop", pixel="p", received=1, pending=1)
    audit, _ = an_audit(account)

    assert await audit.once() == (account,)


async def test_unreadable_accounts_are_reported_without_an_exception():
    audit, seen = an_audit()

    await audit.once()

    assert seen.notices == [ProblemSeen(where="audit", reason="disk I/O error")]
