"""What the sender tells of its requests and of what X took."""

from bench_of_lanes import Setting

from twite.domain.times import MINUTE
from twite.gateway.dispatch import Pace
from twite.gateway.notices import Attempted, Moved
from twite.gateway.ports import NoAnswer
from twite.testing.transport import conversions_of, refused, taken

NO_IDENTIFIER = refused(("INVALID_PARAMETER", "At least one user identifier must be provided", ""))


def seen(setting, kind):
    return [notice for notice in setting.seen.notices if isinstance(notice, kind)]


async def test_what_x_took_is_told_with_how_long_it_waited():
    setting = Setting()
    await setting.record("a")
    await setting.clock.advance(7_000)
    await setting.record("b")

    await setting.run.start()
    await setting.clock.advance(MINUTE)

    waited = [one.waited for one in seen(setting, Moved) if one.trigger == "delivered"]
    assert waited == [(7_000, 0)]
    await setting.run.stop(within=1_000)


async def test_what_x_did_not_take_waits_on_and_is_not_counted():
    setting = Setting(replies=[refused(("OVER_CAPACITY", "busy", ""), status=503)])
    await setting.record("a")

    await setting.run.start()
    await setting.clock.advance(100)

    assert [one.waited for one in seen(setting, Moved)] == [()]
    await setting.run.stop(within=1_000)


async def test_requests_of_isolation_are_told_apart():
    def picky(parcel):
        ids = [one["conversion_id"] for one in conversions_of(parcel)]
        return NO_IDENTIFIER if "bad" in ids else taken(parcel)

    setting = Setting(replies=[picky] * 20)
    await setting.record("a", "bad", "c", "d")

    await setting.run.start()
    await setting.clock.advance(MINUTE)

    first, *others = seen(setting, Attempted)
    assert not first.isolating
    assert others
    assert all(one.isolating for one in others)
    await setting.run.stop(within=1_000)


async def test_what_is_sent_again_though_x_may_have_it_is_told():
    setting = Setting(replies=[NoAnswer(reason="no answer in time", left=True)], pace=Pace())
    await setting.record("a", "b")

    await setting.run.start()
    await setting.clock.advance(MINUTE)

    first, second, *_ = seen(setting, Attempted)
    assert (first.again, first.ambiguous) == (0, True)
    assert second.again == 2
    await setting.run.stop(within=1_000)
