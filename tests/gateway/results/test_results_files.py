"""Files of jobs: others run while one is read, and what cannot be read in one is remembered."""

import asyncio
import gzip
from types import SimpleNamespace

import msgspec
from msgspec.structs import replace

from builders import a_destination_with_oauth
from fakes import MovingClock
from results_stage import ACCOUNT, FetchStage
from twite.domain.results.account_days import Granularity
from twite.domain.results.figures import FigureGroup
from twite.domain.results.stats_request import StatsRequest
from twite.domain.times import DAY, HOUR, MINUTE, SECOND
from twite.gateway.ports.transport import Response
from twite.gateway.x_account.ads_statistics import AdsStatistics
from twite.x.analytics import METRICS

DAYS, CAMPAIGNS = 45, 20


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

    inquiries = SimpleNamespace(
        inquiries=FileServer(),
        clock=MovingClock(),
        address=SimpleNamespace(api_url="https://ads-api.x.com", version="12"),
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
