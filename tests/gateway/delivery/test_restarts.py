"""Rate limits and pauses after a restart."""

import pytest

from builders import a_destination
from twite.domain.errors import LedgerUnavailable
from twite.domain.pause import Cause, Pause, pause_by_user
from twite.domain.times import HOUR, MINUTE, SECOND
from twite.gateway.ports.state import RateLimitWindow
from worker_bench import Setting

OTHER = Pause(pixel="p2", event="o8z6k", since=5, cause=Cause.EVENT_REFUSED, reason="400: alike")


@pytest.mark.parametrize("moved", [0, HOUR, -HOUR])
async def test_rest_of_a_rate_limit_is_left_after_a_restart(moved):
    setting = Setting(destinations=[a_destination(rate=100)])
    await setting.record(*[f"a{i}" for i in range(60)])
    await setting.run.start()
    await setting.clock.advance(SECOND)
    await setting.run.stop(within=1_000)
    await setting.record(*[f"b{i}" for i in range(60)])

    setting.clock.jump(moved)
    setting.run = setting.new_run()
    await setting.run.start()
    await setting.clock.advance(MINUTE)

    assert sum(len(ids) for ids in setting.sent()) == 100
    await setting.run.stop(within=1_000)


async def test_success_after_a_restart_ends_the_pause_of_its_event():
    setting = Setting()
    await setting.store.put(
        [
            Pause(
                pixel="o8z6j",
                event="o8z6k",
                since=5,
                cause=Cause.EVENT_REFUSED,
                reason="400: alike",
            )
        ]
    )
    await setting.store.put([OTHER])
    await setting.record("a")
    await setting.run.start()

    await setting.clock.advance(MINUTE)

    assert (setting.sent(), list(await setting.store.load(Pause))) == ([["a"]], [OTHER])
    await setting.run.stop(within=1_000)


@pytest.mark.parametrize("idle", [MINUTE, 20 * MINUTE, 24 * HOUR])
async def test_rate_limit_window_stored_long_after_the_latest_record_is_still_closed(idle):
    setting = Setting()
    await setting.record("a")
    setting.clock.jump(idle)
    until = setting.clock.now() + 15 * MINUTE
    await setting.store.put([RateLimitWindow(pixel="o8z6j", until=until, reason="429")])

    setting.run = setting.new_run()
    await setting.run.start()
    await setting.clock.advance(15 * MINUTE - SECOND)
    early = setting.sent()
    await setting.clock.advance(16 * MINUTE)

    assert (early, setting.sent()) == ([], [["a"]])
    await setting.run.stop(within=1_000)


async def started_without_p2(setting):
    """Start with conversions for p2, whose credentials are read only after the start."""
    setting.destinations = (a_destination(),)
    setting.run = setting.new_run()
    await setting.run.start()
    setting.run.send_to(a_destination(pixel="p2", rate=100))


@pytest.mark.parametrize("moved", [0, HOUR, -HOUR])
async def test_pixel_added_after_a_restart_keeps_its_closed_window(moved):
    setting = Setting()
    await setting.record("a", pixel="p2")
    until = setting.clock.now() + 20 * MINUTE
    await setting.store.put([RateLimitWindow(pixel="p2", until=until, reason="429")])
    setting.clock.jump(moved)

    await started_without_p2(setting)
    await setting.clock.advance(20 * MINUTE - SECOND)
    early = setting.sent()
    await setting.clock.advance(MINUTE)

    assert (early, setting.sent()) == ([], [["a"]])
    await setting.run.stop(within=1_000)


async def test_pixel_added_after_a_restart_keeps_its_pause():
    setting = Setting()
    await setting.record("a", pixel="p2")
    pause = pause_by_user("p2", since=setting.clock.now(), who="ann")
    await setting.store.put([pause])

    await started_without_p2(setting)
    await setting.clock.advance(HOUR)
    paused = setting.sent()
    await setting.run.release("p2")
    await setting.clock.advance(MINUTE)

    assert (paused, setting.sent()) == ([], [["a"]])
    await setting.run.stop(within=1_000)


async def test_pixel_added_again_has_the_rest_of_its_rate_limit():
    setting = Setting()
    await started_without_p2(setting)
    await setting.record(*[f"a{i}" for i in range(60)], pixel="p2")
    await setting.clock.advance(MINUTE)
    setting.run.leave("p2")
    await setting.record(*[f"b{i}" for i in range(60)], pixel="p2")

    setting.run.send_to(a_destination(pixel="p2", rate=100))
    await setting.clock.advance(MINUTE)

    assert sum(len(ids) for ids in setting.sent()) == 100
    await setting.run.stop(within=1_000)


@pytest.mark.parametrize(
    "error", [LedgerUnavailable(reason="disk", retry_after=1), RuntimeError("a bug")]
)
async def test_pixel_added_while_the_store_fails_is_sent_to_later(error):
    setting = Setting()
    load, results = setting.store.load, [None, error]

    async def failing(kind):
        result = results.pop(0) if kind is Pause and results else None
        if result is not None:
            raise result
        return await load(kind)

    setting.store.load = failing
    await setting.record("a", pixel="p2")
    await started_without_p2(setting)
    setting.run.send_to(a_destination(pixel="p2", rate=100))
    await setting.clock.advance(MINUTE)

    assert (results, setting.sent()) == ([], [["a"]])
    await setting.run.stop(within=1_000)


async def test_pixel_removed_before_its_worker_starts_is_not_sent_to():
    setting = Setting()
    await setting.record("a", pixel="p2")
    await started_without_p2(setting)

    setting.run.leave("p2")
    await setting.clock.advance(MINUTE)
    removed = setting.sent()
    setting.run.send_to(a_destination(pixel="p2", rate=100))
    await setting.clock.advance(MINUTE)

    assert (removed, setting.sent()) == ([], [["a"]])
    await setting.run.stop(within=1_000)
