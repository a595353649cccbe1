"""Pauses that users start and end, through this gateway or another."""

import asyncio

import pytest
from paused_pixel import PausedPixel

from fakes import MovingClock, refused
from memory_store.store import MemoryStore
from twite.domain.errors import LedgerUnavailable
from twite.domain.pause import Cause, Pause, pause_by_user
from twite.domain.times import MINUTE, SECOND
from twite.gateway.ports.events import Paused, Resumed
from worker_bench import FullStore, Setting

REFUSED = "401: not yours"
BY_ADA = "paused by hand, by ada"
NOW = MovingClock().now()


async def paused_by(store):
    return [pause.reason for pause in await store.load(Pause)]


async def test_pause_by_a_user_is_never_probed():
    clock = MovingClock()
    pixel = PausedPixel(clock)
    await pixel.hold("ada")

    waits = []
    for _ in range(5):
        waits.append(pixel.wait())
        await clock.advance(MINUTE)

    assert waits == [MINUTE] * 5
    assert pixel.is_by_user


async def test_responses_in_flight_neither_end_nor_replace_a_users_pause():
    store = MemoryStore()
    pixel = PausedPixel(store=store)
    await pixel.hold("ada")

    await pixel.passed()
    await pixel.trip("401: not yours")

    assert [pause.reason for pause in await store.load(Pause)] == ["paused by hand, by ada"]
    assert (pixel.is_by_user, pixel.wait()) == (True, MINUTE)
    assert [notice.pause.reason for notice in pixel.notices] == [BY_ADA]


async def test_request_in_flight_that_x_refuses_does_not_end_a_users_pause():
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


async def test_user_who_resumes_a_pixel_also_ends_its_event_pauses():
    setting = Setting()
    await setting.run.start()
    current = setting.run._workers["o8z6j"].current_evidence  # noqa: SLF001 - a probe would end it
    instant = current.instant()
    current.update(
        current.evidence.pause_event("o8z6k", Cause.EVENT_REFUSED, "400: alike", instant=instant)
    )
    await current.write_pauses()
    await setting.record("a")
    await setting.clock.advance(SECOND)
    before = list(setting.transport.sent)

    await setting.run.release("o8z6j")
    await setting.clock.advance(SECOND)

    assert (before, len(setting.transport.sent)) == ([], 1)
    assert await paused_by(setting.store) == []
    await setting.run.stop(within=1_000)


async def test_user_can_end_any_pause_and_the_next_delivery_is_sent_at_once():
    store = MemoryStore()
    pixel = PausedPixel(store=store)
    await pixel.trip("401: not yours")

    await pixel.release()

    assert (pixel.breaker.is_paused, pixel.wait(), list(await store.load(Pause))) == (
        False,
        0,
        [],
    )


async def test_pause_by_a_user_is_kept_over_a_restart():
    store = MemoryStore()
    clock = MovingClock()
    before = PausedPixel(clock, store=store)
    await before.hold("ada")
    (pause,) = await store.load(Pause)

    after = PausedPixel(clock, store=store, pauses=[pause])

    assert (after.is_by_user, after.wait()) == (True, MINUTE)


async def test_pause_made_through_another_gateway_is_kept_after_an_accepted_probe():
    store = MemoryStore()
    pixel = PausedPixel(store=store)
    await pixel.trip("401: not yours")
    await store.put([pause_by_user("p", since=1, who="ada")])

    await pixel.passed()
    noted = pixel.noted
    pixel.follow(await store.load(Pause), noted=noted)

    assert await paused_by(store) == ["paused by hand, by ada"]
    assert pixel.is_by_user


async def test_pause_made_through_another_gateway_is_kept_after_a_refusal():
    store = MemoryStore()
    pixel = PausedPixel(store=store)
    await store.put([pause_by_user("p", since=1, who="ada")])

    await pixel.trip("401: not yours")
    noted = pixel.noted
    pixel.follow(await store.load(Pause), noted=noted)

    assert await paused_by(store) == ["paused by hand, by ada"]
    assert pixel.is_by_user


async def test_user_can_pause_and_resume_a_tentatively_paused_pixel():
    store = MemoryStore()
    pixel = PausedPixel(store=store)
    await pixel.doubt("502: a page", alone=True, is_likely=False)

    await pixel.hold("ada")
    held = pixel.breaker.is_tripped, pixel.noted, await paused_by(store)
    await pixel.release()
    await pixel.release()

    assert held == (True, {"": pause_by_user("p", since=NOW, who="ada")}, [BY_ADA])
    assert (pixel.breaker.is_paused, pixel.noted) == (False, {})
    assert pixel.notices == [
        Paused(pause=held[1][""]),
        Resumed(pixel="p"),
    ]


async def test_user_can_end_a_tentative_pause():
    pixel = PausedPixel()
    await pixel.doubt("502: a page", alone=True, is_likely=False)

    await pixel.release()

    assert (pixel.breaker.is_paused, pixel.notices) == (False, [])


async def test_pause_ended_through_another_gateway_also_ends_the_back_off():
    store = MemoryStore()
    pixel = PausedPixel(store=store)
    pixel.fail(0.5)
    await pixel.trip(REFUSED)

    assert pixel.follow([], noted=pixel.noted)

    assert (pixel.breaker.is_paused, pixel.noted, pixel.wait()) == (False, {}, 0)
    assert pixel.notices[1:] == [Resumed(pixel="p")]


async def test_reading_pauses_of_other_gateways_without_one_changes_nothing():
    pixel = PausedPixel()

    assert not pixel.follow([], noted={})
    assert pixel.notices == []


async def test_pause_changed_after_the_store_was_read_stays():
    pixel = PausedPixel()
    before = pixel.noted
    await pixel.trip(REFUSED)

    assert not pixel.follow([], noted=before)
    assert pixel.breaker.is_tripped


async def test_pause_whose_deletion_failed_does_not_end_twice():
    store = FullStore()
    pixel = PausedPixel(store=store)
    await pixel.trip(REFUSED)
    store.is_full = True
    with pytest.raises(LedgerUnavailable):
        await pixel.passed()

    assert not pixel.follow([], noted=pixel.noted)
    assert pixel.notices[1:] == [Resumed(pixel="p")]


async def test_only_pauses_by_users_of_another_gateway_are_obeyed():
    pixel = PausedPixel()
    refusal = Pause(pixel="p", since=NOW, cause=Cause.CREDENTIALS_REFUSED, reason=REFUSED)
    by_ada = pause_by_user("p", since=NOW, who="ada")

    ended = [pixel.follow([refusal], noted={})]
    ignored = pixel.breaker.is_paused
    ended += [pixel.follow([by_ada], noted=pixel.noted) for _ in range(2)]

    assert (ended, ignored) == ([False] * 3, False)
    assert (pixel.is_by_user, pixel.noted) == (True, {"": by_ada})
    assert pixel.notices == [Paused(pause=by_ada)]


async def test_pause_by_a_user_of_another_gateway_replaces_a_tentative_one():
    pixel = PausedPixel()
    await pixel.doubt("502: a page", alone=True, is_likely=False)

    pixel.follow([pause_by_user("p", since=NOW, who="ada")], noted={})

    assert (pixel.breaker.is_tripped, pixel.wants_another) == (True, False)


async def test_pause_may_not_be_stored_while_it_is_written():
    written = asyncio.Event()

    class SlowStore(MemoryStore):
        async def put(self, records):
            await written.wait()
            await super().put(records)

    pixel = PausedPixel(store=SlowStore())
    writing = asyncio.ensure_future(pixel.trip(REFUSED))
    await asyncio.sleep(0)
    during = pixel.breaker.is_tripped, pixel.noted

    written.set()
    await writing

    assert during == (True, {})
    assert pixel.noted[""] is pixel.pause
