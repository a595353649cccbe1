"""The circuit breaker of a pixel: pauses, probes, back-off."""

import pytest
from paused_pixel import PausedPixel

from fakes import MovingClock
from memory_store.store import MemoryStore
from twite.domain.errors import LedgerUnavailable
from twite.domain.pause import Pause
from twite.domain.times import MINUTE, SECOND
from twite.gateway.ports.events import Paused, Resumed
from worker_bench import FullStore

REFUSED = "401: not yours"


def test_simultaneous_failures_count_as_one():
    pixel = PausedPixel()

    for _ in range(4):
        pixel.fail(0.999)

    assert 4 * SECOND < pixel.wait() < 5 * SECOND


async def test_retry_interval_is_at_most_a_minute():
    clock = MovingClock()
    pixel = PausedPixel(clock)
    for _ in range(20):
        pixel.fail(0.999)
        await clock.advance(pixel.wait())

    pixel.fail(0.999)

    assert pixel.wait() == MINUTE


async def test_response_of_x_ends_the_back_off():
    pixel = PausedPixel()
    pixel.fail(0.999)

    pixel.record_response()

    assert pixel.wait() == 0
    pixel.fail(0.999)
    assert pixel.wait() < 5 * SECOND


async def test_slow_pixel_gets_one_request_at_a_time_after_a_pause():
    clock = MovingClock()
    pixel = PausedPixel(clock)

    pixel.slow_down(4_750)
    pixel.record_response()

    assert (pixel.probes, pixel.wait()) == (True, 4_750)
    await clock.advance(4_750)
    assert (pixel.probes, pixel.wait()) == (True, 0)
    pixel.slow_down(None)
    assert (pixel.probes, pixel.wait()) == (False, 0)


async def test_user_who_resumes_a_pixel_also_ends_its_back_off():
    pixel = PausedPixel()
    pixel.fail(0.999)

    await pixel.release()

    assert (pixel.wait(), pixel.probes) == (0, False)


async def test_pause_that_ended_here_is_not_restored_by_an_earlier_read():
    pixel = PausedPixel()
    await pixel.hold("Anna")
    noted = pixel.noted
    await pixel.release()

    assert pixel.follow(noted.values(), noted=noted) is False
    assert not pixel.breaker.is_paused


async def test_new_credentials_probe_the_only_delivery_at_once():
    pixel = PausedPixel()
    await pixel.doubt("401: not yours", alone=True, is_likely=True)
    before = pixel.wait(), pixel.wants_another

    pixel.half_open()

    assert before == (2 * SECOND, True)
    assert (pixel.wait(), pixel.wants_another) == (0, False)


async def paused_by(store):
    return [pause.reason for pause in await store.load(Pause)]


def test_pixel_without_failures_is_sent_full_requests_at_once():
    pixel = PausedPixel()

    assert (pixel.breaker.is_paused, pixel.probes, pixel.breaker.is_tripped, pixel.is_by_user) == (
        False,
    ) * 4
    assert (pixel.backs_off, pixel.wants_another) == (False, False)
    assert (pixel.wait(), pixel.breaker.size_of_probe(500)) == (0, 500)


async def test_paused_pixel_is_probed_with_one_delivery_after_a_minute():
    clock, store = MovingClock(), MemoryStore()
    pixel = PausedPixel(clock, store=store)
    await clock.advance(5)

    await pixel.trip(REFUSED)

    assert (pixel.breaker.is_paused, pixel.probes, pixel.breaker.is_tripped) == (True, True, True)
    assert (pixel.wait(), pixel.breaker.size_of_probe(500)) == (MINUTE, 1)
    assert list(await store.load(Pause)) == [pixel.pause] == list(pixel.noted.values())
    await clock.advance(MINUTE)
    assert pixel.wait() == 0


async def test_pause_is_reported_and_stored_once_for_each_reason():
    store = FullStore()
    pixel = PausedPixel(store=store)

    for reason in (REFUSED, REFUSED, "403: closed", REFUSED):
        await pixel.trip(reason)

    reasons = [notice.pause.reason for notice in pixel.notices]
    assert reasons == [REFUSED, "403: closed", REFUSED]
    assert store.writes == 3


async def test_pause_that_could_not_be_stored_is_stored_at_the_next_refusal():
    store = FullStore()
    pixel = PausedPixel(store=store)
    store.is_full = True
    with pytest.raises(LedgerUnavailable):
        await pixel.trip(REFUSED)
    full = pixel.breaker.is_tripped, pixel.noted, await paused_by(store)

    store.is_full = False
    await pixel.trip(REFUSED)

    assert full == (True, {}, [])
    assert await paused_by(store) == [REFUSED]
    assert pixel.notices == [Paused(pause=pixel.pause)]


async def test_pause_that_could_not_be_deleted_is_deleted_at_the_next_acceptance():
    store = FullStore()
    pixel = PausedPixel(store=store)
    await pixel.trip(REFUSED)
    store.is_full = True
    with pytest.raises(LedgerUnavailable):
        await pixel.passed()
    full = pixel.breaker.is_paused, await paused_by(store)

    store.is_full = False
    await pixel.passed()
    await pixel.passed()

    assert full == (False, [REFUSED])
    assert await paused_by(store) == []
    assert pixel.notices[1:] == [Resumed(pixel="p")]


async def test_tentative_pause_is_probed_soon_by_another_delivery():
    clock = MovingClock()
    pixel = PausedPixel(clock)

    await pixel.doubt("502: a page", alone=False, is_likely=False)

    assert (pixel.breaker.is_paused, pixel.breaker.is_tripped, pixel.pause) == (True, False, None)
    assert (pixel.wait(), pixel.breaker.size_of_probe(500)) == (2 * SECOND, 1)
    assert pixel.wants_another
    await clock.advance(2 * SECOND - 1)
    assert pixel.wants_another
    await clock.advance(1)
    assert (pixel.wait(), pixel.wants_another) == (0, False)


async def test_likely_refusal_pauses_the_pixel_and_lets_its_batches_continue():
    pixel = PausedPixel()

    await pixel.doubt(REFUSED, alone=False, is_likely=True)

    assert (pixel.breaker.is_paused, pixel.breaker.is_tripped, pixel.pause.reason) == (
        True,
        False,
        REFUSED,
    )


async def test_second_refusal_during_a_tentative_pause_pauses_for_a_minute():
    clock = MovingClock()
    pixel = PausedPixel(clock)
    await pixel.doubt("502: a page", alone=True, is_likely=False)
    # Only another delivery may be the next probe, for a minute.
    await clock.advance(MINUTE - 1)
    alone = pixel.wait(), pixel.wants_another

    await pixel.doubt(REFUSED, alone=True, is_likely=False)

    assert alone == (0, True)
    assert (pixel.breaker.is_tripped, pixel.wants_another) == (True, False)
    assert pixel.wait() == MINUTE


async def test_acceptance_ends_a_tentative_pause():
    store = FullStore()
    pixel = PausedPixel(store=store)
    await pixel.doubt("502: a page", alone=False, is_likely=False)

    await pixel.passed()

    assert (pixel.breaker.is_paused, pixel.notices, store.writes) == (False, [], 0)


async def test_each_failure_makes_the_next_request_eight_times_smaller():
    clock = MovingClock()
    pixel = PausedPixel(clock)

    sizes = []
    for _ in range(4):
        pixel.fail(0.5)
        sizes.append(pixel.breaker.size_of_probe(500) if pixel.probes else 500)
        await clock.advance(pixel.wait())

    assert sizes == [62, 7, 1, 1]


async def test_new_requests_are_not_sent_until_the_back_off_ends():
    clock = MovingClock()
    pixel = PausedPixel(clock)
    pixel.fail(0.5)

    await clock.advance(pixel.wait() - 1)
    before = pixel.backs_off
    await clock.advance(1)

    assert (before, pixel.backs_off) == (True, False)
    # The back-off has ended, so the next failure counts as a new outage.
    pixel.fail(0.5)
    assert pixel.breaker.size_of_probe(500) == 7


async def test_probe_that_fails_pauses_the_pixel_for_a_minute():
    clock = MovingClock()
    pixel = PausedPixel(clock)
    await pixel.trip(REFUSED)
    await clock.advance(MINUTE)

    pixel.fail(0.5)

    assert pixel.wait() == MINUTE


async def test_slow_pixel_gets_no_new_requests_during_its_pause():
    clock = MovingClock()
    pixel = PausedPixel(clock)

    pixel.slow_down(2)
    during = pixel.backs_off
    pixel.slow_down(None)

    assert (during, pixel.backs_off, pixel.probes) == (True, False, False)
