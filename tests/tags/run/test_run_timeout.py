"""The time limit of a run stops while other runs use the engine."""

import asyncio
import time

import pytest

from fakes import MovingClock
from twite.domain.times import LATE_TIMER, SECOND
from twite.tags.run.outbound import TemplateRun
from twite.tags.run.run_timeout import RunTimeout, first_done


def seconds_left(limit):
    return limit.when() - asyncio.get_running_loop().time()


@pytest.fixture
def run_timeout():
    return RunTimeout(MovingClock(), [])


async def times(run_timeout, limit, *, used=0.0):
    """Stop a limit; return the seconds left meanwhile (None: it does not run) and afterwards."""
    try:
        async with asyncio.timeout(limit) as run_timeout.limit:
            await asyncio.sleep(0)
            with run_timeout.stopped() as used_time:
                before = run_timeout.limit.when()
                used_time.seconds += used
            after = seconds_left(run_timeout.limit)
            run_timeout.limit.reschedule(None)
    except TimeoutError:
        pytest.fail("the limit ended although it was rescheduled")
    return before, after


@pytest.mark.parametrize(("used", "rest"), [(0.0, 60), (20.0, 40), (90.0, 0)])
async def test_only_time_while_the_limit_runs_counts(run_timeout, used, rest):
    before, after = await times(run_timeout, 60, used=used)

    assert before is None
    assert rest - 5 < after <= rest


async def test_stopped_limit_has_no_time_left(run_timeout):
    _, after = await times(run_timeout, None)

    assert after <= 0


async def stopped_too_late(run_timeout):
    async with asyncio.timeout(0) as run_timeout.limit:
        try:
            await asyncio.Event().wait()
        finally:
            with run_timeout.stopped():
                pass


async def test_expired_time_limit_stays_expired(run_timeout):
    with pytest.raises(TimeoutError):
        await stopped_too_late(run_timeout)

    assert run_timeout.limit.expired()


async def failing_turn(run_timeout):
    with run_timeout.stopped():
        await run_timeout.clock.advance(1_000)
        raise ZeroDivisionError


@pytest.mark.parametrize("limited", [True, False])
async def test_time_limits_of_all_templates_stop_together(run_timeout, limited):
    run_timeout.runs += [TemplateRun(None, began=5), TemplateRun(None, began=9)]
    await run_timeout.clock.advance(100)
    async with asyncio.timeout(60) as limit:
        run_timeout.limit = limit if limited else None
        with pytest.raises(ZeroDivisionError):
            await failing_turn(run_timeout)

    assert [run.began for run in run_timeout.runs] == [1_005, 1_009]


async def test_wait_for_a_task_ends_at_the_time_limit():
    never = asyncio.create_task(asyncio.Event().wait())

    async with asyncio.timeout(4):
        await first_done({never}, 0.6)

    assert not never.done()
    never.cancel()


@pytest.mark.parametrize("seconds", [0, 0.05])
async def test_late_wait_takes_the_response_that_has_arrived(seconds):
    loop, arrived = asyncio.get_running_loop(), asyncio.Event()
    task = asyncio.create_task(arrived.wait())

    def stand_still():
        time.sleep((LATE_TIMER + 100) / SECOND)
        loop.call_later(0.02, arrived.set)

    loop.call_soon(stand_still)
    await first_done({task}, seconds)

    assert task.done()
