"""Notices about the sender's requests and accepted conversions."""

from fakes import conversions_of, refused, taken
from twite.domain.times import MINUTE
from twite.gateway.delivery.worker import WorkerConfig
from twite.gateway.ports.events import Attempted, Moved
from twite.gateway.ports.transport import NoResponse
from worker_bench import Setting

NO_IDENTIFIER = refused(("INVALID_PARAMETER", "At least one user identifier must be provided", ""))


def seen(setting, kind):
    return [notice for notice in setting.seen.notices if isinstance(notice, kind)]


async def test_notice_of_a_delivery_has_the_waiting_times():
    setting = Setting()
    await setting.record("a")
    await setting.clock.advance(7_000)
    await setting.record("b")

    await setting.run.start()
    await setting.clock.advance(MINUTE)

    waited = [notice.waited for notice in seen(setting, Moved) if notice.trigger == "delivered"]
    assert waited == [{7_000: 1, 0: 1}]
    await setting.run.stop(within=1_000)


async def test_notice_of_a_rescheduled_delivery_has_no_waiting_time():
    setting = Setting(replies=[refused(("OVER_CAPACITY", "busy", ""), status=503)])
    await setting.record("a")

    await setting.run.start()
    await setting.clock.advance(100)

    assert [notice.waited for notice in seen(setting, Moved)] == [{}]
    await setting.run.stop(within=1_000)


async def test_notice_of_a_bisection_request_says_so():
    def picky(outbound):
        ids = [conversion["conversion_id"] for conversion in conversions_of(outbound)]
        return NO_IDENTIFIER if "bad" in ids else taken(outbound)

    setting = Setting(replies=[picky] * 20)
    await setting.record("a", "bad", "c", "d")

    await setting.run.start()
    await setting.clock.advance(MINUTE)

    first, *others = seen(setting, Attempted)
    assert not first.isolating
    assert others
    assert all(other.isolating for other in others)
    await setting.run.stop(within=1_000)


async def test_notice_of_an_ambiguous_retry_says_so():
    setting = Setting(
        replies=[NoResponse(reason="no answer in time", left=True)], worker_config=WorkerConfig()
    )
    await setting.record("a", "b")

    await setting.run.start()
    await setting.clock.advance(MINUTE)

    first, *others = seen(setting, Attempted)
    assert (first.again, first.ambiguous) == (0, True)
    assert sum(other.again for other in others) == 2
    await setting.run.stop(within=1_000)
