"""`twite results` shows what X attributed beside what was delivered."""

import asyncio
import csv
import io
import json

import msgspec
import pytest
from command_stage import settings_in
from msgspec.structs import replace

from any_results import ACCOUNT, an_account, in_two_currencies, some_days
from canaries import EMAIL, found_in
from twite.cli.mcp.tools import ToolRefused, called
from twite.domain.results.account import AdCampaign
from twite.domain.times import HOUR
from twite.gateway.results.read import MOST_DAYS
from twite.gateway.results.records import put_account, put_days
from twite.machine.system import SystemClock
from twite.stores.sqlite import SQLiteStore


@pytest.fixture
def with_results(tmp_path):
    """Settings whose pixel has an ads account with results of twelve days."""
    asyncio.run(_stored(str(tmp_path / "twite.db"), SystemClock().now()))
    path = settings_in(tmp_path)
    text = path.read_text()
    assert "[[pixel]]" in text
    path.write_text(text.replace("[[pixel]]", f'[[pixel]]\naccount = "{ACCOUNT}"', 1))
    return path


async def _stored(path, now, *, account=None, **changes):
    store = await SQLiteStore.open(path)
    await put_account(store, account or an_account(now))
    await put_days(store, ACCOUNT, some_days(now, **changes))
    await store.close()


async def _stored_day(path, day):
    store = await SQLiteStore.open(path)
    await put_days(store, ACCOUNT, [day])
    await store.close()


def test_results_are_shown_by_day_and_campaign(command, with_results):
    code, out, _ = command("results", "--config", str(with_results), "--days", "12")
    _, by_campaign, _ = command("results", "--config", str(with_results), "--by", "campaign")

    assert code == 0
    assert "240" in out
    assert "960.00" in out
    assert "estimate" in out
    assert "spend not final" in out
    assert "Autumn (c1)" in by_campaign
    assert "lost" not in out
    assert "received" not in out


def test_each_currency_has_its_own_rows(command, with_results):
    now = SystemClock().now()
    store = str(with_results.with_name("twite.db"))
    asyncio.run(_stored(store, now, account=in_two_currencies(now)))
    options = ("results", "--config", str(with_results), "--days", "12")
    _, out, _ = command(*options)
    _, by_campaign, _ = command(*options, "--by", "campaign")

    rows = [" ".join(line.replace("│", " ").split()) for line in out.splitlines()]
    assert [row for row in rows if row.startswith("in EUR 120.00 PURCHASE")]
    assert [row for row in rows if row.startswith("in JPY 60 ")]
    assert "several currencies" in out
    assert "180" not in out
    assert "Autumn (c1), EUR" in by_campaign
    assert "=Winter (c2), JPY" in by_campaign


def test_warnings_follow_the_tables(command, with_results):
    _, silent, _ = command("results", "--config", str(with_results))
    store = with_results.with_name("twite.db")
    asyncio.run(_stored(str(store), SystemClock().now(), attributed=0))
    _, out, _ = command("results", "--config", str(with_results))

    assert "Warning" not in silent
    assert f"Warning, {ACCOUNT}: 60 conversions were delivered in 3 days" in " ".join(out.split())


def test_results_are_printed_as_json(command, with_results):
    _, out, _ = command("results", "--config", str(with_results), "--days", "6", "--json")
    (account,) = json.loads(out)["accounts"]

    assert (account["account"], account["currency"], len(account["days"])) == (ACCOUNT, "EUR", 6)
    assert account["total"]["spend"] == "90.00"
    assert account["days"][-1]["estimate"] is True


def test_only_whole_days_are_compared(command, with_results):
    path = ("results", "--config", str(with_results), "--days", "5")
    _, table, _ = command(*path)
    _, text, _ = command(*path, "--json")
    (account,) = json.loads(text)["accounts"]
    *_, last, today = [day["day"] for day in account["days"]]
    finished, previous = account["finished_total"], account["previous_total"]

    assert (account["total"]["last"], finished["last"]) == (today, last)
    assert previous["last"] < finished["first"] < account["total"]["first"]
    assert (finished["days"], previous["days"]) == (5, 5)
    rows = [" ".join(line.replace("│", " ").split()) for line in table.splitlines()]
    assert [row[:26] for row in rows if row.startswith("5 days ")] == [
        "5 days up to yesterday 75.",
        "5 days before these 75.00 ",
    ]


@pytest.mark.parametrize("ago", [1, 10])
def test_days_that_were_not_fetched_since_their_end_are_not_compared(command, with_results, ago):
    now = SystemClock().now()
    whole = some_days(now)[-1 - ago]
    part = msgspec.structs.replace(whole, fetched_at=whole.end - 1)
    asyncio.run(_stored_day(str(with_results.with_name("twite.db")), part))
    _, text, _ = command("results", "--config", str(with_results), "--days", "5", "--json")
    (account,) = json.loads(text)["accounts"]

    assert (account["finished_total"], account["previous_total"]) == (None, None)


def test_fewer_days_before_are_not_compared(command, with_results):
    _, out, _ = command("results", "--config", str(with_results), "--days", "6", "--json")
    (account,) = json.loads(out)["accounts"]

    assert len(account["days"]) == 6
    assert account["previous_total"] is None


def test_days_before_that_were_not_fetched_are_not_compared(command, with_results):
    now = SystemClock().now()
    missing = msgspec.structs.replace(some_days(now)[3], fetched_at=0, cells=())
    asyncio.run(_stored_day(str(with_results.with_name("twite.db")), missing))
    _, out, _ = command("results", "--config", str(with_results), "--days", "5", "--json")
    (account,) = json.loads(out)["accounts"]

    assert account["total"]["spend"] == "75.00"
    assert account["previous_total"] is None


def test_day_that_was_not_fetched_says_so(command, with_results):
    now = SystemClock().now()
    missing = msgspec.structs.replace(some_days(now)[-4], fetched_at=0, cells=())
    asyncio.run(_stored_day(str(with_results.with_name("twite.db")), missing))
    path = ("results", "--config", str(with_results), "--days", "6")
    _, table, _ = command(*path)
    _, text, _ = command(*path, "--json")
    total = json.loads(text)["accounts"][0]["total"]

    (row,) = [line for line in table.splitlines() if missing.day in line]
    assert "not" in row
    assert "5 of 6" in table
    assert (total["days"], total["fetched_days"]) == (6, 5)


def test_results_are_printed_as_csv_that_no_spreadsheet_takes_for_formulas(command, with_results):
    _, out, _ = command("results", "--config", str(with_results), "--days", "2", "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))

    assert {row["campaign_name"] for row in rows} == {"", "Autumn", "'=Winter"}
    assert {row["estimate"] for row in rows} == {"true"}
    assert sum(int(row["delivered"] or 0) for row in rows) == 40


def test_csv_and_json_exclude_each_other(command, with_results):
    code, out, err = command("results", "--config", str(with_results), "--csv", "--json")

    assert (code, out) == (2, "")
    assert "choose one of --csv and --json" in " ".join(err.split())


def test_unknown_account_is_a_usage_error(command, with_results):
    code, _, err = command("results", "--config", str(with_results), "--account", "nobody")

    assert code == 2
    assert ACCOUNT in err


def test_account_without_results_says_how_to_get_them(command, tmp_path, with_results):
    (tmp_path / "twite.db").unlink()
    asyncio.run(_empty(str(tmp_path / "twite.db")))
    _, out, _ = command("results", "--config", str(with_results))

    assert f"{ACCOUNT}: no results yet" in out
    assert "twite login" in out


async def _empty(path):
    store = await SQLiteStore.open(path)
    await put_account(store, an_account(SystemClock().now() - HOUR))
    await store.close()


async def test_tool_of_agents_returns_the_sums_of_an_account_with_many_campaigns(with_results):
    now = SystemClock().now()
    store = await SQLiteStore.open(str(with_results.with_name("twite.db")))
    names = [f"campaign{number}" for number in range(1_000)]
    account = an_account(now, campaigns=[AdCampaign(id=name, currency="EUR") for name in names])
    await put_account(store, account)
    await put_days(
        store,
        ACCOUNT,
        [
            replace(
                day, cells=tuple(replace(c, campaign=name) for name in names for c in day.cells)
            )
            for day in some_days(now)
        ],
    )
    await store.close()

    with pytest.raises(ToolRefused, match="longer than"):
        await called(with_results, "results", {"days": 1})
    found = json.loads(
        await called(with_results, "results", {"days": MOST_DAYS, "by_campaign": False})
    )

    [results] = found["accounts"]
    assert results["campaigns"] == []
    assert len(results["days"]) == 12
    assert [day["campaigns"] for day in results["days"] if day["campaigns"]] == []
    assert results["days"][-1]["events"][0]["attributed"] == 2 * len(names)
    assert results["days"][-1]["spend"] == "15000.00"


def of_each(campaigns, cells):
    return tuple(replace(cell, campaign=campaign) for campaign in campaigns for cell in cells)


async def test_tool_of_agents_returns_the_results_with_names_of_campaigns_masked(with_results):
    store = await SQLiteStore.open(str(with_results.with_name("twite.db")))
    account = an_account(SystemClock().now())
    named = [
        msgspec.structs.replace(campaign, name=f"For {EMAIL}") for campaign in account.campaigns
    ]
    await put_account(store, msgspec.structs.replace(account, campaigns=tuple(named)))
    await store.close()

    found = json.loads(await called(with_results, "results", {"days": 12}))

    [shown] = found["accounts"]
    assert shown["account"] == ACCOUNT
    assert {campaign["name"] for campaign in shown["campaigns"]} == {"For ***"}
    assert found_in(json.dumps(found).encode()) == []
