"""A wall clock that is wrong or jumps causes no loss, no delay and no duplicate."""

import os
from datetime import UTC, datetime
from email.utils import format_datetime
from itertools import product

import pytest

from builders import a_submission, an_entry
from fakes import MovingClock, conversions_of, taken
from twite.domain.delivery import LAST_CEILING
from twite.domain.times import DAY, HOUR, MINUTE, SECOND
from twite.gateway.delivery.worker import WorkerConfig
from twite.gateway.ports.transport import NoResponse, Response
from worker_bench import Setting

START = 1_795_600_000_000
MOVES = {
    "5 minutes ahead": 5 * MINUTE,
    "5 minutes back": -5 * MINUTE,
    "an hour ahead": HOUR,
    "an hour back": -HOUR,
    "a day ahead": DAY,
    "a day back": -DAY,
    "to 2100": 4_102_444_800_000 - START,
    "to 1970": -START,
}
# When the wall clock changes: while idle, while X is down, or between two processes.
WHEN = {"at rest": 10, "in an outage": 35, "over a restart": 40}
MINUTES = 90
# The long form combines all changes and moments; the short form uses one moment for each.
LONG = os.environ.get("TWITE_TRIAL") == "1"
CASES = [*product(WHEN, MOVES)] if LONG else [*zip(3 * [*WHEN], MOVES, strict=False)]


class World:
    """A stand-in for X, which is down for 30 of 90 minutes, and whose own clock is correct."""

    def __init__(self, setting):
        self.setting = setting
        self.down = False
        self.requests = 0
        self.came = {}

    async def post(self, outbound):
        self.requests += 1
        await self.setting.clock.sleep(50)
        if self.down:
            return NoResponse(reason="no connection", left=False)
        elapsed = self.setting.clock.elapsed()
        for conversion in conversions_of(outbound):
            self.came.setdefault(str(conversion["conversion_id"]), elapsed)
        date = datetime.fromtimestamp((START + elapsed) // SECOND, UTC)
        answer = taken(outbound)
        return Response(
            status=200, headers={"date": format_datetime(date, usegmt=True)}, body=answer.body
        )


async def played(move, moment, times=1):
    """Return (requests, when each arrived, duplicates of the first, the account)."""
    setting = Setting(worker_config=WorkerConfig(batch=10, in_flight=4))
    x = World(setting)
    setting.transport.post = x.post
    await setting.run.start()
    for minute in range(MINUTES):
        x.down = 20 <= minute < 50
        if minute == WHEN[moment]:
            for _ in range(times):
                setting.clock.jump(move)
                if times > 1:
                    setting.clock.jump(-move)
            if moment == "over a restart":
                await setting.run.stop(within=1_000)
                await setting.store.restart()
                setting.run = setting.new_run()
                await setting.run.start()
        await setting.record(*[f"c{minute}-{n}" for n in range(3)])
        await setting.clock.advance(MINUTE)
    await setting.clock.advance(20 * MINUTE)
    again = await setting.store.record(
        a_submission(an_entry("c0-0"), receipt="again", received_at=setting.steady.now())
    )
    account = (await setting.store.balance())[0]
    await setting.run.stop(within=1_000)
    return x.requests, x.came, len(again.duplicates), account


async def without_clock_changes(moment):
    """Return (requests, arrival times) without clock changes; runs once."""
    if moment not in _QUIET:
        _QUIET[moment] = (await played(0, moment))[:2]
    return _QUIET[moment]


_QUIET = {}


@pytest.mark.parametrize(("moment", "name"), CASES)
async def test_changing_clock_causes_at_most_two_requests_and_no_stall(name, moment, figure):
    quiet, on_time = await without_clock_changes(moment)

    asked, came, duplicates, account = await played(MOVES[name], moment)

    late = max(came[id_] - on_time[id_] for id_ in on_time)
    assert (account.delivered, account.pending, account.held, account.dead) == (
        3 * MINUTES,
        0,
        0,
        0,
    )
    assert duplicates == 1
    assert late <= LAST_CEILING
    assert asked - quiet <= 2
    figure(
        f"the wall clock moves {moment}",
        f"{name}: {asked - quiet:+} requests, 0 lost, 0 held, latest by {late / SECOND:.0f} s",
    )


@pytest.mark.parametrize("name", MOVES if LONG else ["to 2100", "a day back"])
async def test_clock_that_jumps_back_and_forth_changes_nothing(name):
    quiet, on_time = await without_clock_changes("in an outage")

    asked, came, duplicates, account = await played(MOVES[name], "in an outage", times=100)

    assert (asked, came) == (quiet, on_time)
    assert (account.delivered, duplicates) == (3 * MINUTES, 1)


@pytest.mark.parametrize("name", MOVES)
async def test_clock_that_is_wrong_from_the_start_changes_nothing(name):
    clock = MovingClock()
    clock.jump(MOVES[name])
    setting = Setting(clock=clock)
    x = World(setting)
    setting.transport.post = x.post
    await setting.run.start()

    for number in range(10):
        await setting.record(f"c{number}")
        await setting.clock.advance(MINUTE)

    assert x.requests == 10
    assert max(at - n * MINUTE for n, at in enumerate(x.came.values())) < SECOND
    await setting.run.stop(within=1_000)
