"""Limits and pauses after a restart."""

import pytest
from worker_bench import Setting

from builders import a_destination
from twite.domain.times import HOUR, MINUTE, SECOND
from twite.gateway.ports.state import Pause

OTHER = Pause(pixel="p2", event="o8z6k", since=5, reason="400: alike")


@pytest.mark.parametrize("moved", [0, HOUR, -HOUR])
async def test_rest_of_a_limit_is_left_after_a_restart(moved):
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
    await setting.store.put([Pause(pixel="o8z6j", event="o8z6k", since=5, reason="400: alike")])
    await setting.store.put([OTHER])
    await setting.record("a")
    await setting.run.start()

    await setting.clock.advance(MINUTE)

    assert (setting.sent(), list(await setting.store.load(Pause))) == ([["a"]], [OTHER])
    await setting.run.stop(within=1_000)
