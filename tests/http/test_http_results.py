"""`GET /v1/results`: JSON and CSV, for accounts that the key covers as a whole."""

import csv

import msgspec
import pytest

from any_results import ACCOUNT, an_account, some_days
from builders import a_destination
from memory_store.state import MemoryState
from twite.domain.results.sale_amounts import SaleAmountUnit
from twite.domain.times import DAY
from twite.gateway.results.read import ResultsOptions, ResultsReader, fully_seen
from twite.gateway.results.records import put_account, put_days

NOW = 1_795_953_600_000


class StoredResults(MemoryState):
    async def answer(self, _query):
        return None if type(_query).__name__ == "CountedSinceQuery" else []


async def a_reader(destinations):
    state = StoredResults()
    await put_account(state, an_account(NOW))
    await put_days(state, ACCOUNT, some_days(NOW))
    options = ResultsOptions(unit=SaleAmountUnit.MICRO, cut_over="2026-11-24")
    return ResultsReader(state, destinations, options)


def of_account(pixel="o8z6j"):
    return msgspec.structs.replace(a_destination(pixel), account=ACCOUNT)


@pytest.fixture
async def served(staged):
    async def read_results(sees, days):
        reader = await a_reader(fully_seen([of_account()], sees))
        return await reader.report(now=NOW, days=days)

    return await staged(read_results=read_results)


async def test_results_are_answered_as_json(served):
    answer = await served.ask("GET", "/v1/results?days=12")
    (account,) = answer.json()["accounts"]

    assert answer.status == 200
    assert (account["account"], account["total"]["spend"]) == (ACCOUNT, "180.00")
    assert account["cut_over"] == "2026-11-24"
    assert [warning["kind"] for warning in answer.json()["warnings"]] == []


async def test_results_are_answered_as_csv(served):
    answer = await served.ask("GET", "/v1/results?days=2&format=csv")
    heading, *rows = csv.reader(answer.body.decode().splitlines())

    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert heading[:5] == ["account", "timezone", "currency", "day", "fetched"]
    assert [ACCOUNT, "Europe/Berlin", "EUR", "2026-11-29", "true"] in [row[:5] for row in rows]


@pytest.mark.parametrize("days", ["0", "181", "x", "-1", ""])
async def test_number_of_days_out_of_range_is_refused(served, days):
    answer = await served.ask("GET", f"/v1/results?days={days}")

    assert (answer.status, answer.json()["errors"][0]["code"]) == (400, "days")


async def test_unknown_format_is_refused(served):
    answer = await served.ask("GET", "/v1/results?format=xml")

    assert (answer.status, answer.json()["errors"][0]["code"]) == (400, "format")


async def test_results_of_one_account_are_answered(served):
    answer = await served.ask("GET", f"/v1/results?account={ACCOUNT}")

    assert [account["account"] for account in answer.json()["accounts"]] == [ACCOUNT]


async def test_unknown_account_is_refused_with_the_known_ones(served):
    answer = await served.ask("GET", "/v1/results?account=18ce54zzzzz")
    (error,) = answer.json()["errors"]

    assert (answer.status, error["code"], error["path"]) == (400, "filter", "account")
    assert error["message"].endswith(f"Available: {ACCOUNT}")


async def test_request_without_a_key_is_refused(served):
    assert (await served.ask("GET", "/v1/results", key=None)).status == 401


async def test_account_is_visible_only_with_all_its_pixels():
    both = [of_account(), of_account("o6dkt")]

    assert fully_seen(both, {"o8z6j"}.__contains__) == ()
    assert fully_seen(both, {"o8z6j", "o6dkt"}.__contains__) == tuple(both)
    reader = await a_reader(fully_seen(both, {"o8z6j"}.__contains__))
    assert (await reader.report(now=NOW, days=5)).accounts == ()


async def test_days_of_the_report_end_today():
    reader = await a_reader([of_account()])
    (account,) = (await reader.report(now=NOW + DAY, days=3)).accounts

    assert [day.day for day in account.days] == ["2026-11-28", "2026-11-29", "2026-11-30"]
