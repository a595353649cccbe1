from worker_bench import Seen

from fakes import MovingClock
from memory_store.store import MemoryStore
from twite.domain.times import MINUTE, SECOND
from twite.gateway.delivery.circuit_breaker import (
    CircuitBreaker,
    EventPauses,
    pause_by_user,
)
from twite.gateway.ports.state import Pause


def a_breaker(clock):
    return CircuitBreaker(pixel="p", state=MemoryStore(), clock=clock, observer=Seen(), pause=None)


def test_an_outage_told_by_all_that_flew_together_is_one_stumble():
    circuit_breaker = a_breaker(MovingClock())

    for _ in range(4):
        circuit_breaker.record_failure(randomness=0.999)

    assert 4 * SECOND < circuit_breaker.wait() < 5 * SECOND


async def test_however_long_x_is_down_it_is_asked_every_minute():
    clock = MovingClock()
    circuit_breaker = a_breaker(clock)
    for _ in range(20):
        circuit_breaker.record_failure(randomness=0.999)
        await clock.advance(circuit_breaker.wait())

    circuit_breaker.record_failure(randomness=0.999)

    assert circuit_breaker.wait() == MINUTE


async def test_an_answer_to_the_point_ends_the_rest_and_the_count():
    circuit_breaker = a_breaker(MovingClock())
    circuit_breaker.record_failure(randomness=0.999)

    circuit_breaker.record_response()

    assert circuit_breaker.wait() == 0
    circuit_breaker.record_failure(randomness=0.999)
    assert circuit_breaker.wait() < 5 * SECOND


async def test_what_a_person_pauses_is_not_probed_however_long_it_takes():
    clock = MovingClock()
    circuit_breaker = a_breaker(clock)
    await circuit_breaker.hold("ada")

    waits = []
    for _ in range(5):
        waits.append(circuit_breaker.wait())
        await clock.advance(MINUTE)

    assert waits == [MINUTE] * 5
    assert circuit_breaker.by_hand


async def test_what_was_in_flight_neither_ends_nor_replaces_a_persons_pause():
    store = MemoryStore()
    circuit_breaker = CircuitBreaker(
        pixel="p", state=store, clock=MovingClock(), observer=Seen(), pause=None
    )
    await circuit_breaker.hold("ada")

    await circuit_breaker.passed()
    await circuit_breaker.trip("401: not yours")

    assert [pause.reason for pause in await store.load(Pause)] == ["paused by hand, by ada"]


async def test_a_person_ends_any_pause_and_the_next_goes_at_once():
    store = MemoryStore()
    circuit_breaker = CircuitBreaker(
        pixel="p", state=store, clock=MovingClock(), observer=Seen(), pause=None
    )
    await circuit_breaker.trip("401: not yours")

    await circuit_breaker.release()

    assert (circuit_breaker.paused, circuit_breaker.wait(), list(await store.load(Pause))) == (
        False,
        0,
        [],
    )


async def test_a_persons_pause_outlives_the_process():
    store = MemoryStore()
    clock = MovingClock()
    before = CircuitBreaker(pixel="p", state=store, clock=clock, observer=Seen(), pause=None)
    await before.hold("ada")
    (pause,) = await store.load(Pause)

    after = CircuitBreaker(pixel="p", state=store, clock=clock, observer=Seen(), pause=pause)

    assert (after.by_hand, after.wait()) == (True, MINUTE)


async def test_what_is_slowed_down_goes_one_at_a_time_after_its_rest_whatever_it_comes_to():
    clock = MovingClock()
    circuit_breaker = a_breaker(clock)

    circuit_breaker.slow_down(4_750)
    circuit_breaker.record_response()

    assert (circuit_breaker.probes, circuit_breaker.wait()) == (True, 4_750)
    await clock.advance(4_750)
    assert (circuit_breaker.probes, circuit_breaker.wait()) == (True, 0)
    circuit_breaker.slow_down(None)
    assert (circuit_breaker.probes, circuit_breaker.wait()) == (False, 0)


async def test_after_a_sign_in_the_only_delivery_is_tried_again_at_once():
    circuit_breaker = a_breaker(MovingClock())
    await circuit_breaker.doubt("401: not yours", alone=True, is_likely=True)
    before = circuit_breaker.wait(), circuit_breaker.wants_another

    circuit_breaker.half_open()

    assert before == (2 * SECOND, True)
    assert (circuit_breaker.wait(), circuit_breaker.wants_another) == (0, False)


async def paused_by(store):
    return [pause.reason for pause in await store.load(Pause)]


async def test_a_pause_made_through_another_gateway_outlives_a_passed_probe():
    store = MemoryStore()
    circuit_breaker = CircuitBreaker(
        pixel="p", state=store, clock=MovingClock(), observer=Seen(), pause=None
    )
    await circuit_breaker.trip("401: not yours")
    await store.put([pause_by_user("p", since=1, who="ada")])

    await circuit_breaker.passed()
    noted = circuit_breaker.noted
    (stored,) = await store.load(Pause)
    circuit_breaker.follow(stored, noted=noted)

    assert await paused_by(store) == ["paused by hand, by ada"]
    assert circuit_breaker.by_hand


async def test_a_pause_made_through_another_gateway_outlives_a_refusal():
    store = MemoryStore()
    circuit_breaker = CircuitBreaker(
        pixel="p", state=store, clock=MovingClock(), observer=Seen(), pause=None
    )
    await store.put([pause_by_user("p", since=1, who="ada")])

    await circuit_breaker.trip("401: not yours")
    noted = circuit_breaker.noted
    (stored,) = await store.load(Pause)
    circuit_breaker.follow(stored, noted=noted)

    assert await paused_by(store) == ["paused by hand, by ada"]
    assert circuit_breaker.by_hand


async def test_event_pauses_that_were_ended_through_another_gateway_end():
    store = MemoryStore()
    pauses = EventPauses(pixel="p", state=store, clock=MovingClock(), observer=Seen(), pauses=())
    await pauses.trip("one", "400: alike")
    await pauses.trip("two", "400: alike")
    await store.delete(Pause, ("p", "one"))

    before = pauses.noted
    pauses.follow(await store.load(Pause), noted=before)

    assert pauses.paused() == {"two"}


async def test_an_event_pause_made_here_is_not_ended_by_what_was_read_before_it():
    store = MemoryStore()
    pauses = EventPauses(pixel="p", state=store, clock=MovingClock(), observer=Seen(), pauses=())
    before = pauses.noted
    read = await store.load(Pause)
    await pauses.trip("one", "400: alike")

    pauses.follow(read, noted=before)

    assert pauses.paused() == {"one"}
