"""Pauses of single events, and their records in the store."""

import pytest

from fakes import MovingClock
from memory_store.store import MemoryStore
from twite.domain.errors import LedgerUnavailable
from twite.domain.pause import Cause, Pause
from twite.domain.times import MINUTE, SECOND
from twite.gateway.delivery.circuit_breaker import EventPauses
from twite.gateway.ports.events import Resumed
from worker_bench import FullStore, Seen

REFUSED = "400: alike"
NOW = MovingClock().now()


def event_pauses(store, *, clock=None, observer=None, pauses=()):
    clock, observer = clock or MovingClock(), observer or Seen()
    return EventPauses(pixel="p", state=store, clock=clock, observer=observer, pauses=pauses)


async def paused_by(store):
    return [pause.reason for pause in await store.load(Pause)]


def an_event_pause(event="one", reason=REFUSED):
    return Pause(pixel="p", event=event, since=NOW, cause=Cause.EVENT_REFUSED, reason=reason)


async def test_paused_event_is_probed_once_a_minute_with_another_delivery():
    clock = MovingClock()
    pauses = event_pauses(MemoryStore(), clock=clock)
    await clock.advance(5)
    await pauses.trip("one", Cause.EVENT_REFUSED, REFUSED)

    seen = []
    for ahead in (MINUTE - 1, 1, MINUTE - 1, 1):
        await clock.advance(ahead)
        seen.append((pauses.closed(), pauses.want_others()))

    assert seen == [({"one"}, {"one"}), (set(), {"one"}), (set(), {"one"}), (set(), set())]
    pauses.probed("one")
    assert pauses.closed() == {"one"}


async def test_events_that_were_paused_before_a_restart_are_probed_at_once():
    pauses = event_pauses(MemoryStore(), pauses=[an_event_pause("one")])

    assert (pauses.paused(), pauses.closed()) == ({"one"}, set())
    assert pauses.noted == {"one": an_event_pause("one")}


async def test_probe_of_an_event_that_is_not_paused_changes_nothing():
    pauses = event_pauses(MemoryStore())

    pauses.probed("one")

    assert (pauses.closed(), pauses.paused()) == (set(), set())


async def test_new_credentials_probe_the_paused_events_at_once():
    pauses = event_pauses(MemoryStore())
    await pauses.trip("one", Cause.EVENT_REFUSED, REFUSED)

    pauses.half_open()

    assert (pauses.paused(), pauses.closed()) == ({"one"}, set())


async def test_event_pause_is_reported_and_stored_once_for_each_reason():
    clock, store, seen = MovingClock(), FullStore(), Seen()
    pauses = event_pauses(store, clock=clock, observer=seen)

    for reason in (REFUSED, REFUSED, "500: alike"):
        await pauses.trip("one", Cause.EVENT_REFUSED, reason)
        await clock.advance(SECOND)

    reasons = [notice.pause.reason for notice in seen.notices]
    assert (reasons, store.writes) == ([REFUSED, "500: alike"], 2)
    assert list(await store.load(Pause)) == [an_event_pause(reason="500: alike")]


async def test_unstored_event_pause_is_stored_by_the_next_refusal():
    store = FullStore()
    pauses = event_pauses(store)
    store.is_full = True
    with pytest.raises(LedgerUnavailable):
        await pauses.trip("one", Cause.EVENT_REFUSED, REFUSED)
    full = pauses.paused(), pauses.noted

    store.is_full = False
    await pauses.trip("one", Cause.EVENT_REFUSED, REFUSED)

    assert full == ({"one"}, {})
    assert pauses.noted == {"one": an_event_pause()}
    assert await paused_by(store) == [REFUSED]


async def test_undeleted_event_pause_is_deleted_later():
    store, seen = FullStore(), Seen()
    pauses = event_pauses(store, observer=seen)
    await pauses.trip("one", Cause.EVENT_REFUSED, REFUSED)
    store.is_full = True
    with pytest.raises(LedgerUnavailable):
        await pauses.passed("one")
    full = pauses.paused(), pauses.noted, pauses.closed(), await paused_by(store)

    store.is_full = False
    await pauses.release()
    await pauses.passed("one")

    assert full == (set(), {}, set(), [REFUSED])
    assert (await paused_by(store), store.writes) == ([], 2)
    assert seen.notices[1:] == [Resumed(pixel="p", event="one")]


async def test_user_ends_all_event_pauses():
    store = MemoryStore()
    pauses = event_pauses(store)
    await pauses.trip("one", Cause.EVENT_REFUSED, REFUSED)
    await pauses.trip("two", Cause.EVENT_REFUSED, REFUSED)

    await pauses.release()

    assert (pauses.paused(), pauses.noted, await paused_by(store)) == (set(), {}, [])


async def test_event_pauses_ended_through_another_gateway_end():
    store = MemoryStore()
    seen = Seen()
    pauses = event_pauses(store, observer=seen)
    await pauses.trip("one", Cause.EVENT_REFUSED, REFUSED)
    await pauses.trip("two", Cause.EVENT_REFUSED, REFUSED)
    await store.delete(Pause, ("p", "one"))

    before = pauses.noted
    pauses.follow(await store.load(Pause), noted=before)

    assert pauses.paused() == {"two"}
    assert seen.notices[2:] == [Resumed(pixel="p", event="one")]


async def test_event_pause_made_meanwhile_is_not_ended_by_a_stale_read():
    store = MemoryStore()
    pauses = event_pauses(store)
    before = pauses.noted
    read = await store.load(Pause)
    await pauses.trip("one", Cause.EVENT_REFUSED, REFUSED)

    pauses.follow(read, noted=before)

    assert pauses.paused() == {"one"}


async def test_limit_of_an_event_ends_with_its_first_request_after_the_reset():
    clock, store, seen = MovingClock(), MemoryStore(), Seen()
    pauses = event_pauses(store, clock=clock, observer=seen)
    await pauses.trip("one", Cause.EVENT_LIMITED, "429", probe_in=5 * MINUTE)
    await clock.advance(5 * MINUTE - 1)
    before = pauses.closed()
    await clock.advance(1)

    pauses.probed("one")

    assert (before, pauses.closed(), pauses.paused()) == ({"one"}, set(), set())
    assert seen.notices[1:] == [Resumed(pixel="p", event="one")]
    await pauses.passed("one")
    assert await paused_by(store) == []
