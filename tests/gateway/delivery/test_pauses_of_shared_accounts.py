"""Pauses by a user that several gateways of one store obey."""

import asyncio

from twite.domain.pause import Cause, Pause, pause_by_user
from twite.domain.times import SECOND


async def test_pixel_of_another_gateway_is_paused_and_resumed_in_the_store(begin):
    setting = await begin("a")

    held = await setting.run.hold("p3", who="ann")
    stored = await setting.store.load(Pause)
    released = await setting.run.release("p3")

    assert (held, released) == (True, True)
    assert [(pause.pixel, pause.reason) for pause in stored] == [("p3", "paused by hand, by ann")]
    assert not await setting.store.load(Pause)
    assert not await setting.run.hold("unknown", who="ann")


async def test_pixel_resumed_through_another_gateway_has_no_event_pauses(begin):
    setting = await begin("p3")
    other = await begin("a")
    other.run.outbox = setting.store
    await setting.clock.advance(0)
    current = setting.run._workers["p3"].current_evidence  # noqa: SLF001 - a probe would end it
    instant = current.instant()
    current.update(
        current.evidence.pause_event("o8z6k", Cause.EVENT_REFUSED, "400: alike", instant=instant)
    )
    await current.write_pauses()
    await setting.record("3", pixel="p3")
    await setting.clock.advance(SECOND)
    before = setting.sent()

    await other.run.release("p3")
    await setting.shared_out()

    assert (before, setting.sent()) == ([], [["3"]])
    assert not await setting.store.load(Pause)


async def test_pause_and_resume_through_another_gateway_are_obeyed(begin):
    setting = await begin("p3")
    await setting.store.put([pause_by_user("p3", since=setting.clock.now(), who="ann")])
    await setting.shared_out()
    await setting.record("3", pixel="p3")
    await setting.clock.advance(SECOND)
    before = setting.sent()

    await setting.store.delete(Pause, ("p3", ""))
    await setting.shared_out()

    assert (before, setting.sent()) == ([], [["3"]])


async def test_pause_that_began_meanwhile_is_not_ended_by_an_earlier_read(begin):
    setting = await begin("p3")
    load = setting.store.load
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slow(kind):
        found = await load(kind)
        if kind is Pause:
            asked.set()
            await go_on.wait()
        return found

    setting.store.load = slow
    await setting.shared_out()
    await asked.wait()
    await setting.run.hold("p3", who="ann")
    go_on.set()
    await setting.record("3", pixel="p3")
    await setting.clock.advance(SECOND)

    assert setting.sent() == []


async def test_pixel_gained_while_paused_is_not_sent_to(begin):
    setting = await begin()
    await setting.run.hold("p3", who="ann")
    await setting.record("3", pixel="p3")

    setting.ownership.due = frozenset({"p3"})
    await setting.shared_out()

    assert setting.sent() == []
