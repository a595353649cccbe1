"""X never responds to some conversions: the others are delivered in the meantime."""

from random import Random

import pytest

from fakes import conversions_of, taken
from twite.domain.times import MINUTE, SECOND
from twite.gateway.delivery.worker import WorkerConfig
from twite.gateway.ports.transport import NoResponse
from worker_bench import Setting

HANGS = 30 * SECOND


class X:
    """Never responds to a request with an invalid conversion, nor to any while it is down."""

    def __init__(self, setting, *, quick=100):
        self.setting = setting
        self.quick = quick
        self.is_down = False
        self.in_flight = self.most_in_flight = 0
        self.delivered = {}
        setting.transport.post = self.post

    async def post(self, outbound):
        ids = [str(conversion["conversion_id"]) for conversion in conversions_of(outbound)]
        hangs = self.is_down or any(id_.startswith("bad") for id_ in ids)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await self.setting.clock.sleep(HANGS if hangs else self.quick)
        self.in_flight -= 1
        if hangs:
            return NoResponse(reason="no answer in time", left=True)
        self.delivered.update(dict.fromkeys(ids, self.setting.clock.elapsed()))
        return taken(outbound)


@pytest.mark.parametrize(("a_minute", "share"), [(600, 0.02), (120, 0.05)])
async def test_valid_conversions_do_not_wait_for_requests_without_a_response(a_minute, share):
    setting, random, born = Setting(), Random(1), {}
    x = X(setting)
    await setting.run.start()
    for n in range(3 * a_minute):
        id_ = f"{'bad' if random.random() < share else 'good'}{n}"
        born[id_] = setting.clock.elapsed()
        await setting.record(id_)
        await setting.clock.advance(MINUTE // a_minute)
    good = [id_ for id_ in born if id_.startswith("good")]
    waiting = [id_ for id_ in good if id_ not in x.delivered]
    await setting.clock.advance(3 * MINUTE)

    delays = sorted(x.delivered.get(id_, 10**9) - born[id_] for id_ in good)
    assert len(waiting) <= len(good) / 20
    assert delays[len(good) // 2] <= SECOND
    assert delays[-1] <= 3 * MINUTE
    assert x.most_in_flight <= 64
    (account,) = await setting.store.balance()
    assert (account.dead, account.balance) == (0, 0)
    await setting.run.stop(within=1_000)


async def test_claim_for_all_free_slots_has_one_batch_of_suspects():
    setting = Setting(worker_config=WorkerConfig(batch=2))
    x = X(setting)
    await setting.record(*[f"bad{n}" for n in range(8)])
    await setting.run.start()
    await setting.clock.advance(HANGS + SECOND)
    await setting.record("good1")
    await setting.clock.advance(5 * SECOND)
    assert "good1" in x.delivered
    # All suspects are due when the pause ends.
    await setting.run.hold("o8z6j", who="ann")
    await setting.clock.advance(5 * MINUTE)
    x.most_in_flight = x.in_flight
    await setting.run.release("o8z6j")
    await setting.clock.advance(SECOND)

    assert (x.in_flight, x.most_in_flight) == (1, 1)
    await setting.run.stop(within=1_000)


@pytest.mark.parametrize("quick", [100, 10 * SECOND])
async def test_slow_or_silent_x_gets_few_additional_requests(quick):
    setting = Setting()
    x = X(setting, quick=quick)
    await setting.record(*[f"good{n}" for n in range(10_000)])
    x.is_down = quick == 100
    await setting.run.start()
    await setting.clock.advance(MINUTE)

    assert 4 <= x.most_in_flight <= 8
    x.is_down = False
    await setting.clock.advance(5 * MINUTE)
    assert len(x.delivered) == 10_000
    await setting.run.stop(within=1_000)
