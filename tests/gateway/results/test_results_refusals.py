"""A request of results that X refuses does not stop the others."""

from urllib.parse import urlsplit

import pytest

from results_stage import JOBS, STATS, FetchStage, planted
from twite.domain.times import DAY, HOUR, MINUTE
from twite.gateway.ports.transport import Response

NO_CAMPAIGN = b'{"errors":[{"code":"CAMPAIGN_NOT_FOUND","message":"c9 was not found"}]}'


class RefusedPlacement:
    """Answers requests for one placement with an error, until `is_on` is false."""

    def __init__(self, stage, path, *, method="GET", status=404, body=NO_CAMPAIGN):
        self.is_on = True
        self._ask = stage.x.ask
        self._refusal = Response(status=status, headers={}, body=body)
        self._refused = (method, path)
        stage.x.ask = self.ask

    async def ask(self, inquiry):
        parts = urlsplit(inquiry.url)
        is_refused = (inquiry.method, parts.path) == self._refused
        if self.is_on and is_refused and "placement=SPOTLIGHT" in parts.query:
            return self._refusal
        return await self._ask(inquiry)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (404, NO_CAMPAIGN, "The last time, X refused the request"),
        (400, b"", "The last time, X refused the request"),
        (200, b"[]", "X's response is undocumented"),
    ],
)
async def test_refused_job_does_not_block_the_others(status, body, words):
    stage = FetchStage()
    planted(stage, ago=20)
    planted(stage, ago=21, number="2", placement="SPOTLIGHT")
    refused = RefusedPlacement(stage, JOBS, method="POST", status=status, body=body)
    problems = set()
    await stage.run()
    for _ in range(8):
        await stage.clock.advance(MINUTE)
        await stage.run()
        problems.add((await stage.account()).problem)

    served = {key for key in stage.x.truth() if key[0] == "2026-11-09"}
    assert set(await stage.figures()) == served != set()
    assert (await stage.account()).jobs == ()
    assert any("2 jobs of older days failed 5 times" in problem for problem in problems)
    assert any(words in problem for problem in problems)

    refused.is_on = False
    await stage.pass_time(25 * HOUR)

    assert await stage.figures() == stage.x.truth()


@pytest.mark.parametrize(("status", "body"), [(404, NO_CAMPAIGN), (400, b""), (200, b"[]")])
async def test_refused_figures_do_not_stop_those_of_others(status, body):
    stage = FetchStage(history=60)
    for number, ago in enumerate((1, 20, 40)):
        planted(stage, ago=ago, number=str(number))
    planted(stage, ago=1, number="lost", placement="SPOTLIGHT")
    refused = RefusedPlacement(stage, STATS, status=status, body=body)

    await stage.run()
    problem = (await stage.account()).problem
    await stage.pass_time(2 * DAY)

    figures, days = await stage.figures(), await stage.days()
    assert figures.keys() == stage.x.truth().keys()
    assert figures["2026-11-28", "c1"][0] == 1
    assert not days["2026-11-28"].fetched_at
    assert days["2026-10-20"].fetched_at
    assert problem.startswith("figures of 2026-11-28 to 2026-11-28 are missing, and are asked for")
    assert "X" in problem.rpartition(":")[2]

    refused.is_on = False
    await stage.pass_time(DAY)

    assert await stage.figures() == stage.x.truth()
    assert (await stage.account()).problem == ""
    assert all(day.fetched_at for day in (await stage.days()).values())


async def test_refused_credentials_are_no_fault_of_a_job():
    stage = FetchStage()
    planted(stage, ago=20)
    RefusedPlacement(stage, JOBS, method="POST", status=401, body=b"")

    await stage.run()

    account = await stage.account()
    assert account.wait_until == stage.clock.now() + HOUR
    assert {job.tries for job in account.jobs} == {0}
