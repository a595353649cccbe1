"""Waits of hours that X asks for: nothing is sent before their end, also after a restart."""

import pytest

from twite.domain.times import HOUR, MINUTE, SECOND
from twite.gateway.ports.events import ProblemPlace, ProblemSeen
from twite.gateway.ports.state import RateLimitWindow
from twite.gateway.ports.transport import Response
from worker_bench import Setting

LIMITED = b'{"errors":[{"code":"TOO_MANY_REQUESTS","message":"","parameter":""}]}'


class Asked:
    """X, which gives `answers` one by one, and accepts the conversions of all later requests."""

    def __init__(self, setting, *answers):
        self._post = setting.transport.post
        self._clock = setting.clock
        self._answers = list(answers)
        self.at = []
        setting.transport.post = self.post

    async def post(self, outbound):
        self.at.append(self._clock.now())
        if self._answers:
            return self._answers.pop(0)
        return await self._post(outbound)


def limited(until):
    return Response(status=429, headers={"x-rate-limit-reset": str(until // SECOND)}, body=LIMITED)


def unavailable(seconds):
    return Response(status=503, headers={"retry-after": str(seconds)}, body=b"")


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("kind", ["reset", "retry-after", "unavailable"])
@pytest.mark.parametrize("hours", [2, 24])
async def test_conversion_is_not_sent_before_the_time_that_x_names(kind, hours, restarts):
    setting = Setting()
    await setting.record("a")
    until = setting.clock.now() + hours * HOUR
    answers = {
        "reset": limited(until),
        "retry-after": Response(
            status=429, headers={"retry-after": str(hours * 3_600)}, body=LIMITED
        ),
        "unavailable": unavailable(hours * 3_600),
    }
    x = Asked(setting, answers[kind])
    await setting.run.start()
    await setting.clock.advance(MINUTE)
    if restarts:
        await setting.run.stop(within=1_000)
        setting.run = setting.new_run()
        await setting.run.start()
    await setting.record("b")
    await setting.clock.advance(until - setting.clock.now() - SECOND)
    before = list(x.at)
    await setting.clock.advance(11 * MINUTE)

    assert len(before) == 1
    assert len(x.at) > 1
    assert min(x.at[1:]) >= until
    assert {name for ids in setting.sent() for name in ids} == {"a", "b"}
    await setting.run.stop(within=1_000)


async def test_reason_of_a_long_wait_is_stored_for_the_console():
    setting = Setting()
    await setting.record("a")
    until = setting.clock.now() + 2 * HOUR
    Asked(setting, unavailable(7_200))
    await setting.run.start()
    await setting.clock.advance(MINUTE)

    (window,) = await setting.store.load(RateLimitWindow)

    assert abs(window.until - until) <= SECOND
    assert window.reason == "X asks to wait: 503"
    await setting.run.stop(within=1_000)


async def test_time_in_the_far_future_is_ignored_and_reported():
    setting = Setting()
    await setting.record("a")
    x = Asked(setting, limited(4_102_444_800 * SECOND))
    await setting.run.start()

    await setting.clock.advance(2 * MINUTE)

    assert MINUTE <= x.at[1] - x.at[0] <= MINUTE + 10 * SECOND
    (problem,) = [each for each in setting.seen.notices if isinstance(each, ProblemSeen)]
    assert problem == ProblemSeen(
        where=ProblemPlace.RATE_LIMIT,
        reason="x-rate-limit-reset is more than 24 hours ahead, so it is ignored: 4102444800",
    )
    await setting.run.stop(within=1_000)
