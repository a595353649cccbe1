"""Pauses that users start and end, on this or another gateway."""

import asyncio

import pytest

from fakes import MovingClock, refused
from memory_store.store import MemoryStore
from twite.domain.errors import LedgerUnavailable
from twite.domain.pause import Cause, Pause, pause_by_user
from twite.domain.times import MINUTE, SECOND
from twite.gateway.delivery.circuit_breaker import CircuitBreaker
from twite.gateway.ports.events import Paused, Resumed
from worker_bench import FullStore, Seen, Setting

REFUSED = "401: not yours"
BY_ADA = "paused by hand, by ada"
NOW = MovingClock().now()


def a_breaker(clock, *, store=None):
    store = MemoryStore() if store is None else store
    return CircuitBreaker(pixel="p", state=store, clock=clock, observer=Seen(), pause=None)


async def paused_by(store):
    return [pause.reason for pause in await store.load(Pause)]


async def test_pause_by_a_user_is_never_probed():
    clock = MovingClock()
    circuit_breaker = a_breaker(clock)
    await circuit_breaker.hold("ada")

    waits = []
    for _ in range(5):
        waits.append(circuit_breaker.wait())
        await clock.advance(MINUTE)

    assert waits == [MINUTE] * 5
    assert circuit_breaker.by_user


async def test_responses_in_flight_neither_end_nor_replace_a_users_pause():
    store = MemoryStore()
    circuit_breaker = CircuitBreaker(
        pixel="p", state=store, clock=MovingClock(), observer=Seen(), pause=None
    )
    await circuit_breaker.hold("ada")

    await circuit_breaker.passed()
    await circuit_breaker.trip(Cause.CREDENTIALS_REFUSED, "401: not yours")

    assert [pause.reason for pause in await store.load(Pause)] == ["paused by hand, by ada"]
    assert (circuit_breaker.by_user, circuit_breaker.wait()) == (True, MINUTE)
    assert [notice.pause.reason for notice in circuit_breaker.observer.notices] == [BY_ADA]


async def test_nothing_is_sent_during_a_users_pause_although_x_refuses_a_request_in_flight():
    setting = Setting()
    answers = asyncio.Event()

    async def post(outbound):
        setting.transport.sent.append(outbound)
        await answers.wait()
        return refused(("UNAUTHORIZED_ACCESS", "not yours", ""), status=401)

    setting.transport.post = post
    await setting.record("a")
    await setting.run.start()
    await setting.clock.advance(SECOND)
    await setting.run.hold("o8z6j", who="ada")
    answers.set()
    await setting.clock.advance(SECOND)
    await setting.record("b")
    await setting.clock.advance(10 * MINUTE)

    assert len(setting.transport.sent) == 1
    assert await paused_by(setting.store) == [BY_ADA]
    await setting.run.stop(within=1_000)


async def test_release_ends_the_pauses_of_events_too():
    setting = Setting()
    await setting.run.start()
    pauses = setting.run._workers["o8z6j"].batch_handler.pauses  # noqa: SLF001 - a probe would end it
    await pauses.trip("o8z6k", Cause.EVENT_REFUSED, "400: alike")
    await setting.record("a")
    await setting.clock.advance(SECOND)
    before = list(setting.transport.sent)

    await setting.run.release("o8z6j")
    await setting.clock.advance(SECOND)

    assert (before, len(setting.transport.sent)) == ([], 1)
    assert await paused_by(setting.store) == []
    await setting.run.stop(within=1_000)


async def test_user_ends_any_pause_and_the_next_delivery_is_sent_at_once():
    store = MemoryStore()
    circuit_breaker = CircuitBreaker(
        pixel="p", state=store, clock=MovingClock(), observer=Seen(), pause=None
    )
    await circuit_breaker.trip(Cause.CREDENTIALS_REFUSED, "401: not yours")

    await circuit_breaker.release()

    assert (circuit_breaker.paused, circuit_breaker.wait(), list(await store.load(Pause))) == (
        False,
        0,
        [],
    )


async def test_users_pause_survives_a_restart():
    store = MemoryStore()
    clock = MovingClock()
    before = CircuitBreaker(pixel="p", state=store, clock=clock, observer=Seen(), pause=None)
    await before.hold("ada")
    (pause,) = await store.load(Pause)

    after = CircuitBreaker(pixel="p", state=store, clock=clock, observer=Seen(), pause=pause)

    assert (after.by_user, after.wait()) == (True, MINUTE)


async def test_pause_made_through_another_gateway_survives_a_successful_probe():
    store = MemoryStore()
    circuit_breaker = CircuitBreaker(
        pixel="p", state=store, clock=MovingClock(), observer=Seen(), pause=None
    )
    await circuit_breaker.trip(Cause.CREDENTIALS_REFUSED, "401: not yours")
    await store.put([pause_by_user("p", since=1, who="ada")])

    await circuit_breaker.passed()
    noted = circuit_breaker.noted
    (stored,) = await store.load(Pause)
    circuit_breaker.follow(stored, noted=noted)

    assert await paused_by(store) == ["paused by hand, by ada"]
    assert circuit_breaker.by_user


async def test_pause_made_through_another_gateway_survives_a_refusal():
    store = MemoryStore()
    circuit_breaker = CircuitBreaker(
        pixel="p", state=store, clock=MovingClock(), observer=Seen(), pause=None
    )
    await store.put([pause_by_user("p", since=1, who="ada")])

    await circuit_breaker.trip(Cause.CREDENTIALS_REFUSED, "401: not yours")
    noted = circuit_breaker.noted
    (stored,) = await store.load(Pause)
    circuit_breaker.follow(stored, noted=noted)

    assert await paused_by(store) == ["paused by hand, by ada"]
    assert circuit_breaker.by_user


async def test_user_pauses_and_resumes_a_pixel_in_doubt():
    store = MemoryStore()
    breaker = a_breaker(MovingClock(), store=store)
    await breaker.doubt(Cause.CREDENTIALS_REFUSED, "502: a page", alone=True, is_likely=False)

    await breaker.hold("ada")
    held = breaker.is_tripped, breaker.noted, await paused_by(store)
    await breaker.release()
    await breaker.release()

    assert held == (True, pause_by_user("p", since=NOW, who="ada"), [BY_ADA])
    assert (breaker.paused, breaker.noted) == (False, None)
    assert breaker.observer.notices == [
        Paused(pause=held[1]),
        Resumed(pixel="p"),
    ]


async def test_release_ends_a_doubt_without_a_pause():
    breaker = a_breaker(MovingClock())
    await breaker.doubt(Cause.CREDENTIALS_REFUSED, "502: a page", alone=True, is_likely=False)

    await breaker.release()

    assert (breaker.paused, breaker.observer.notices) == (False, [])


async def test_pause_ended_through_another_gateway_ends_with_the_back_off():
    store = MemoryStore()
    breaker = a_breaker(MovingClock(), store=store)
    breaker.record_failure(randomness=0.5)
    await breaker.trip(Cause.CREDENTIALS_REFUSED, REFUSED)

    assert breaker.follow(None, noted=breaker.noted)

    assert (breaker.paused, breaker.noted, breaker.wait()) == (False, None, 0)
    assert breaker.observer.notices[1:] == [Resumed(pixel="p")]


async def test_follow_without_a_pause_changes_nothing():
    breaker = a_breaker(MovingClock())

    assert not breaker.follow(None, noted=None)
    assert breaker.observer.notices == []


async def test_pause_changed_after_the_store_was_read_stays():
    breaker = a_breaker(MovingClock())
    before = breaker.noted
    await breaker.trip(Cause.CREDENTIALS_REFUSED, REFUSED)

    assert not breaker.follow(None, noted=before)
    assert breaker.is_tripped


async def test_pause_whose_deletion_failed_does_not_end_twice():
    store = FullStore()
    breaker = a_breaker(MovingClock(), store=store)
    await breaker.trip(Cause.CREDENTIALS_REFUSED, REFUSED)
    store.is_full = True
    with pytest.raises(LedgerUnavailable):
        await breaker.passed()

    assert not breaker.follow(None, noted=breaker.noted)
    assert breaker.observer.notices[1:] == [Resumed(pixel="p")]


async def test_only_users_pauses_of_another_gateway_are_followed():
    breaker = a_breaker(MovingClock())
    refusal = Pause(pixel="p", since=NOW, cause=Cause.CREDENTIALS_REFUSED, reason=REFUSED)
    by_ada = pause_by_user("p", since=NOW, who="ada")

    ended = [breaker.follow(refusal, noted=None)]
    ignored = breaker.paused
    ended += [breaker.follow(by_ada, noted=breaker.noted) for _ in range(2)]

    assert (ended, ignored) == ([False] * 3, False)
    assert (breaker.by_user, breaker.noted) == (True, by_ada)
    assert breaker.observer.notices == [Paused(pause=by_ada)]


async def test_users_pause_of_another_gateway_ends_the_doubt():
    breaker = a_breaker(MovingClock())
    await breaker.doubt(Cause.CREDENTIALS_REFUSED, "502: a page", alone=True, is_likely=False)

    breaker.follow(pause_by_user("p", since=NOW, who="ada"), noted=None)

    assert (breaker.is_tripped, breaker.wants_another) == (True, False)


async def test_pause_is_not_certainly_stored_while_it_is_written():
    written = asyncio.Event()

    class SlowStore(MemoryStore):
        async def put(self, records):
            await written.wait()
            await super().put(records)

    breaker = a_breaker(MovingClock(), store=SlowStore())
    writing = asyncio.ensure_future(breaker.trip(Cause.CREDENTIALS_REFUSED, REFUSED))
    await asyncio.sleep(0)
    during = breaker.is_tripped, breaker.noted

    written.set()
    await writing

    assert during == (True, None)
    assert breaker.noted is breaker.pause is not None
