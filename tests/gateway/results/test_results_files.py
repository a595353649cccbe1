"""Files of jobs: others run while one is read, and what cannot be read in one is remembered."""

import asyncio
import gzip
from email.utils import formatdate

import msgspec
import pytest
from msgspec.structs import replace

from builders import a_destination_with_oauth
from fakes import MovingClock, SeededRandomness
from results_stage import ACCOUNT, JOBS, URL, FetchStage, asked, planted
from twite.domain.results.account_days import Granularity
from twite.domain.results.figures import FigureGroup
from twite.domain.results.stats_request import StatsRequest
from twite.domain.times import DAY, HOUR, MINUTE, SECOND
from twite.gateway.ports.transport import Response
from twite.gateway.x_account.ads_statistics import AdsStatistics
from twite.gateway.x_account.inquiries import XInquiries, XInquiryAddress
from twite.x.analytics import METRICS

DAYS, CAMPAIGNS = 45, 20
FILES = "/advertiser-api-async-analytics/"


def file_by_hour():
    """A job's file of the largest kind: each metric of 20 campaigns by hour for 45 days."""
    hours = list(range(24 * DAYS))
    metric = {"metric": hours, "sale_amount": hours, "order_quantity": hours}
    entity = {"id_data": [{"segment": None, "metrics": dict.fromkeys(METRICS, metric)}]}
    data = [{"id": f"c{number}"} | entity for number in range(CAMPAIGNS)]
    return gzip.compress(msgspec.json.encode({"data": data}))


async def at_once(function, *arguments):
    return function(*arguments)


async def test_other_tasks_run_between_the_campaigns_of_a_file(monkeypatch):
    class FileServer:
        async def ask(self, _inquiry):
            return Response(status=200, headers={}, body=file_by_hour())

    inquiries = XInquiries(
        inquiries=FileServer(),
        clock=MovingClock(),
        randomness=SeededRandomness(),
        address=XInquiryAddress(api_url=URL, oauth_url=URL, version="12"),
    )
    asks = AdsStatistics(inquiries, a_destination_with_oauth().credentials, ACCOUNT)
    request = StatsRequest(
        campaigns=[f"c{number}" for number in range(CAMPAIGNS)],
        placement="TREND",
        group=FigureGroup.CONVERSIONS,
        start="",
        end="",
        lengths=[24] * DAYS,
        granularity=Granularity.HOUR,
    )
    read = asyncio.create_task(asks.file("https://ton.twimg.com/f.json.gz", request))
    turns = 0
    # Decompressing has a thread, so that only the turns after it say something.
    monkeypatch.setattr(asyncio, "to_thread", at_once)
    while not read.done():
        await asyncio.sleep(0)
        turns += 1

    cells = (await read).cells
    assert [len(own) for own in cells] == [CAMPAIGNS] * DAYS
    assert cells[1][0].events["PURCHASE"].count == sum(range(24, 48))
    assert turns > CAMPAIGNS


async def test_what_cannot_be_read_in_a_file_is_remembered_until_the_next_daily_fetch():
    stage = FetchStage()
    at = stage.clock.now() - 20 * DAY
    stage.x.plant(
        clicks=[{"line_item": "li1", "at": (at - HOUR) / SECOND, "twclid": "click1"}],
    )
    assert stage.x.convert("1", at=at) == 200
    ask = stage.x.ask

    async def asked(inquiry):
        answered = await ask(inquiry)
        if not inquiry.url.endswith(".gz"):
            return answered
        body = gzip.decompress(answered.body).replace(b"conversion_searches", b"conversion_boats")
        return replace(answered, body=body)

    stage.x.ask = asked
    await stage.run()
    await stage.clock.advance(MINUTE)
    await stage.run()
    assert (await stage.account()).jobs == ()
    first = (await stage.account()).unreadable
    await stage.pass_time(2 * HOUR)
    later = (await stage.account()).unreadable

    stage.x.ask = ask
    await stage.pass_time(DAY)

    assert first == later == ("conversion_boats: an unknown metric",)
    assert (await stage.account()).unreadable == ()
    assert await stage.figures() == stage.x.truth()


async def with_finished_jobs(*switches):
    """Return a stage whose jobs X has done, before their files are requested."""
    stage = FetchStage(*switches)
    planted(stage, ago=20)
    await stage.run()
    await stage.clock.advance(MINUTE)
    return stage


def files_asked(stage):
    return [at for at, _, path, _ in stage.x.asked if path.startswith(FILES)]


@pytest.mark.parametrize(
    ("status", "header"),
    [(429, "x-rate-limit-reset"), (429, "retry-after"), (503, "retry-after"), (503, "date")],
)
async def test_limited_file_is_asked_again_at_the_time_that_x_names(status, header):
    stage = await with_finished_jobs()
    begun = stage.clock.now()
    until = begun // SECOND + 300
    headers = {
        "x-rate-limit-reset": {"x-rate-limit-reset": str(until)},
        "retry-after": {"retry-after": "300"},
        "date": {"retry-after": formatdate(until, usegmt=True)},
    }[header]
    created = len(asked(stage, JOBS))
    stage.x.faults.append((FILES, status, headers))

    await stage.run()

    first, second, *_ = files_asked(stage)
    assert (first, second >= until * SECOND) == (begun, True)
    assert not [at for at, *_ in stage.x.asked if first < at < until * SECOND]
    # No job was created anew: a single request polled them all.
    assert len(asked(stage, JOBS)) == created + 1
    assert (await stage.account()).jobs == ()
    assert await stage.figures() == stage.x.truth()


async def test_wait_of_hours_for_a_file_survives_a_restart():
    stage = await with_finished_jobs()
    stage.x.faults.append((FILES, 503, {"retry-after": "7200"}))
    await stage.run()  # each is a new fetch, as after a restart
    count = len(stage.x.asked)

    await stage.pass_time(2 * HOUR - SECOND, step=20 * MINUTE - 1)
    during = len(stage.x.asked)
    await stage.pass_time(2 * MINUTE, step=MINUTE)

    assert during == count
    assert (await stage.account()).jobs == ()
    assert await stage.figures() == stage.x.truth()


@pytest.mark.parametrize("access", ["public", "oauth"])
@pytest.mark.parametrize("encoding", ["none", "gzip"])
async def test_files_are_read_with_or_without_a_signature_and_content_encoding(access, encoding):
    stage = await with_finished_jobs(f"job_file_access={access}", f"job_file_encoding={encoding}")

    await stage.run()

    assert (await stage.account()).jobs == ()
    assert await stage.figures() == stage.x.truth()


async def problem_of(stage):
    """Run twelve fetches, a minute apart, and return the last problem that was not empty."""
    problem = ""
    for _ in range(12):
        await stage.run()
        problem = (await stage.account()).problem or problem
        await stage.clock.advance(MINUTE)
    return problem


async def test_files_that_x_refuses_are_a_problem_that_names_both_answers():
    stage = await with_finished_jobs()
    stage.x.faults += [(FILES, 403, {})] * 60

    assert await problem_of(stage) == (
        "6 jobs of older days failed 5 times, and will be repeated within a day. The last time, X "
        "does not serve its file: 403, and 403 without a signature"
    )
    assert len(files_asked(stage)) == 60


async def test_file_that_is_too_long_is_a_problem_and_not_asked_for_without_end():
    stage = await with_finished_jobs()
    ask = stage.x.ask

    async def cut(inquiry):
        answered = await ask(inquiry)
        return replace(answered, whole=not inquiry.url.endswith(".gz"))

    stage.x.ask = cut

    assert await problem_of(stage) == (
        "6 jobs of older days failed 5 times, and will be repeated within a day. The last time, "
        "its file is damaged, or longer than 32 MiB"
    )
    assert len(files_asked(stage)) == 30
