"""Many busy pixels send fewer and fuller requests; few pixels are not delayed."""

import asyncio

import pytest
from worker_bench import Setting

from builders import a_destination
from twite.domain.times import SECOND
from twite.gateway.delivery import worker as worker_module
from twite.gateway.delivery.worker import LONGEST_LINGER

PIXELS = 20
SECONDS = 8


@pytest.fixture(autouse=True)
def spacing(monkeypatch):
    """As if each pixel were 25, so that the test needs only a few."""
    monkeypatch.setattr(worker_module, "SPACING", 50)


async def stream(setting, pixels, *, every):
    """Record a conversion of each pixel all the time; return the number."""
    for tick in range(0, SECONDS * SECOND, every):
        for pixel in pixels:
            await setting.record(f"{pixel}-{tick}", pixel=pixel)
        await setting.clock.advance(every)
    return len(pixels) * SECONDS * SECOND // every


def a_setting(pixels):
    names = [f"p{number}" for number in range(pixels)]
    return Setting(destinations=[a_destination(pixel=name) for name in names]), names


async def test_many_busy_pixels_send_few_requests():
    setting, names = a_setting(PIXELS)
    await setting.run.start()

    many = await stream(setting, names, every=100)
    requests = len(setting.sent())
    await setting.clock.advance(LONGEST_LINGER)

    assert sum(map(len, setting.sent())) == many
    # At first, no worker knows of the others.
    assert requests <= 2 * PIXELS + SECONDS * SECOND // 50
    await setting.run.stop(within=1_000)


async def test_quiet_pixels_do_not_wait_for_each_other():
    setting, names = a_setting(PIXELS)
    await setting.run.start()

    for name in names:
        await setting.record(f"{name}-1", pixel=name)
        await setting.clock.advance(200)
        assert setting.sent()[-1] == [f"{name}-1"]
    await setting.run.stop(within=1_000)


async def test_one_busy_pixel_sends_five_requests_a_second():
    setting, names = a_setting(1)
    await setting.run.start()

    await stream(setting, names, every=100)

    assert len(setting.sent()) >= 5 * SECONDS
    await setting.run.stop(within=1_000)


async def test_stop_does_not_wait_for_lingering_workers():
    setting, names = a_setting(PIXELS)
    await setting.run.start()
    await stream(setting, names, every=200)

    before = setting.clock.elapsed()
    stopping = asyncio.create_task(setting.run.stop(within=10 * SECOND))
    await setting.clock.advance(200)

    assert stopping.done()
    assert setting.clock.elapsed() - before == 200
