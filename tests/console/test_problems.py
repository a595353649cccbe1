"""Problems: one list by cause, and what each page says about them."""

import html
import re
import time

import aiohttp
import msgspec
import pytest
import pytest_asyncio
from console_stage import ConsoleStage
from problem_pages import LEFT, problem_key, problem_rows

from builders import a_submission, an_entry
from twite.app.store_access import open_records
from twite.console.remedies import remedy_of
from twite.domain.alert import Mute
from twite.domain.cause import DeliveryCause
from twite.domain.delivery import State
from twite.domain.pause import Cause, Pause
from twite.domain.people.users import Role
from twite.domain.stats.value_guard import ValueFlag
from twite.domain.times import DAY
from twite.stores.sqlite import SQLiteStore

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROBLEMS = "/console/problems"
KEY = "a-source-key-of-some-length"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory):
    """A gateway without senders, with problems of each kind."""
    stage = ConsoleStage(tmp_path_factory.mktemp("problems"))
    store = await SQLiteStore.open(str(stage.settings.store.path))
    now = time.time_ns() // 1_000_000
    await store.put([Pause(pixel="o8z6j", since=now, cause=Cause.USER, reason="by hand")])
    unknown = [
        an_entry(
            f"stray-{number}",
            index=number,
            event=f"a{number:04}",
            held=f"404 NOT_FOUND: event_id (a{number:04}) does not belong to provided account",
            cause=DeliveryCause.EVENT_UNKNOWN,
        )
        for number in range(215)
    ]
    await store.record(a_submission(*unknown, receipt="r1", received_at=now))
    cents = [
        an_entry(
            f"cents-{number}", index=number, held="held", cause=DeliveryCause.AMOUNT_MINOR_UNITS
        )
        for number in range(3)
    ]
    await store.record(a_submission(*cents, receipt="r2", received_at=now))
    theirs = an_entry(
        "their-order", pixel="o6dkt", event="o6dkv", held="by hand", cause=DeliveryCause.FAILED
    )
    await store.record(
        a_submission(theirs, receipt="r3", source="client", received_at=now - 3 * DAY)
    )
    flagged = [_flagged(number, "currency", "20.00 USD", "18.20 EUR") for number in range(127)]
    flagged[:2] = [
        msgspec.structs.replace(entry, pixel="o6dkt", event="o6dkv") for entry in flagged[:2]
    ]
    flagged.append(_flagged(127, "minor_units", "600.00 EUR", "50.00 EUR"))
    flagged.append(_flagged(128, "outlier", "90000.00 JPY", "5000 JPY"))
    await store.record(a_submission(*flagged, receipt="r4", received_at=now))
    await store.close()
    await stage.start()
    await _send_rejected(stage)
    yield stage
    await stage.stop()


def _flagged(number, kind, amount, usual):
    value, currency = amount.split()
    flag = ValueFlag(kind=kind, value=value, currency=currency, usual=usual)
    return msgspec.structs.replace(an_entry(f"flagged-{number}", index=number), flag=flag)


async def _send_rejected(stage):
    bad = {"event": "purchase", "email": "ada@shop.example", "value": "-5.00", "currency": "EUR"}
    reported = {"conversions": [bad | {"conversion_id": f"bad-{number}"} for number in range(2)]}
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as http,
        http.post(f"{stage.gateway.url}/v1/conversions", json=reported) as answer,
    ):
        assert answer.status == 422


async def test_errors_that_differ_only_in_values_are_one_problem(stage):
    page = (await (await stage.signed_in("ada")).get(PROBLEMS)).text

    (row,) = [row for row in problem_rows(page).values() if "X does not know the event" in row]
    assert "215" in row
    assert "run twite reload" in row


async def test_each_problem_says_what_to_do_and_for_whom_it_waits(stage):
    rows = problem_rows((await (await stage.signed_in("ada")).get(PROBLEMS)).text).values()

    assert len(rows) == 7
    assert all(any(who in row for who in ("an operator", "the sender", "nobody")) for row in rows)
    (rejected,) = [row for row in rows if "amount_negative" in row]
    assert "Rejected at intake" in rejected
    assert "shop" in rejected


async def test_problem_of_rejected_conversions_lists_them_masked(stage):
    ada = await stage.signed_in("ada")

    page = (await ada.get(f"{PROBLEMS}/{await problem_key(ada, 'amount_negative')}")).text

    for text in ("bad-0", "bad-1", "value: -5.00", "the amount is negative"):
        assert text in page
    assert "ada@shop.example" not in page
    assert "Plan the replay" not in page


async def test_unusual_currency_is_one_problem_with_its_count(stage):
    rows = problem_rows((await (await stage.signed_in("ada")).get(f"{PROBLEMS}?kind=amount")).text)

    (currency,) = [row for row in rows.values() if "USD, usually EUR" in row]
    assert "127" in currency
    assert "o6dkt o8z6j" in currency
    assert len(rows) == 3


@pytest.mark.parametrize(("query", "many"), [("", 127), ("?pixel=o6dkt", 2), ("?when=today", 127)])
async def test_number_of_unusual_amounts_leads_to_their_list(stage, query, many):
    ada = await stage.signed_in("ada")
    rows = problem_rows((await ada.get(f"{PROBLEMS}?kind=amount")).text)
    (key,) = [key for key, row in rows.items() if "USD, usually EUR" in row]
    page = (await ada.get(f"{PROBLEMS}/{key}{query}")).text

    paths = re.findall(rf'href="(/console/conversions[^"]+)">(?:All )?{many}</a>', page)
    total = (await ada.get(html.unescape(paths[0]))).text

    assert len(paths) == 2
    assert f"<strong>{many}</strong> conversions" in total


async def test_factor_of_an_unusual_amount_is_computed(stage):
    ada = await stage.signed_in("ada")
    rows = problem_rows((await ada.get(f"{PROBLEMS}?kind=amount")).text)

    (key,) = [key for key, row in rows.items() if "minor units" in row]
    page = (await ada.get(f"{PROBLEMS}/{key}")).text

    assert "latest: 600.00 EUR, about 12 times the usual 50.00 EUR" in rows[key]
    assert "about 100 times" not in page
    assert "<div>12 times</div>" in page


async def test_yen_are_shown_without_decimals(stage):
    ada = await stage.signed_in("ada")
    rows = problem_rows((await ada.get(f"{PROBLEMS}?kind=amount")).text)

    (row,) = [row for row in rows.values() if "JPY" in row]

    assert "latest: 90000 JPY, about 18 times the usual 5000 JPY" in row


@pytest.mark.parametrize(
    ("query", "found", "away"),
    [
        ("kind=held", "X does not know the event", "amount_negative"),
        ("kind=rejected", "amount_negative", "X does not know the event"),
        ("pixel=o6dkt", "A tag could not run", "X does not know the event"),
        ("source=client", "A tag could not run", "X does not know the event"),
        ("when=today", "amount_negative", "nothing is away"),
        ("from=2020-01-01&to=2020-01-02", "No match.", "X does not know the event"),
    ],
)
async def test_problems_can_be_filtered(stage, query, found, away):
    page = (await (await stage.signed_in("ada")).get(f"{PROBLEMS}?{query}")).text

    assert found in page
    assert away not in page


async def test_problems_of_hidden_pixels_are_neither_listed_nor_found(stage):
    ada, client = await stage.signed_in("ada"), await stage.signed_in("client")
    theirs = await problem_key(ada, "X does not know the event")

    page = await client.get(PROBLEMS)
    hidden = await client.get(f"{PROBLEMS}/{theirs}")

    assert len(problem_rows(page.text)) == 2
    assert "stray" not in page.text
    assert (hidden.status, problem_rows(hidden.text)) == (200, {})
    assert LEFT in hidden.text
    assert "does not know" not in hidden.text


async def test_fix_that_the_cause_suggests_is_preselected(stage):
    olga = await stage.signed_in("olga")

    unknown = await olga.get(f"{PROBLEMS}/{await problem_key(olga, 'does not know the event')}")
    cents = await olga.get(f"{PROBLEMS}/{await problem_key(olga, 'probably in minor units')}")

    assert '<option value="@today" selected>' in unknown.text
    assert '<a href="/console/pixels/o8z6j">o8z6j</a></p>' in unknown.text
    assert "The events of" not in cents.text
    assert '<option value="100" selected>' in cents.text


async def test_plan_shows_only_the_fields_that_differ(stage):
    olga = await stage.signed_in("olga")
    key = await problem_key(olga, "probably in minor units")
    form = {"problem": key, "which": "all", "divide": "100", "currency": "GBP"}

    plan = (await olga.post(f"{PROBLEMS}/plan", form)).text

    assert "3 of 3 conversions would be sent again" in " ".join(plan.split())
    assert plan.count("<div><code>value</code></div>") == 3
    assert plan.count("<div><code>price_currency</code></div>") == 3
    assert "conversion_time" not in plan
    assert "Send 3 again" in plan


async def test_page_shows_twenty_five_problems_and_leads_to_the_rest(tmp_path):
    stage = ConsoleStage(tmp_path)
    store = await SQLiteStore.open(str(stage.settings.store.path))
    words = [f"{chr(97 + number // 26)}{chr(97 + number % 26)}" for number in range(35)]
    entries = [
        an_entry(f"order-{word}", index=number, held=f"reason {word}")
        for number, word in enumerate(words)
    ]
    await store.record(a_submission(*entries))
    await store.close()
    await stage.start()
    try:
        ada = await stage.signed_in("ada")
        first = (await ada.get(PROBLEMS)).text
        last = list(problem_rows(first))[-1]
        second = (await ada.get(f"{PROBLEMS}?after={last}")).text
    finally:
        await stage.stop()

    assert len(problem_rows(first)) == 25
    assert f"after={last}" in first
    assert len(problem_rows(second)) == 10
    assert not problem_rows(first).keys() & problem_rows(second).keys()


async def test_problem_with_more_than_ten_error_groups_lists_the_conversions_of_all(tmp_path):
    stage = ConsoleStage(tmp_path)
    store = await SQLiteStore.open(str(stage.settings.store.path))
    entries = [
        an_entry(f"order-{number}", index=number, event=f"event{number}", held="no decision")
        for number in range(12)
    ]
    await store.record(a_submission(*entries))
    await store.close()
    await stage.start()
    try:
        ada = await stage.signed_in("ada")
        [key] = problem_rows((await ada.get(PROBLEMS)).text)
        page = (await ada.get(f"{PROBLEMS}/{key}")).text
    finally:
        await stage.stop()

    assert page.count('aria-label="Select order-') == 12


async def test_problems_that_wait_for_nobody_are_listed_last(stage):
    rows = list(problem_rows((await (await stage.signed_in("ada")).get(PROBLEMS)).text).values())

    kinds = [
        next(kind for kind in ("Held", "Rejected at intake", "Unusual amount") if kind in row)
        for row in rows
    ]
    assert kinds == ["Held"] * 3 + ["Rejected at intake"] + ["Unusual amount"] * 3
    assert "USD, usually EUR" in rows[-1]
    assert "nobody" in rows[-1]


async def test_viewers_read_who_can_do_what_a_problem_needs(stage):
    vic, olga = await stage.signed_in("vic"), await stage.signed_in("olga")
    key = await problem_key(vic, "X does not know the event")

    for path in (PROBLEMS, f"{PROBLEMS}/{key}"):
        assert "An operator can do this: correct events" in (await vic.get(path)).text
        assert "An operator can do this" not in (await olga.get(path)).text


async def test_refusal_for_an_unknown_cause_is_not_called_a_decision():
    assert remedy_of(None, State.DEAD).what == "X refused the conversion"
    assert remedy_of(None, State.HELD).what == "The conversion waits for a decision"


async def test_muted_problem_is_listed_apart_for_all_users_until_it_ends(stage):
    olga, vic = await stage.signed_in("olga"), await stage.signed_in("vic")
    key = await problem_key(olga, "amount_negative")

    without_why = await olga.post(f"{PROBLEMS}/{key}/mute", {"for": "1d"})
    await olga.post(f"{PROBLEMS}/{key}/mute", {"for": "1d", "note": "the shop knows"})
    muted = (await vic.get(PROBLEMS)).text
    async with open_records(stage.settings) as records:
        (mute,) = await records.load(Mute, prefix="problem/")
        audited = (await records.people.audit(limit=1))[0].audit_event
    await olga.post(f"{PROBLEMS}/{key}/unmute")
    again = (await vic.get(PROBLEMS)).text

    assert without_why.location == f"{PROBLEMS}/{key}"
    assert list(problem_rows(muted)).count(key) == 0
    assert "olga: the shop knows" in muted.split("<h2>Muted</h2>")[1]
    assert (mute.who, mute.note, mute.until - mute.at) == ("olga", "the shop knows", DAY)
    assert (audited.what, audited.detail) == ("problem.mute", "for a day: the shop knows")
    assert key in problem_rows(again)


async def test_operator_of_some_pixels_cannot_mute_a_problem_of_all(tmp_path):
    stage = ConsoleStage(tmp_path)
    store = await SQLiteStore.open(str(stage.settings.store.path))
    now = time.time_ns() // 1_000_000
    entries = [
        an_entry(pixel, index=index, pixel=pixel, held="404", cause=DeliveryCause.EVENT_UNKNOWN)
        for index, pixel in enumerate(("o8z6j", "o6dkt"))
    ]
    await store.record(a_submission(*entries, received_at=now))
    await store.close()
    await stage.start(people={"cleo": (Role.OPERATOR, ["o6dkt"]), "olga": (Role.ADMIN, None)})
    cleo, olga = await stage.signed_in("cleo"), await stage.signed_in("olga")
    key = await problem_key(cleo, "X does not know the event")
    fields = {"for": "1d", "note": "bolt's shop knows"}

    refused = await cleo.post(f"{PROBLEMS}/{key}/mute", fields)
    by_all = (await olga.get(f"{PROBLEMS}/{key}")).text
    await olga.post(f"{PROBLEMS}/{key}/mute", fields)
    unmuted = await cleo.post(f"{PROBLEMS}/{key}/unmute")
    pages = [(await cleo.get(path)).text for path in (PROBLEMS, f"{PROBLEMS}/{key}")]

    await stage.stop()
    assert (refused.status, unmuted.status) == (403, 403)
    assert "Muted by" not in by_all
    for page in pages:
        assert "Muted" in page
        assert "bolt" not in page
        assert "olga" not in page
        assert "/unmute" not in page


async def test_viewer_can_neither_mute_nor_plan(stage):
    vic = await stage.signed_in("vic")
    key = await problem_key(vic, "amount_negative")

    for path in (f"{key}/mute", f"{key}/unmute", "plan", "replays", "discard"):
        assert (await vic.post(f"{PROBLEMS}/{path}", {"problem": key})).status == 403


async def test_usual_amounts_page_names_what_each_guard_does(stage):
    page = (await (await stage.signed_in("ada")).get(f"{PROBLEMS}/amounts")).text

    assert "flagged and sent" in page
    assert "No amounts yet." in page
