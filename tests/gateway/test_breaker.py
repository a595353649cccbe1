from bench_of_lanes import Seen

from twite.domain.times import MINUTE, SECOND
from twite.gateway.breaker import Breaker
from twite.testing.clock import MovingClock
from twite.testing.memory import MemoryStore


def a_breaker(clock):
    return Breaker(pixel="p", outbox=MemoryStore(), clock=clock, observer=Seen(), pause=None)


def test_an_outage_told_by_all_that_flew_together_is_one_stumble():
    breaker = a_breaker(MovingClock())

    for _ in range(4):
        breaker.stumbled(chance=0.999)

    assert 4 * SECOND < breaker.wait() < 5 * SECOND


async def test_however_long_x_is_down_it_is_asked_every_minute():
    clock = MovingClock()
    breaker = a_breaker(clock)
    for _ in range(20):
        breaker.stumbled(chance=0.999)
        await clock.advance(breaker.wait())

    breaker.stumbled(chance=0.999)

    assert breaker.wait() == MINUTE


async def test_an_answer_to_the_point_ends_the_rest_and_the_count():
    breaker = a_breaker(MovingClock())
    breaker.stumbled(chance=0.999)

    breaker.stood()

    assert breaker.wait() == 0
    breaker.stumbled(chance=0.999)
    assert breaker.wait() < 5 * SECOND
