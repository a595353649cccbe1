"""Diagnostics of X's results: stored figures, warnings, and one day that the emulator serves."""

import json
from datetime import UTC
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
from msgspec.structs import replace

from any_results import ACCOUNT, an_account, some_days
from twite.diagnostics import CheckStatus, examine
from twite.diagnostics.results import live_results, results
from twite.domain.results.account import AdLineItem
from twite.domain.results.account_days import days_until
from twite.domain.results.figures import DeliveredEvent
from twite.domain.times import DAY, HOUR, LATEST, MINUTE, SECOND, spelled
from twite.gateway.results.records import put_account, put_days
from twite.machine.system import SystemClock
from twite.stores.sqlite import SQLiteStore
from written import ENVIRONMENT, GOOD, read, write
from x_page import OAUTH

PIXEL_TOKEN = 'auth = { pixel_token = "env:X_PIXEL_TOKEN" }'
SIGNED_IN = GOOD.replace(PIXEL_TOKEN, OAUTH)
CAMPAIGN = {"id": "c1", "funding_instrument": "lygyi", "name": "Autumn"}
LINE_ITEM = {"id": "li1", "campaign": "c1", "primary_web_event_tag": "o8z6k"}


async def of_store(folder, *, text=SIGNED_IN, attributed=2, delivered=(), **account):
    """Return the findings about stored results; `delivered` are other events of each day."""
    now = SystemClock().now()
    store = await SQLiteStore.open(str(folder / "twite.db"))
    await put_account(store, an_account(now, **account))
    days = some_days(now, attributed=attributed)
    await put_days(
        store, ACCOUNT, [replace(day, delivered=(*day.delivered, *delivered)) for day in days]
    )
    await store.close()
    return [(each.status, each.found) async for each in results(read(folder, text))]


async def of_x(folder, x, *, text=SIGNED_IN):
    """Return the findings about a day of statistics."""
    settings = read(folder, text.replace("https://ads-api.x.com", x.url))
    return [(each.status, each.found) async for each in live_results(settings)]


@pytest.fixture
def x(x_emulator):
    """An emulated X with a campaign that spent 12.50 a day, and a purchase yesterday."""
    x_emulator.add(
        accounts=[{"id": ACCOUNT, "timezone": "UTC"}],
        campaigns=[CAMPAIGN],
        line_items=[LINE_ITEM],
    )
    # What happens today counts only if the check runs after midnight.
    for day in days_until(SystemClock().now(), 2, UTC):
        at = day.start / SECOND
        x_emulator.clock(now=at)
        x_emulator.plant(
            spend=[{"line_item": "li1", "day": day.day, "micros": 12_500_000}],
            clicks=[{"line_item": "li1", "at": at, "twclid": "2-abc"}],
        )
        by_pixel(x_emulator, order=day.day)
    x_emulator.clock(now=SystemClock().now() / SECOND)
    return x_emulator


def by_pixel(x, *, order):
    """Send a purchase as X's pixel does."""
    pairs = {
        "txn_id": "o8z6k",
        "event": json.dumps({"conversion_id": order, "value": "20.00", "currency": "EUR"}),
        "twclid": "2-abc",
    }
    with urlopen(f"{x.url}/1/i/adsct?{urlencode(pairs)}", timeout=10) as answer:
        assert answer.status == 200


async def test_fetched_results_pass(tmp_path):
    ((status, sentence),) = await of_store(tmp_path)

    assert status is CheckStatus.PASSED
    assert sentence.startswith(f"ads account {ACCOUNT}: fetched 2")


async def test_results_that_x_refuses_are_a_warning(tmp_path):
    assert await of_store(tmp_path, problem="403 (FORBIDDEN)") == [
        (
            CheckStatus.WARNING,
            f"the results of ads account {ACCOUNT} are not current: 403 (FORBIDDEN)",
        )
    ]


@pytest.mark.parametrize(
    ("ago", "status"),
    [(3 * HOUR - MINUTE, CheckStatus.PASSED), (3 * HOUR + MINUTE, CheckStatus.WARNING)],
)
async def test_results_that_are_not_fetched_any_more_are_a_warning(tmp_path, ago, status):
    ((seen, sentence),) = await of_store(tmp_path, hourly_at=SystemClock().now() - ago)

    assert seen is status
    assert ("were last fetched" in sentence) is (status is CheckStatus.WARNING)


async def test_delivered_conversions_without_any_attributed_are_a_warning(tmp_path):
    passed, (status, sentence) = await of_store(tmp_path, attributed=0)

    assert passed[0] is CheckStatus.PASSED
    assert status is CheckStatus.WARNING
    assert sentence.startswith(
        f"ads account {ACCOUNT}: 60 conversions were delivered in 3 days, and X attributed none"
    )


async def test_what_a_fetch_could_not_read_is_a_warning(tmp_path):
    (status, sentence), passed = await of_store(
        tmp_path, unreadable=("conversion_boats: an unknown metric",)
    )

    assert (status, passed[0]) == (CheckStatus.WARNING, CheckStatus.PASSED)
    assert sentence == f"ads account {ACCOUNT}: cannot read conversion_boats: an unknown metric"


@pytest.mark.parametrize("fetch", ["true", "false"])
async def test_delivered_event_that_no_campaign_counts_is_named_without_a_warning(tmp_path, fetch):
    items = (AdLineItem(id="l1", campaign="c1", event="o8z6k"),)
    sign_up = DeliveredEvent(pixel="o8z6j", event="o8z6m", count=3)
    text = f"{SIGNED_IN}\n[results]\nfetch = {fetch}\n"

    found = await of_store(tmp_path, text=text, delivered=[sign_up], line_items=items)

    said = (
        f"ads account {ACCOUNT}: no campaign that spends counts sign_up (o8z6m). "
        "X reports such events, and optimizes for others"
    )
    assert found[1:] == ([(CheckStatus.PASSED, said)] if fetch == "true" else [])


@pytest.mark.parametrize("text", [GOOD, SIGNED_IN + "\n[results]\nfetch = false\n"])
async def test_results_that_are_not_fetched_on_purpose_are_not_mentioned(tmp_path, text):
    assert await of_store(tmp_path, text=text, hourly_at=SystemClock().now() - DAY) == []


async def test_live_check_reports_a_day_of_statistics(tmp_path, x):
    ((status, sentence),) = await of_x(tmp_path, x)

    assert status is CheckStatus.PASSED
    assert sentence.startswith(f"ads account {ACCOUNT}: 1 campaign on 2")
    assert sentence.endswith(
        "(UTC). Attributed: 1 PURCHASE of 20.00 EUR, spend 12.50 EUR. Compare with Ads Manager"
    )
    assert x.asked()["entries"]


@pytest.mark.parametrize(
    ("switches", "said"),
    [
        ({"conversion_shape": "array"}, "1 PURCHASE, spend 12.50"),  # without amounts
        ({"conversion_shape": "split"}, "1 PURCHASE of 20.00 EUR"),
        ({"empty_conversions": "object"}, "1 PURCHASE of 20.00 EUR"),
        ({"empty_conversions": "zeros"}, "1 PURCHASE of 20.00 EUR"),
        # The unit is unknown, so the amount shows which one fits.
        ({"sale_amount_unit": "money"}, "1 PURCHASE of 0.00 EUR"),
        ({"sale_amount_unit": "minor"}, "1 PURCHASE of 0.00 EUR"),
        ({"stats_nulls": True}, "No figures of conversions, spend none."),
        ({"day_alignment": "today"}, "1 PURCHASE of 20.00 EUR"),
        ({"stats_range": "days"}, "1 PURCHASE of 20.00 EUR"),
        ({"unknown_entities": "null"}, "1 PURCHASE of 20.00 EUR"),
        ({"analytics_access": "any"}, "1 PURCHASE of 20.00 EUR"),
    ],
)
async def test_live_check_reads_each_form_that_x_may_serve(tmp_path, x, switches, said):
    x.switch(**switches)

    ((status, sentence),) = await of_x(tmp_path, x)

    assert status is CheckStatus.PASSED
    assert said in sentence


async def test_live_check_shows_amounts_in_the_unit_of_the_settings(tmp_path, x):
    x.switch(sale_amount_unit="money")

    text = f'{SIGNED_IN}\n[results]\nsale_amount_unit = "money"\n'
    ((_, sentence),) = await of_x(tmp_path, x, text=text)

    assert "1 PURCHASE of 20.00 EUR" in sentence


async def test_live_check_names_what_it_cannot_read(tmp_path, x):
    metrics = {
        "conversion_boats": [1],
        "conversion_purchases": {"metric": [1]},
        "billed_charge_local_micro": [20_000],
    }
    entry = {"id": "c1", "id_data": [{"segment": None, "metrics": metrics}]}
    # Before the statistics, it asks for campaigns, line items and active entities.
    x.fault(
        "status",
        on="analytics",
        status=200,
        after=3,
        count=0,
        body=json.dumps({"data": [entry], "time_series_length": 1}),
    )

    unreadable, (status, sentence) = await of_x(tmp_path, x)

    assert unreadable == (
        CheckStatus.WARNING,
        f"ads account {ACCOUNT}: cannot read conversion_boats: an unknown metric",
    )
    assert status is CheckStatus.PASSED
    assert "Attributed: 3 PURCHASE, spend 0.06 EUR" in sentence


async def test_live_check_of_an_account_without_campaigns_is_a_warning(tmp_path, x_emulator):
    assert await of_x(tmp_path, x_emulator) == [
        (
            CheckStatus.WARNING,
            f"ads account {ACCOUNT} has no campaigns, so no statistics were read",
        )
    ]


async def fixes_of_x(folder, url, *, text=SIGNED_IN):
    settings = read(folder, text.replace("https://ads-api.x.com", url))
    return [(each.found, each.fix) async for each in live_results(settings)]


async def test_live_check_without_a_network_says_that_x_is_not_reached(tmp_path):
    ((sentence, fix),) = await fixes_of_x(tmp_path, "http://127.0.0.1:9")

    assert sentence.startswith(f"ads account {ACCOUNT}: no valid response from X: ")
    assert fix == (
        "Check that this machine reaches x.api_url, or wait until X answers again, then run twite "
        "check --live."
    )


async def test_live_check_of_a_time_zone_that_the_machine_does_not_know_fails(tmp_path, x):
    x.fault(
        "status",
        on="any",
        status=200,
        body=json.dumps({"data": {"timezone": "Mars/Olympus"}}),
    )

    ((sentence, fix),) = await fixes_of_x(tmp_path, x.url)

    assert sentence == (
        f"ads account {ACCOUNT}: this machine does not know the time zone 'Mars/Olympus' of the "
        "ads account. Install its time zones, for example with apt install tzdata"
    )
    assert fix == "Correct the cause, then run twite check --live."


async def test_live_check_fails_with_x_s_reason(tmp_path, x):
    x.switch(analytics_access="standard")
    x.add(apps=[{"id": "3213", "access": "none"}])

    ((status, sentence),) = await of_x(tmp_path, x)

    assert status is CheckStatus.FAILED
    assert sentence.startswith(f"ads account {ACCOUNT}: ")
    assert "403" in sentence


OTHER = "18ce54d4x5u"
TWO_ACCOUNTS = (
    SIGNED_IN
    + f"""
[[pixel]]
id = "o8z7j"
account = "{OTHER}"
{OAUTH}

[pixel.events]
lead = "o8z7k"
"""
)
WAITS = f"ads account {ACCOUNT}: X asks its user to send no request before "


async def store_waits(folder, until, **changes):
    """Store that X asked the user to wait, about the other account."""
    store = await SQLiteStore.open(str(folder / "twite.db"))
    await put_account(
        store, an_account(until, **{"account": OTHER, "user_wait_until": until} | changes)
    )
    await store.close()


async def test_live_check_asks_nothing_while_x_s_wait_is_stored(tmp_path, x):
    until = SystemClock().now() + 2 * HOUR
    await store_waits(tmp_path, until)

    first, second = await of_x(tmp_path, x, text=TWO_ACCOUNTS)

    assert first == (CheckStatus.WARNING, f"{WAITS}{spelled(until)}")
    assert second[1].startswith(f"ads account {OTHER}: X asks its user")
    assert x.asked()["entries"] == []


@pytest.mark.parametrize(
    "changes",
    [
        {"user_wait_until": 1},  # it is over
        # After a refusal, the gateway pauses for an hour, and a person tries what was changed.
        {"account": ACCOUNT, "user_wait_until": 0, "wait_until": LATEST, "problem": "403"},
    ],
)
async def test_live_check_asks_if_x_named_no_later_time(tmp_path, x, changes):
    await store_waits(tmp_path, SystemClock().now(), **changes)

    ((status, _),) = await of_x(tmp_path, x)

    assert status is CheckStatus.PASSED


@pytest.mark.parametrize("status", [429, 503])
async def test_live_check_asks_no_other_account_of_a_user_whom_x_asks_to_wait(tmp_path, x, status):
    x.fault("status", on="analytics", status=status, headers={"retry-after": "700"}, count=0)

    found = await of_x(tmp_path, x, text=TWO_ACCOUNTS)

    assert [each for each, _ in found] == [CheckStatus.WARNING, CheckStatus.WARNING]
    assert found[0][1].startswith(f"{WAITS}2")
    assert len(x.asked()["entries"]) == 1


async def test_live_check_without_a_signed_in_user_is_a_warning(tmp_path, x):
    assert await of_x(tmp_path, x, text=GOOD) == [
        (CheckStatus.WARNING, "no ads account has a user who has signed in with OAuth")
    ]
    assert x.asked()["entries"] == []


@pytest.mark.parametrize("is_live", [False, True])
async def test_only_the_live_check_asks_x_for_statistics(tmp_path, x, is_live):
    path = write(tmp_path, SIGNED_IN.replace("https://ads-api.x.com", x.url))

    async for _ in examine(path, ENVIRONMENT, is_live=is_live):
        pass

    assert bool(x.asked()["entries"]) is is_live
