"""A worker's times of rate limits and signatures, if a clock is wrong."""

import re
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from builders import a_destination, a_destination_with_oauth
from fakes import MovingClock
from twite.domain.times import HOUR, MINUTE, SECOND
from twite.gateway.delivery.worker import WorkerConfig
from twite.gateway.ports.events import Paused
from twite.gateway.ports.queries import AttemptsQuery
from twite.gateway.ports.transport import Response
from worker_bench import Setting


def timestamp_of(outbound):
    return int(re.search(r'oauth_timestamp="(\d+)"', outbound.headers["Authorization"]).group(1))


async def test_rate_limit_waits_for_the_reset_of_x():
    setting = Setting()
    reset = (setting.clock.now() + 90 * SECOND) // SECOND
    limited = Response(
        status=429,
        headers={"x-rate-limit-reset": str(reset)},
        body=b'{"errors":[{"code":"TOO_MANY_REQUESTS","message":"","parameter":""}]}',
    )
    setting.transport.reply(limited)
    await setting.run.start()
    await setting.record("a")
    await setting.clock.advance(89 * SECOND)

    early = setting.sent()
    await setting.clock.advance(10 * SECOND)

    assert early == [["a"]]
    assert setting.sent() == [["a"], ["a"]]
    assert await setting.state("a") == "delivered"
    await setting.run.stop(within=1_000)


async def test_no_window_of_15_minutes_exceeds_the_rate_limit():
    setting = Setting(destinations=[a_destination(rate=100)], worker_config=WorkerConfig(batch=30))
    await setting.record(*[f"c{i}" for i in range(350)])
    await setting.run.start()

    await setting.clock.advance(HOUR)

    sent = (await setting.store.answer(AttemptsQuery(since=0)))["o8z6j"]
    windows = [
        sum(many for at, many in sent if start <= at < start + 15 * MINUTE) for start, _ in sent
    ]
    assert sum(many for _, many in sent) == 350
    assert max(windows) == 100
    await setting.run.stop(within=1_000)


@pytest.mark.parametrize("moved", [0, HOUR, 24 * HOUR, -24 * HOUR])
async def test_sent_conversions_count_towards_the_rate_limit_after_a_restart(moved):
    setting = Setting(destinations=[a_destination(rate=100)])
    await setting.record(*[f"c{i}" for i in range(150)])
    await setting.run.start()
    await setting.clock.advance(SECOND)
    await setting.run.stop(within=1_000)

    setting.clock.jump(moved)
    setting.run = setting.new_run()
    await setting.run.start()
    await setting.clock.advance(MINUTE)

    assert sum(len(ids) for ids in setting.sent()) == 100
    await setting.run.stop(within=1_000)


@pytest.mark.parametrize("moved", [HOUR, 24 * HOUR, -HOUR])
async def test_changed_clock_sends_no_request_before_the_reset(moved):
    setting = Setting()
    reset = (setting.clock.now() + 10 * MINUTE) // SECOND
    limited = Response(status=429, headers={"x-rate-limit-reset": str(reset)}, body=b"{}")
    setting.transport.reply(limited)
    await setting.record("a")
    await setting.run.start()
    await setting.clock.advance(MINUTE)
    await setting.run.stop(within=1_000)

    setting.clock.jump(moved)
    setting.run = setting.new_run()
    await setting.run.start()
    await setting.clock.advance(8 * MINUTE)
    early = len(setting.sent())
    await setting.clock.advance(10 * MINUTE)

    assert (early, await setting.state("a")) == (1, "delivered")
    await setting.run.stop(within=1_000)


async def test_wrong_clock_is_corrected_by_x_for_the_next_signature():
    clock = MovingClock()
    right = clock.now()
    clock.jump(-HOUR)
    setting = Setting(destinations=[a_destination_with_oauth()], clock=clock)
    date = format_datetime(datetime.fromtimestamp(right / 1000, UTC), usegmt=True)
    body = b'{"errors":[{"code":"UNAUTHORIZED_ACCESS","message":"","parameter":""}]}'
    setting.transport.reply(Response(status=401, headers={"date": date}, body=body))
    await setting.run.start()

    await setting.record("a")
    await setting.clock.advance(2 * MINUTE)

    stamps = [timestamp_of(outbound) for outbound in setting.transport.sent]
    assert stamps[0] == right // SECOND - 3600
    # The request was signed again at once; if it came a minute later, it would be the probe of a
    # refused pixel.
    assert abs(stamps[1] - right // SECOND) <= 1
    assert [notice for notice in setting.seen.notices if isinstance(notice, Paused)] == []
    assert await setting.state("a") == "delivered"
    await setting.run.stop(within=1_000)
