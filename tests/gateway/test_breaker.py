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


async def test_what_a_person_pauses_is_not_probed_however_long_it_takes():
    clock = MovingClock()
    breaker = a_breaker(clock)
    await breaker.hold("ada")

    waits = []
    for _ in range(5):
        waits.append(breaker.wait())
        await clock.advance(MINUTE)

    assert waits == [MINUTE] * 5
    assert breaker.by_hand


async def test_what_was_in_flight_neither_ends_nor_replaces_a_persons_pause():
    store = MemoryStore()
    breaker = Breaker(pixel="p", outbox=store, clock=MovingClock(), observer=Seen(), pause=None)
    await breaker.hold("ada")

    await breaker.passed()
    await breaker.trip("401: not yours")

    assert [pause.reason for pause in await store.pauses()] == ["paused by hand, by ada"]


async def test_a_person_ends_any_pause_and_the_next_goes_at_once():
    store = MemoryStore()
    breaker = Breaker(pixel="p", outbox=store, clock=MovingClock(), observer=Seen(), pause=None)
    await breaker.trip("401: not yours")

    await breaker.release()

    assert (breaker.paused, breaker.wait(), list(await store.pauses())) == (False, 0, [])


async def test_a_persons_pause_outlives_the_process():
    store = MemoryStore()
    clock = MovingClock()
    before = Breaker(pixel="p", outbox=store, clock=clock, observer=Seen(), pause=None)
    await before.hold("ada")
    (pause,) = await store.pauses()

    after = Breaker(pixel="p", outbox=store, clock=clock, observer=Seen(), pause=pause)

    assert (after.by_hand, after.wait()) == (True, MINUTE)


async def test_what_is_slowed_down_goes_one_at_a_time_after_its_rest_whatever_it_comes_to():
    clock = MovingClock()
    breaker = a_breaker(clock)

    breaker.slow_down(4_750)
    breaker.stood()

    assert (breaker.probes, breaker.wait()) == (True, 4_750)
    await clock.advance(4_750)
    assert (breaker.probes, breaker.wait()) == (True, 0)
    breaker.slow_down(None)
    assert (breaker.probes, breaker.wait()) == (False, 0)
