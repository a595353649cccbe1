import pytest

from fakes import MovingClock
from memory_store.store import MemoryStore
from twite.domain.errors import LedgerUnavailable
from twite.domain.pause import Cause, Pause
from twite.domain.times import MINUTE, SECOND
from twite.gateway.delivery.circuit_breaker import CircuitBreaker
from twite.gateway.ports.events import Paused, Resumed
from worker_bench import FullStore, Seen

REFUSED = "401: not yours"


def a_breaker(clock, *, store=None):
    store = MemoryStore() if store is None else store
    return CircuitBreaker(pixel="p", state=store, clock=clock, observer=Seen(), pause=None)


def test_simultaneous_failures_count_as_one():
    circuit_breaker = a_breaker(MovingClock())

    for _ in range(4):
        circuit_breaker.record_failure(randomness=0.999)

    assert 4 * SECOND < circuit_breaker.wait() < 5 * SECOND


async def test_retry_interval_is_at_most_a_minute():
    clock = MovingClock()
    circuit_breaker = a_breaker(clock)
    for _ in range(20):
        circuit_breaker.record_failure(randomness=0.999)
        await clock.advance(circuit_breaker.wait())

    circuit_breaker.record_failure(randomness=0.999)

    assert circuit_breaker.wait() == MINUTE


async def test_response_of_x_resets_the_back_off():
    circuit_breaker = a_breaker(MovingClock())
    circuit_breaker.record_failure(randomness=0.999)

    circuit_breaker.record_response()

    assert circuit_breaker.wait() == 0
    circuit_breaker.record_failure(randomness=0.999)
    assert circuit_breaker.wait() < 5 * SECOND


async def test_slow_down_sends_one_request_at_a_time_after_its_pause():
    clock = MovingClock()
    circuit_breaker = a_breaker(clock)

    circuit_breaker.slow_down(4_750)
    circuit_breaker.record_response()

    assert (circuit_breaker.probes, circuit_breaker.wait()) == (True, 4_750)
    await clock.advance(4_750)
    assert (circuit_breaker.probes, circuit_breaker.wait()) == (True, 0)
    circuit_breaker.slow_down(None)
    assert (circuit_breaker.probes, circuit_breaker.wait()) == (False, 0)


async def test_user_who_resumes_a_pixel_also_ends_its_back_off():
    circuit_breaker = a_breaker(MovingClock())
    circuit_breaker.record_failure(randomness=0.999)

    await circuit_breaker.release()

    assert (circuit_breaker.wait(), circuit_breaker.probes) == (0, False)


async def test_pause_that_was_read_before_it_was_ended_here_stays_ended():
    circuit_breaker = a_breaker(MovingClock())
    await circuit_breaker.hold("Anna")
    noted = circuit_breaker.noted
    await circuit_breaker.release()

    assert circuit_breaker.follow(noted, noted=noted) is False
    assert not circuit_breaker.paused


async def test_new_credentials_retry_the_only_delivery_at_once():
    circuit_breaker = a_breaker(MovingClock())
    await circuit_breaker.doubt(
        Cause.CREDENTIALS_REFUSED, "401: not yours", alone=True, is_likely=True
    )
    before = circuit_breaker.wait(), circuit_breaker.wants_another

    circuit_breaker.half_open()

    assert before == (2 * SECOND, True)
    assert (circuit_breaker.wait(), circuit_breaker.wants_another) == (0, False)


async def paused_by(store):
    return [pause.reason for pause in await store.load(Pause)]


def test_untroubled_pixel_is_sent_full_requests_at_once():
    breaker = a_breaker(MovingClock())

    assert (breaker.paused, breaker.probes, breaker.is_tripped, breaker.by_user) == (False,) * 4
    assert (breaker.backs_off, breaker.wants_another) == (False, False)
    assert (breaker.wait(), breaker.size_of_probe(500)) == (0, 500)


async def test_tripped_pixel_is_probed_with_one_delivery_after_a_minute():
    clock, store = MovingClock(), MemoryStore()
    breaker = a_breaker(clock, store=store)
    await clock.advance(5)

    await breaker.trip(Cause.CREDENTIALS_REFUSED, REFUSED)

    assert (breaker.paused, breaker.probes, breaker.is_tripped) == (True, True, True)
    assert (breaker.wait(), breaker.size_of_probe(500)) == (MINUTE, 1)
    assert list(await store.load(Pause)) == [breaker.pause] == [breaker.noted]
    await clock.advance(MINUTE)
    assert breaker.wait() == 0


async def test_pause_is_reported_and_stored_once_for_each_reason():
    store = FullStore()
    breaker = a_breaker(MovingClock(), store=store)

    for reason in (REFUSED, REFUSED, "403: closed", REFUSED):
        await breaker.trip(Cause.CREDENTIALS_REFUSED, reason)

    reasons = [notice.pause.reason for notice in breaker.observer.notices]
    assert reasons == [REFUSED, "403: closed", REFUSED]
    assert store.writes == 3


async def test_unstored_pause_is_stored_by_the_next_refusal():
    store = FullStore()
    breaker = a_breaker(MovingClock(), store=store)
    store.is_full = True
    with pytest.raises(LedgerUnavailable):
        await breaker.trip(Cause.CREDENTIALS_REFUSED, REFUSED)
    full = breaker.is_tripped, breaker.noted, await paused_by(store)

    store.is_full = False
    await breaker.trip(Cause.CREDENTIALS_REFUSED, REFUSED)

    assert full == (True, None, [])
    assert await paused_by(store) == [REFUSED]
    assert breaker.observer.notices == [Paused(pause=breaker.pause)]


async def test_undeleted_pause_is_deleted_by_the_next_acceptance():
    store = FullStore()
    breaker = a_breaker(MovingClock(), store=store)
    await breaker.trip(Cause.CREDENTIALS_REFUSED, REFUSED)
    store.is_full = True
    with pytest.raises(LedgerUnavailable):
        await breaker.passed()
    full = breaker.paused, await paused_by(store)

    store.is_full = False
    await breaker.passed()
    await breaker.passed()

    assert full == (False, [REFUSED])
    assert await paused_by(store) == []
    assert breaker.observer.notices[1:] == [Resumed(pixel="p")]


async def test_doubtful_refusal_is_probed_soon_by_another_delivery():
    clock = MovingClock()
    breaker = a_breaker(clock)

    await breaker.doubt(Cause.CREDENTIALS_REFUSED, "502: a page", alone=False, is_likely=False)

    assert (breaker.paused, breaker.is_tripped, breaker.pause) == (True, False, None)
    assert (breaker.wait(), breaker.size_of_probe(500)) == (2 * SECOND, 1)
    assert breaker.wants_another
    await clock.advance(2 * SECOND - 1)
    assert breaker.wants_another
    await clock.advance(1)
    assert (breaker.wait(), breaker.wants_another) == (0, False)


async def test_likely_refusal_pauses_the_pixel_and_lets_its_batches_continue():
    breaker = a_breaker(MovingClock())

    await breaker.doubt(Cause.CREDENTIALS_REFUSED, REFUSED, alone=False, is_likely=True)

    assert (breaker.paused, breaker.is_tripped, breaker.pause.reason) == (True, False, REFUSED)


async def test_second_doubtful_refusal_trips_the_breaker_for_a_minute():
    clock = MovingClock()
    breaker = a_breaker(clock)
    await breaker.doubt(Cause.CREDENTIALS_REFUSED, "502: a page", alone=True, is_likely=False)
    # Only another delivery may be the next probe, for a minute.
    await clock.advance(MINUTE - 1)
    alone = breaker.wait(), breaker.wants_another

    await breaker.doubt(Cause.CREDENTIALS_REFUSED, REFUSED, alone=True, is_likely=False)

    assert alone == (0, True)
    assert (breaker.is_tripped, breaker.wants_another) == (True, False)
    assert breaker.wait() == MINUTE


async def test_acceptance_ends_the_doubt():
    store = FullStore()
    breaker = a_breaker(MovingClock(), store=store)
    await breaker.doubt(Cause.CREDENTIALS_REFUSED, "502: a page", alone=False, is_likely=False)

    await breaker.passed()

    assert (breaker.paused, breaker.observer.notices, store.writes) == (False, [], 0)


async def test_each_failure_makes_the_next_request_eight_times_smaller():
    clock = MovingClock()
    breaker = a_breaker(clock)

    sizes = []
    for _ in range(4):
        breaker.record_failure(randomness=0.5)
        sizes.append(breaker.size_of_probe(500) if breaker.probes else 500)
        await clock.advance(breaker.wait())

    assert sizes == [62, 7, 1, 1]


async def test_new_requests_are_forbidden_until_the_back_off_ends():
    clock = MovingClock()
    breaker = a_breaker(clock)
    breaker.record_failure(randomness=0.5)

    await clock.advance(breaker.wait() - 1)
    before = breaker.backs_off
    await clock.advance(1)

    assert (before, breaker.backs_off) == (True, False)
    # The back-off has ended, so the next failure counts as a new outage.
    breaker.record_failure(randomness=0.5)
    assert breaker.size_of_probe(500) == 7


async def test_failed_probe_pauses_the_pixel_for_a_minute():
    clock = MovingClock()
    breaker = a_breaker(clock)
    await breaker.trip(Cause.CREDENTIALS_REFUSED, REFUSED)
    await clock.advance(MINUTE)

    breaker.record_failure(randomness=0.5)

    assert breaker.wait() == MINUTE


async def test_slow_pixel_forbids_new_requests_during_its_pause():
    clock = MovingClock()
    breaker = a_breaker(clock)

    breaker.slow_down(2)
    during = breaker.backs_off
    breaker.slow_down(None)

    assert (during, breaker.backs_off, breaker.probes) == (True, False, False)
