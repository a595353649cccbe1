"""The page of results, `GET /v1/results`, `twite results` and their CSV say the same values."""

import asyncio
import csv
import json
import random
import re
import sys
import time
from decimal import ROUND_HALF_EVEN, Decimal
from html import unescape
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio
from console_stage import PEOPLE, SETTINGS, ConsoleStage
from msgspec.structs import replace

from any_results import ACCOUNT, an_account, in_two_currencies, some_days
from twite.domain.results.account_days import days_until
from twite.domain.results.figures import EventFigure, FigureGroup, ResultDay
from twite.gateway.results.records import put_account, put_days
from twite.stores.sqlite import SQLiteStore

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIXED = "18ce55mixed"
KEY = "a-source-key-of-all-pixels"
BOTH = SETTINGS + (
    f'[[pixel]]\nid = "r3"\naccount = "{MIXED}"\nevents = {{{{ purchase = "o8z6k" }}}}\n'
    'auth = {{ pixel_token = "emulator-pixel-token-r3" }}\n'
    f'[[source]]\nname = "all"\nkey = "{KEY}"\npixel = "o8z6j"\npixels = ["r3"]\n'
)
DECIMALS = {"EUR": 2, "JPY": 0}
NONE = "\N{EN DASH}"


def with_any_figures(days, seed):
    """Give each campaign of each day amounts, counts and event types of its own."""
    rng = random.Random(seed)
    found = []
    for place, day in enumerate(days):
        cells = []
        for cell in day.cells:
            if cell.group is FigureGroup.SPEND:
                cells.append(replace(cell, spend_micro=rng.randrange(2_000_000_000)))
            else:
                events = {
                    event: EventFigure(
                        count=rng.randrange(4), sale_amount=rng.randrange(5_000_000_000)
                    )
                    for event in rng.sample(("PURCHASE", "SIGN_UP", "LEAD"), rng.randrange(3))
                }
                cells.append(replace(cell, events=events))
        omitted = "c2" if place % 5 == 2 else ""
        found.append(replace(day, cells=tuple(c for c in cells if c.campaign != omitted)))
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory):
    """Accounts of two zones, one with two currencies: estimates, a cut-over, a day not fetched."""
    now = time.time_ns() // 1_000_000
    berlin = days_until(now, 6, ZoneInfo("Europe/Berlin"))
    cut_over = f'[results]\ncut_over = "{berlin[0].day}"\n'
    stage = ConsoleStage(tmp_path_factory.mktemp("results"), BOTH + cut_over)
    store = await SQLiteStore.open(str(stage.settings.store.path))
    for seed, account in enumerate((an_account(now), in_two_currencies(now, account=MIXED))):
        zone = "Europe/Berlin" if account.account == ACCOUNT else "America/New_York"
        days = with_any_figures(some_days(now, zone=ZoneInfo(zone)), seed)
        lost = days_until(now, 12, ZoneInfo(zone))[4]
        days = [ResultDay.of(lost) if day.day == lost.day else day for day in days]
        await put_account(store, replace(account, zone=zone))
        await put_days(store, account.account, days)
    await store.close()
    await stage.start(people=PEOPLE)
    yield stage
    await stage.stop()


async def said_by(stage):
    """Return the JSON, the rows of CSV, and a function that reads pages."""
    client = await stage.signed_in("vic")
    headers = {"Authorization": f"Bearer {KEY}"}
    known = await client.get("/v1/results?days=30", **headers)
    text = (await client.get("/v1/results?days=30&format=csv", **headers)).text

    async def page(query=""):
        return (await client.get(f"/console/results?days=30{query}")).text

    return json.loads(known.text)["accounts"], list(csv.DictReader(text.splitlines())), page


def tables_of(page, account):
    """Return the rows of an account's tables, by label: the text of each cell by its title."""
    found = {}
    for label, table in re.findall(r'aria-label="([^"]+)">\s*<table(.*?)</table>', page, re.DOTALL):
        if not label.endswith(f" of {account}"):
            continue
        rows = re.findall(
            r'<tr role="row"[^>]*>(.*?)</tr>', table.partition("<tbody")[2], re.DOTALL
        )
        found[label.partition(" ")[0]] = [
            {
                title: re.sub(r"[ \n]+", " ", unescape(re.sub(r"<[^>]+>", " ", cell))).strip()
                for title, cell in re.findall(
                    r'<td role="cell" data-label="([^"]*)"[^>]*>(.*?)</td>', row, re.DOTALL
                )
            }
            for row in rows
        ]
    return found


def amount_of(text, currency):
    step = Decimal(1).scaleb(-DECIMALS.get(currency, 2))
    return f"{Decimal(text).quantize(step, ROUND_HALF_EVEN):,}".replace(",", "\u202f")


def rows_of(name, part, currency, *, has_deliveries):
    """Return how a part of the JSON is shown: a row for each event type."""
    rows = []
    for place, event in enumerate(part["events"] or [None]):
        row = {"name": name if place == 0 else ""}
        spend = part["spend"]
        row["Spend"] = "" if place else NONE if spend is None else amount_of(spend, currency)
        row["Type"] = event["event_type"] if event else NONE
        shown = {
            "Delivered": ("delivered", str),
            "With click id": ("click_id_share", share),
            "Email only": ("email_only_share", share),
        } if has_deliveries else {}  # fmt: skip
        shown |= {
            "Attributed": ("attributed", str),
            "Sale amount": ("sale_amount", lambda text: amount_of(text, currency)),
            "Cost each": ("cost_per_conversion", lambda text: amount_of(text, currency)),
            "Return": ("return_on_ad_spend", lambda ratio: f"{ratio:,.2f}".replace(",", "\u202f")),
        }
        for title, (field, spelled) in shown.items():
            value = event[field] if event else None
            row[title] = spelled(value) if value is not None else NONE if event else ""
        rows.append(row)
    return rows


def share(part):
    return f"{round(100 * part)} %"


def of_whole(name, part, account, *, has_deliveries=True):
    rows = rows_of(name, part, account["currency"], has_deliveries=has_deliveries)
    for own in part["by_currency"]:
        rows += rows_of(f"in {own['currency']}", own, own["currency"], has_deliveries=True)
    return rows


def marks_of(day, account):
    marks = ["cut-over"] if day["day"] == account["cut_over"] else []
    if not day["fetched"]:
        return ["not fetched", *marks]
    if day["estimate"]:
        return ["estimate", *marks]
    return marks if day["spend_final"] else ["spend not final", *marks]


def titled(rows, title):
    """Return expected rows as the page has them: the name is in the column of the title."""
    return [{title if key == "name" else key: cell for key, cell in row.items()} for row in rows]


async def printed(stage, option):
    """Return what the command prints about the store of the running gateway."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "twite", "results", "--config", str(stage.settings.path),
        "--days", "30", option,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    text, _ = await process.communicate()
    assert process.returncode == 0
    return text.decode()


async def test_command_prints_the_json_and_csv_of_the_api(stage):
    client = await stage.signed_in("vic")
    headers = {"Authorization": f"Bearer {KEY}"}
    said = (await client.get("/v1/results?days=30", **headers)).text
    rows = (await client.get("/v1/results?days=30&format=csv", **headers)).text

    assert json.loads(await printed(stage, "--json")) == json.loads(said)
    assert (await printed(stage, "--csv")).splitlines() == rows.splitlines()
    assert len(rows.splitlines()) > 50


async def test_page_shows_the_days_and_campaigns_of_the_api(stage):
    accounts, _, page = await said_by(stage)
    text = await page()

    assert {(each["account"], each["timezone"], each["currency"]) for each in accounts} == {
        (ACCOUNT, "Europe/Berlin", "EUR"),
        (MIXED, "America/New_York", ""),
    }
    for account in accounts:
        days = []
        for day in reversed(account["days"]):
            name = " ".join([day["day"], ", ".join(marks_of(day, account))]).strip()
            days += of_whole(name, day, account)
        campaigns = []
        for each in sorted(
            account["campaigns"], key=lambda each: (each["currency"], -Decimal(each["spend"] or 0))
        ):
            own = "" if account["currency"] else f" ({each['currency']})"
            campaigns += rows_of(each["name"] + own, each, each["currency"], has_deliveries=False)
        shown = tables_of(text, account["account"])

        assert shown["Days"] == titled(days, "Day")
        assert shown["Campaigns"] == titled(campaigns, "Campaign")
        assert shown["Periods"][0]["Spend"] == (
            NONE if account["currency"] == "" else amount_of(account["total"]["spend"], "EUR")
        )
        assert "not fetched" in str(days)
        assert "estimate" in str(days)


async def test_page_of_a_campaign_shows_its_days_of_the_api(stage):
    accounts, _, page = await said_by(stage)

    for account in accounts:
        for campaign in ("c1", "c2"):
            text = await page(f"&account={account['account']}&campaign={campaign}")
            days = []
            for day in reversed(account["days"]):
                own = [each for each in day["campaigns"] if each["campaign"] == campaign]
                for each in own:
                    name = " ".join([
                        day["day"] + ("" if account["currency"] else f" ({each['currency']})"),
                        ", ".join(marks_of(day, account)),
                    ]).strip()  # fmt: skip
                    days += rows_of(name, each, each["currency"], has_deliveries=False)

            assert tables_of(text, account["account"])["Days"] == titled(days, "Day")
            assert len({row["name"] for row in days if row["name"]}) == (
                11 if campaign == "c1" else 9
            )


async def test_csv_has_the_values_of_the_api(stage):
    accounts, rows, _ = await said_by(stage)
    expected = []
    for account in accounts:
        for day in account["days"]:
            split = bool(day["by_currency"])
            whole = {"campaign": "", "name": "", "currency": account["currency"], **day}
            if split:
                whole["events"] = [{**event, "attributed": None} for event in day["events"]]
            parts = [
                whole,
                *({"campaign": "", "name": "", **own} for own in day["by_currency"]),
                *day["campaigns"],
            ]
            for part in parts:
                start = {
                    "account": account["account"],
                    "timezone": account["timezone"],
                    "currency": part["currency"],
                    "day": day["day"],
                    "fetched": day["fetched"],
                    "estimate": day["estimate"],
                    "spend_final": day["spend_final"],
                    "after_cut_over": day["day"] >= account["cut_over"],
                    "campaign": part["campaign"],
                    # A spreadsheet would take it for a formula.
                    "campaign_name": re.sub("^=", "'=", part["name"]),
                }
                expected.append({**start, "spend": part["spend"]})
                expected += [{**start, **event} for event in part["events"]]

    found = [{name: text for name, text in row.items() if text} for row in rows]
    assert found == [
        {name: spelled(value) for name, value in row.items() if value not in (None, "")}
        for row in expected
    ]


def spelled(value):
    return str(value).lower() if isinstance(value, bool) else str(value)
