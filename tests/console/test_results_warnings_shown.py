"""Each warning about results in `twite check`, alerts, console and command, beside silent accounts.

Each warning holds for one of six ads accounts, so that the other five show its silence.
"""

import asyncio
import math
import re
import time
from html import unescape

import pytest
import pytest_asyncio
from console_stage import SETTINGS, ConsoleStage
from msgspec.structs import replace

from any_results import an_account, some_days
from builders import a_submission, an_entry
from twite.app.monitoring import read_alerts
from twite.app.reports.results import read_results
from twite.diagnostics import CheckStatus
from twite.diagnostics.results import results
from twite.domain.alert import AlertKind
from twite.domain.people.users import Role
from twite.domain.results.account import AdLineItem
from twite.domain.results.figures import DeliveredEvent, EventFigure
from twite.domain.results.warnings import WARNINGS
from twite.domain.stats.match_keys import MatchKeys
from twite.domain.stats.value_guard import UsualAmount
from twite.domain.times import DAY
from twite.gateway.results.records import put_account, put_days
from twite.stores.sqlite import SQLiteStore

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Alerts open in this order, so the last one tells that none opens for the silent account, None.
PIXELS = {kind: f"w{place}" for place, kind in enumerate([None, *WARNINGS])}
ACCOUNTS = {kind: f"18ce54d4x{pixel}" for kind, pixel in PIXELS.items()}
PURCHASE, OTHER_PURCHASE = "o8z6k", "o8z6l"
OF_PIXELS = SETTINGS + "".join(
    f'[[pixel]]\nid = "{pixel}"\naccount = "{ACCOUNTS[kind]}"\n'
    f'events = {{{{ purchase = "{PURCHASE}" }}}}\n'
    f'auth = {{{{ pixel_token = "emulator-pixel-token-{pixel}" }}}}\n'
    for kind, pixel in PIXELS.items()
)
# The beginning of each warning.
FACTS = {
    AlertKind.RESULTS_NONE_ATTRIBUTED: "60 conversions were delivered in 3 days, and X attributed",
    AlertKind.RESULTS_EVENT_UNCOUNTED: f"no campaign that spends counts purchase ({PURCHASE}). "
    f"They count {OTHER_PURCHASE}",
    AlertKind.RESULTS_AMOUNT_UNIT: "X's average sale amount of PURCHASE is about 1,000,000 times "
    "too low",
    AlertKind.RESULTS_NOT_SERVED: "for 3 days, X served no figures of conversions for any of "
    "2 campaigns",
    AlertKind.CLICK_IDS_STOPPED: "none of 40 conversions of the last 2 days has a click id. In "
    "the 14 days before, 50% had one",
}


def purchases(kind):
    """What X attributes on a day, in the account of a warning."""
    if kind is AlertKind.RESULTS_NOT_SERVED:
        return {}
    count = 0 if kind is AlertKind.RESULTS_NONE_ATTRIBUTED else 2
    money = 40 if kind is AlertKind.RESULTS_AMOUNT_UNIT else 40_000_000
    return {"PURCHASE": EventFigure(count=count, sale_amount=count * money)}


async def put_results(store, kind, *, now):
    pixel, account = PIXELS[kind], ACCOUNTS[kind]
    counted = OTHER_PURCHASE if kind is AlertKind.RESULTS_EVENT_UNCOUNTED else PURCHASE
    await put_account(
        store,
        an_account(
            now,
            account=account,
            line_items=(AdLineItem(id="l1", campaign="c1", event=counted),),
            event_types={PURCHASE: "PURCHASE", OTHER_PURCHASE: "PURCHASE"},
        ),
    )
    days = [
        replace(
            day,
            cells=tuple(
                replace(cell, events=purchases(kind)) if cell.events else cell for cell in day.cells
            ),
            delivered=(DeliveredEvent(pixel=pixel, event=PURCHASE, count=20),),
        )
        for day in some_days(now)
    ]
    await put_days(store, account, days)
    usual = UsualAmount(
        pixel=pixel, event=PURCHASE, currency="EUR", seen=500, center=math.log10(40)
    )
    await store.put([usual])


async def put_match_keys(store, kind, *, now):
    """Receive 20 conversions a day, of which half have a click id until they stop."""
    pixel = PIXELS[kind]
    for ago in range(1, 17):
        stopped = kind is AlertKind.CLICK_IDS_STOPPED and ago <= 2
        entries = [
            replace(
                an_entry(f"{pixel}-{ago}-{index}", pixel=pixel, index=index),
                key_set=int(MatchKeys.EMAIL if stopped or index % 2 else MatchKeys.CLICK),
            )
            for index in range(20)
        ]
        # Counts of match keys are those of days (UTC).
        at = now // DAY * DAY - ago * DAY + DAY // 2
        await store.record(a_submission(*entries, receipt=f"{pixel}-{ago}", received_at=at))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory):
    stage = ConsoleStage(tmp_path_factory.mktemp("warnings"), OF_PIXELS)
    now = time.time_ns() // 1_000_000
    store = await SQLiteStore.open(str(stage.settings.store.path))
    for kind in PIXELS:
        await put_results(store, kind, now=now)
        await put_match_keys(store, kind, now=now)
    await store.close()
    await stage.start(people={"ada": (Role.ADMIN, None)})
    yield stage
    await stage.stop()


async def test_check_shows_each_warning_for_its_account_only(stage):
    found = [each async for each in results(stage.settings)]

    sentences = [each.found for each in found if each.status is CheckStatus.WARNING]
    assert_each_once(sentences, lambda kind: f"ads account {ACCOUNTS[kind]}: {FACTS[kind]}")


async def test_console_shows_each_warning_for_its_account_only(stage):
    page = await (await stage.signed_in("ada")).get("/console/results")
    sentences = re.findall(
        r'<div class="card"><strong>(.*?)</strong>', unescape(page.text), re.DOTALL
    )

    assert_each_once(sentences, lambda kind: f"{ACCOUNTS[kind]}: {FACTS[kind]}")


async def test_report_has_each_warning_for_its_account_only(stage):
    found = (await read_results(stage.settings)).warnings

    assert {(each.kind, each.account) for each in found} == {
        (kind, ACCOUNTS[kind]) for kind in FACTS
    }


async def test_alert_opens_for_each_warning_of_its_account_only(stage):
    kinds = set(FACTS)
    last = WARNINGS[-1]
    async with asyncio.timeout(30):
        while True:
            alerts, _ = await read_alerts(stage.settings)
            found = {(each.kind, each.subject): each for each in alerts if each.kind in kinds}
            if (last, ACCOUNTS[last]) in found:
                break
            await asyncio.sleep(0.1)

    assert found.keys() == {(kind, ACCOUNTS[kind]) for kind in kinds}
    assert all(found[kind, ACCOUNTS[kind]].reason.startswith(FACTS[kind]) for kind in kinds)
    assert all(each.resolved_at is None for each in found.values())


def assert_each_once(sentences, begins):
    assert len(sentences) == len(FACTS)
    for kind in FACTS:
        assert sum(sentence.startswith(begins(kind)) for sentence in sentences) == 1
