"""In a busy process, pixels get fewer and fuller requests. Otherwise, none is delayed."""

import asyncio

import pytest

from builders import a_destination
from twite.domain.times import SECOND
from twite.gateway.delivery.worker import (
    LONGEST_LINGER,
    LONGEST_SPACING,
    TOLERATED,
    LingeringWorkers,
    WorkerConfig,
)
from worker_bench import Setting

PIXELS = 100
SECONDS = 4


class LateWorkers(LingeringWorkers):
    """Workers whose timers are always late by the same time."""

    def __init__(self, late):
        super().__init__()
        super().record(late, now=SECOND)

    def record(self, late, *, now):
        pass


async def stream(setting, pixels, *, every):
    """Record a conversion of each pixel all the time; return the number."""
    for tick in range(0, SECONDS * SECOND, every):
        for pixel in pixels:
            await setting.record(f"{pixel}-{tick}", pixel=pixel)
        await setting.clock.advance(every)
    return len(pixels) * SECONDS * SECOND // every


def a_setting(pixels, *, late=0):
    names = [f"p{number}" for number in range(pixels)]
    destinations = [a_destination(pixel=name) for name in names]
    worker_config = WorkerConfig(lingering=LateWorkers(late))
    return Setting(destinations=destinations, worker_config=worker_config), names


async def test_pixels_of_a_busy_process_get_few_requests():
    setting, names = a_setting(PIXELS, late=100)
    await setting.run.start()

    many = await stream(setting, names, every=100)
    requests = len(setting.sent())
    await setting.clock.advance(LONGEST_LINGER)

    assert sum(map(len, setting.sent())) == many
    # At first, no worker knows of the others.
    assert requests <= PIXELS * (2 + SECONDS * SECOND // (PIXELS * LONGEST_SPACING))
    await setting.run.stop(within=1_000)


@pytest.mark.parametrize("late", [0, TOLERATED])
async def test_many_pixels_do_not_delay_each_other_in_a_process_with_time(late):
    setting, names = a_setting(PIXELS, late=late)
    await setting.run.start()

    for tick in range(10):
        for name in names:
            await setting.record(f"{name}-{tick}", pixel=name)
        await setting.clock.advance(250)
        sent = {id_ for ids in setting.sent() for id_ in ids}
        assert sent >= {f"{name}-{tick}" for name in names}
    await setting.run.stop(within=1_000)


async def test_quiet_pixel_of_a_busy_process_is_sent_to_at_once():
    setting, names = a_setting(PIXELS, late=100)
    await setting.run.start()

    for name in names:
        await setting.record(f"{name}-1", pixel=name)
        await setting.clock.advance(1)
        assert setting.sent()[-1] == [f"{name}-1"]
    await setting.run.stop(within=1_000)


async def test_busy_pixel_gets_five_requests_a_second():
    setting, names = a_setting(1)
    await setting.run.start()

    await stream(setting, names, every=100)

    assert len(setting.sent()) >= 5 * SECONDS
    await setting.run.stop(within=1_000)


async def test_stop_does_not_wait_for_workers_that_collect_a_batch():
    setting, names = a_setting(PIXELS, late=100)
    await setting.run.start()
    await stream(setting, names, every=200)

    before = setting.clock.elapsed()
    stopping = asyncio.create_task(setting.run.stop(within=10 * SECOND))
    await setting.clock.advance(200)

    assert stopping.done()
    assert setting.clock.elapsed() - before == 200
