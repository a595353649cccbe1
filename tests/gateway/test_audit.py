import asyncio

from bench_of_lanes import Seen

from twite.domain.account import Account
from twite.domain.errors import LedgerUnavailable
from twite.domain.times import MINUTE
from twite.gateway.audit import Audit
from twite.gateway.notices import Troubled
from twite.testing.clock import MovingClock, settled


class Books:
    def __init__(self, *accounts):
        self.kept = accounts

    async def accounts(self):
        if not self.kept:
            raise LedgerUnavailable(reason="disk I/O error", retry_after=1)
        return self.kept


def an_audit(*accounts):
    seen, clock = Seen(), MovingClock()
    return Audit(records=Books(*accounts), clock=clock, observer=seen), seen, clock


async def test_books_that_balance_are_not_worth_a_word():
    audit, seen, _ = an_audit(Account(source="shop", pixel="p", received=3, delivered=2, pending=1))

    await audit.once()

    assert seen.notices == []


async def test_residues_that_cancel_out_are_both_told():
    audit, seen, _ = an_audit(
        Account(source="shop", pixel="p", received=3, delivered=2),
        Account(source="shop", pixel="q", received=2, delivered=3),
    )

    await audit.once()

    assert seen.notices == [
        Troubled(where="balance", reason="1 conversions of source shop and pixel p are nowhere"),
        Troubled(where="balance", reason="-1 conversions of source shop and pixel q are nowhere"),
    ]


async def test_books_that_cannot_be_read_are_told_and_stop_nobody():
    audit, seen, _ = an_audit()

    await audit.once()

    assert seen.notices == [Troubled(where="audit", reason="disk I/O error")]


async def test_it_looks_every_minute_and_goes_on_after_trouble_with_the_store():
    audit, seen, clock = an_audit()
    looking = asyncio.create_task(audit.run())
    await settled()

    await clock.advance(2 * MINUTE)

    looking.cancel()
    assert seen.notices == [Troubled(where="audit", reason="disk I/O error")] * 2
