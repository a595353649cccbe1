"""The page of results: figures of an account, marks, and who may see it."""

import re
import time
from datetime import UTC, datetime
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_asyncio
from console_stage import SETTINGS, ConsoleStage
from msgspec.structs import replace

from any_results import ACCOUNT, ZONE, an_account, in_two_currencies, some_days
from builders import a_submission, an_entry
from store_contract.actions import claim, delivered, settle
from twite.console.time_range import day_name
from twite.domain.people.users import Role
from twite.domain.results.account import AdCampaign
from twite.domain.results.account_days import days_until
from twite.domain.results.figures import ResultDay
from twite.domain.times import MINUTE
from twite.gateway.results.records import put_account, put_days
from twite.stores.sqlite import SQLiteStore

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIXED = "18ce55mixed"
PEOPLE = {
    "ada": (Role.ADMIN, None),
    "vic": (Role.VIEWER, None),
    "part": (Role.VIEWER, ["r1"]),
}
OF_PIXELS = SETTINGS + "".join(
    f'[[pixel]]\nid = "{pixel}"\naccount = "{account}"\nevents = {{{{ purchase = "o8z6k" }}}}\n'
    f'auth = {{{{ pixel_token = "emulator-pixel-token-{pixel}" }}}}\n'
    for pixel, account in (("r1", ACCOUNT), ("r2", ACCOUNT), ("r3", MIXED))
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory):
    """An ads account of two pixels, and one of two currencies, with results of twelve days."""
    now = time.time_ns() // 1_000_000
    cut_over = f'[results]\ncut_over = "{days_until(now, 6, ZONE)[0].day}"\n'
    stage = ConsoleStage(tmp_path_factory.mktemp("results"), OF_PIXELS + cut_over)
    store = await SQLiteStore.open(str(stage.settings.store.path))
    await put_account(store, an_account(now, problem="X's request limit is used up"))
    await put_days(store, ACCOUNT, some_days(now))
    await put_account(store, in_two_currencies(now, account=MIXED))
    await put_days(store, MIXED, some_days(now))
    entries = [
        an_entry(f"order-{number}", pixel="r1", event="o8z6m", index=number) for number in range(3)
    ]
    await store.record(a_submission(*entries, received_at=now))
    batch = await claim(store, pixel="r1", now=now, lease_until=now + MINUTE)
    await settle(store, batch, "delivered", delivered(batch), at=now)
    await store.close()
    await stage.start(people=PEOPLE)
    yield stage
    await stage.stop()


async def page_of(stage, path="/console/results", *, name="vic"):
    page = await (await stage.signed_in(name)).get(path)
    assert page.status == 200
    return page.text.partition("<main")[2]


async def test_results_page_shows_both_sides_of_an_account(stage):
    text = await page_of(stage)

    assert f"Ads account {ACCOUNT}" in text
    for figure in ("240", "24", "960.00", "180.00", "7.50", "5.33"):
        assert f">{figure}<" in text.replace("\n", "")
    assert "Autumn" in text
    assert "estimate" in text
    assert "spend not final" in text
    assert "request limit is used up" in text
    assert "Times are in UTC, days in the zone of their ads account." in text


async def test_each_currency_of_an_account_has_its_own_rows(stage):
    text = await page_of(stage)
    mixed = " ".join(re.sub(r"<[^>]+>", " ", text.partition(f"Ads account {MIXED}")[2]).split())

    assert "amounts by currency, because X gives no exchange rates" in mixed
    shown = mixed.replace("\N{EN DASH}", "?")
    assert re.search(
        r"last 12 days \d estimated ? PURCHASE 240 ? ? 24 ? ? ?".replace("?", "[?]"), shown
    )
    assert "in EUR 120.00 PURCHASE" in mixed
    assert "in JPY 60 " in mixed
    assert "Autumn (EUR) 120.00" in mixed
    assert "=Winter (JPY) 60" in mixed


async def test_chart_and_table_mark_the_day_of_the_cut_over(stage):
    text = await page_of(stage)
    chart, _, tables = text.partition("</figure>")

    assert chart.count('<line class="turn"') == 1
    assert "(cut-over): 2 attributed" in chart
    assert "from the cut-over on" in tables


async def test_each_day_of_the_chart_leads_to_its_campaigns(stage):
    chart, _, _ = (await page_of(stage)).partition("</figure>")
    links = re.findall(r'<a href="([^"]+)" class="step"[^>]*><title>(\d+ \w+)', chart)

    assert '<g class="step">' not in chart
    assert len(links) == 12
    for path, day in links[-2:]:
        own = unescape(await page_of(stage, unescape(path)))
        chosen = datetime.fromisoformat(parse_qs(urlsplit(unescape(path)).query)["day"][0])
        assert day_name(chosen.date()) == day
        assert f'<span class="faint">Day</span> {chosen:%Y-%m-%d}' in own


async def test_deliveries_are_counted_when_the_page_is_read_and_link_to_their_list(stage):
    client = await stage.signed_in("vic")
    text = (await client.get("/console/results")).text
    links = re.findall(r'<a href="(/console/conversions\?[^"]*event=o8z6m[^"]*)">(\d+)</a>', text)
    listed = {(await client.get(unescape(path))).text.count(">order-") for path, _ in links}

    assert len(links) >= 2  # of the day, and of the period
    assert {int(count) for _, count in links} == {3} == listed


async def test_deliveries_of_an_event_type_link_to_the_list_of_each_pixel(stage):
    text = unescape(await page_of(stage))
    paths = re.findall(r'href="(/console/conversions\?[^"]*event=o8z6k[^"]*)"', text)

    assert {parse_qs(urlsplit(path).query)["pixel"][0] for path in paths} == {"o8z6j"}
    days = {
        (int(asked["since"][0]), int(asked["until"][0]))
        for asked in (parse_qs(urlsplit(path).query) for path in paths)
    }
    assert {(day.start, day.end) for day in some_days(time.time_ns() // 1_000_000)} <= days


async def test_results_page_says_when_its_figures_were_fetched(stage):
    text = " ".join((await page_of(stage)).split())
    today = datetime.now(UTC).date().isoformat()

    found = re.search(r"X's figures are of <time datetime=\"([^\"T]+)", text)

    assert found is not None
    assert found[1] <= today


@pytest_asyncio.fixture(loop_scope="module")
async def of_parts(tmp_path):
    """An account whose amounts have parts of a cent, and whose second campaign spends more.

    The other account has 29 days.
    """
    now = time.time_ns() // 1_000_000
    stage = ConsoleStage(tmp_path, OF_PIXELS)
    store = await SQLiteStore.open(str(stage.settings.store.path))
    await put_account(store, an_account(now))
    spend = {"c1": 1_004_000, "c2": 90_004_000}
    days = [
        replace(
            day,
            cells=tuple(
                replace(cell, spend_micro=spend[cell.campaign])
                for cell in day.cells
                if cell.spend_micro is not None
            ),
            delivered=None,
        )
        for day in some_days(now, count=14)
    ]
    await put_days(store, ACCOUNT, days)
    # The days before are stored without figures.
    before = days_until(now, 28, ZONE)[:14]
    await put_days(store, ACCOUNT, [ResultDay.of(day) for day in before])
    await put_account(store, an_account(now, account=MIXED))
    await put_days(store, MIXED, some_days(now, count=29))
    await store.close()
    await stage.start(people=PEOPLE)
    yield stage
    await stage.stop()


async def test_results_page_rounds_amounts_and_orders_campaigns_by_spend(of_parts):
    text = await page_of(of_parts)
    shown = unescape(text)

    assert ">91.01<" in shown  # of a day: 1.004 and 90.004
    assert ">1\u202f274.11<" in shown  # of all: 14 times 91.008
    assert "amounts in EUR, each rounded: CSV has exact ones" in " ".join(shown.split())
    campaigns = shown.partition("<h3>By campaign")[2].partition("<h3>By day")[0]
    assert campaigns.index("=Winter") < campaigns.index("Autumn")
    assert "Delivered" not in campaigns


async def test_results_page_leaves_out_what_has_no_figures(of_parts):
    text = await page_of(of_parts)
    periods = text.partition("</figure>")[2].partition("<h3>By campaign")[0]

    assert "last 14 days" in periods
    assert "up to yesterday" not in periods
    assert "before these" not in periods
    # Days without events say so once.
    days = text.partition("<h3>By day")[2].partition(MIXED)[0]
    assert days.count("\N{EN DASH}") == 14


async def test_results_page_compares_days_that_are_over(of_parts):
    text = (await page_of(of_parts)).rpartition("<h3>By campaign")[0].rpartition("</figure>")[2]
    shown = " ".join(re.sub(r"<[^>]+>", " ", text).split())

    assert re.findall(r"(?:last )?14 days[a-z ]*", shown) == [
        "last 14 days ", "14 days up to yesterday ", "14 days before these ",
    ]  # fmt: skip


async def test_results_page_calls_no_difference_lost(stage):
    text = (await page_of(stage)).lower()

    assert "attributed" in text
    assert "lost" not in text
    assert "received" not in text


async def test_results_page_covers_the_chosen_days(stage):
    assert "240" in await page_of(stage, "/console/results?days=30")
    assert 'aria-current="true">90 days' in await page_of(stage, "/console/results?days=90")


def links_of(text):
    """Return the paths of the page's links to parts of its results, by their text."""
    found = re.findall(r'<a href="(/console/results\?[^"]*account=[^"]*)">([^<]+)</a>', text)
    return {unescape(name): unescape(path) for path, name in found}


async def test_campaign_leads_to_its_days_and_a_day_to_its_campaigns(stage):
    text = await page_of(stage)
    own = links_of(text.partition(f"Ads account {MIXED}")[0])
    today = datetime.now(ZONE).date().isoformat()

    of_campaign = await page_of(stage, own["Autumn"])
    of_day = await page_of(stage, own[today])

    days = of_campaign.partition("<h3>By day")[2]
    assert days.count(">10.00<") == days.count("PURCHASE") == 12
    assert "Delivered" not in days
    assert "=Winter" not in of_campaign
    assert "estimate" in days
    assert [name for name in links_of(of_day) if not name[:1].isdigit()] == ["Autumn", "=Winter"]
    assert [of_day.count(f">{amount}<") for amount in ("10.00", "15.00")] == [1, 1]
    assert ">Delivered<" in of_day
    for part in (of_campaign, of_day):
        assert MIXED not in part
        assert "</figure>" not in part
        assert "Remove all" in part


async def test_part_of_results_that_does_not_exist_is_named(stage):
    text = unescape(await page_of(stage, "/console/results?campaign=c9&day=2020-01-01"))

    assert "Campaign “c9” does not exist, so it is ignored." in text
    assert "Day “2020-01-01” does not exist, so it is ignored." in text
    assert "240" in text


async def test_day_that_only_another_account_has_is_not_one_of_the_chosen_account(tmp_path):
    """Accounts begin their days at their own midnight, so the first day of two can differ."""
    now = time.time_ns() // 1_000_000
    stage = ConsoleStage(tmp_path, OF_PIXELS)
    store = await SQLiteStore.open(str(stage.settings.store.path))
    for account, count in ((ACCOUNT, 12), (MIXED, 11)):
        await put_account(store, an_account(now, account=account))
        await put_days(store, account, some_days(now, count=count))
    await store.close()
    await stage.start(people=PEOPLE)
    try:
        first = days_until(now, 12, ZONE)[0].day
        of_day = await page_of(stage, f"/console/results?day={first}")
        of_both = unescape(await page_of(stage, f"/console/results?account={MIXED}&day={first}"))
    finally:
        await stage.stop()

    assert ACCOUNT in of_day
    assert MIXED not in of_day
    assert f"Day “{first}” does not exist, so it is ignored." in of_both


async def test_part_of_an_account_keeps_the_chosen_days(stage):
    text = unescape(await page_of(stage, "/console/results?days=30&campaign=c1"))

    assert "/console/results?campaign=c1&days=90" in text
    assert f"days=30&account={ACCOUNT}&day=" in text


async def test_person_in_the_name_of_a_campaign_is_masked(tmp_path):
    now = time.time_ns() // 1_000_000
    stage = ConsoleStage(tmp_path, OF_PIXELS)
    store = await SQLiteStore.open(str(stage.settings.store.path))
    campaign = AdCampaign(id="c1", name="For anna@shop.example", currency="EUR")
    await put_account(store, an_account(now, campaigns=(campaign,), problem="anna@shop.example"))
    await put_days(store, ACCOUNT, some_days(now))
    await store.close()
    await stage.start(people=PEOPLE)
    try:
        text = await page_of(stage)
    finally:
        await stage.stop()

    assert "For ***" in text
    assert "anna" not in text


async def test_user_who_sees_a_part_of_an_account_sees_no_results(stage):
    text = await page_of(stage, name="part")

    assert "No ads account is visible" in text
    assert ACCOUNT not in text
