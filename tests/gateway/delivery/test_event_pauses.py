"""Pauses of single events, in memory and in the store."""

import pytest
from paused_pixel import PausedPixel

from fakes import MovingClock
from memory_store.store import MemoryStore
from twite.domain.errors import LedgerUnavailable
from twite.domain.pause import Cause, Pause
from twite.domain.times import MINUTE, SECOND
from twite.gateway.ports.events import Resumed
from worker_bench import FullStore, Seen

REFUSED = "400: alike"
NOW = MovingClock().now()


async def paused_by(store):
    return [pause.reason for pause in await store.load(Pause)]


def an_event_pause(event="one", reason=REFUSED):
    return Pause(pixel="p", event=event, since=NOW, cause=Cause.EVENT_REFUSED, reason=reason)


async def test_paused_event_is_probed_once_a_minute_with_another_delivery():
    clock = MovingClock()
    pixel = PausedPixel(clock)
    await clock.advance(5)
    await pixel.pause_event("one", REFUSED)

    seen = []
    for ahead in (MINUTE - 1, 1, MINUTE - 1, 1):
        await clock.advance(ahead)
        seen.append((pixel.closed(), pixel.skips_bad()))

    assert seen == [({"one"}, {"one"}), (set(), {"one"}), (set(), {"one"}), (set(), set())]
    pixel.probe("one")
    assert pixel.closed() == {"one"}


async def test_events_that_were_paused_before_a_restart_are_probed_at_once():
    pixel = PausedPixel(pauses=[an_event_pause("one")])

    assert (pixel.events(), pixel.closed()) == ({"one"}, set())
    assert pixel.noted == {"one": an_event_pause("one")}


async def test_probe_of_an_event_that_is_not_paused_changes_nothing():
    pixel = PausedPixel()

    pixel.probe("one")

    assert (pixel.closed(), pixel.events()) == (set(), set())


async def test_new_credentials_probe_the_paused_events_at_once():
    pixel = PausedPixel()
    await pixel.pause_event("one", REFUSED)

    pixel.half_open()

    assert (pixel.events(), pixel.closed()) == ({"one"}, set())


async def test_event_pause_is_reported_and_stored_once_for_each_reason():
    clock, store, seen = MovingClock(), FullStore(), Seen()
    pixel = PausedPixel(clock, store=store, observer=seen)

    for reason in (REFUSED, REFUSED, "500: alike"):
        await pixel.pause_event("one", reason)
        await clock.advance(SECOND)

    reasons = [notice.pause.reason for notice in seen.notices]
    assert (reasons, store.writes) == ([REFUSED, "500: alike"], 2)
    assert list(await store.load(Pause)) == [an_event_pause(reason="500: alike")]


async def test_event_pause_that_could_not_be_stored_is_stored_at_the_next_refusal():
    store = FullStore()
    pixel = PausedPixel(store=store)
    store.is_full = True
    with pytest.raises(LedgerUnavailable):
        await pixel.pause_event("one", REFUSED)
    full = pixel.events(), pixel.noted

    store.is_full = False
    await pixel.pause_event("one", REFUSED)

    assert full == ({"one"}, {})
    assert pixel.noted == {"one": an_event_pause()}
    assert await paused_by(store) == [REFUSED]


async def test_event_pause_that_could_not_be_deleted_is_deleted_later():
    store, seen = FullStore(), Seen()
    pixel = PausedPixel(store=store, observer=seen)
    await pixel.pause_event("one", REFUSED)
    store.is_full = True
    with pytest.raises(LedgerUnavailable):
        await pixel.resume_event("one")
    full = pixel.events(), pixel.noted, pixel.closed(), await paused_by(store)

    store.is_full = False
    await pixel.release()
    await pixel.resume_event("one")

    assert full == (set(), {}, set(), [REFUSED])
    assert (await paused_by(store), store.writes) == ([], 3)
    assert seen.notices[1:] == [Resumed(pixel="p", event="one")]


async def test_user_can_end_all_event_pauses():
    store = MemoryStore()
    pixel = PausedPixel(store=store)
    await pixel.pause_event("one", REFUSED)
    await pixel.pause_event("two", REFUSED)

    await pixel.release()

    assert (pixel.events(), pixel.noted, await paused_by(store)) == (set(), {}, [])


async def test_event_pauses_ended_through_another_gateway_end():
    store = MemoryStore()
    seen = Seen()
    pixel = PausedPixel(store=store, observer=seen)
    await pixel.pause_event("one", REFUSED)
    await pixel.pause_event("two", REFUSED)
    await store.delete(Pause, ("p", "one"))

    before = pixel.noted
    pixel.follow(await store.load(Pause), noted=before)

    assert pixel.events() == {"two"}
    assert seen.notices[2:] == [Resumed(pixel="p", event="one")]


async def test_event_pause_that_began_meanwhile_is_not_ended_by_an_earlier_read():
    store = MemoryStore()
    pixel = PausedPixel(store=store)
    before = pixel.noted
    read = await store.load(Pause)
    await pixel.pause_event("one", REFUSED)

    pixel.follow(read, noted=before)

    assert pixel.events() == {"one"}


async def test_rate_limit_of_an_event_ends_with_its_first_request_after_the_reset():
    clock, store, seen = MovingClock(), MemoryStore(), Seen()
    pixel = PausedPixel(clock, store=store, observer=seen)
    await pixel.pause_event("one", "429", cause=Cause.EVENT_LIMITED, probe_in=5 * MINUTE)
    await clock.advance(5 * MINUTE - 1)
    before = pixel.closed()
    await clock.advance(1)

    pixel.probe("one")

    assert (before, pixel.closed(), pixel.events()) == ({"one"}, set(), set())
    assert seen.notices[1:] == [Resumed(pixel="p", event="one")]
    await pixel.resume_event("one")
    assert await paused_by(store) == []
