"""Every count of an account with several pixels leads to exactly the conversions that it counts."""

import asyncio
import csv
import html
import io
import re
import time

import aiohttp
import msgspec
import pytest
import pytest_asyncio
from console_stage import SETTINGS, ConsoleStage
from problem_pages import problem_rows

from builders import a_submission, an_entry
from twite.app.store_access import open_records
from twite.domain.cause import DeliveryCause
from twite.domain.pause import Cause, Pause
from twite.domain.people.users import Role
from twite.domain.replay_batch import ReplayBatch
from twite.stores.sqlite import SQLiteStore
from twite_emulator.process import running_emulator

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "agency-source-key-of-some-length"
ACCOUNTS = {"q1": "acme", "q2": "acme", "q3": "acme", "q4": "bolt", "q5": "bolt"}
PAUSED = ("q3", "q5")
PEOPLE = {
    "ada": (Role.ADMIN, None),
    "two": (Role.VIEWER, ["q1", "q2", "q4"]),
    "one": (Role.VIEWER, ["q1"]),
}
AGENCY = SETTINGS + "".join(
    f'[[pixel]]\nid = "{pixel}"\naccount = "{account}"\nevents = {{{{ purchase = "{pixel}e" }}}}\n'
    f'auth = {{{{ pixel_token = "emulator-pixel-token-{pixel}" }}}}\n'
    for pixel, account in ACCOUNTS.items()
) + (
    f'[[source]]\nname = "agency"\nkey = "{KEY}"\npixel = "q1"\n'
    'pixels = ["q1", "q2", "q3", "q4", "q5"]\n'
)  # fmt: skip
_COUNT = re.compile(r'<a href="(/console/[^"]+)">([\d\N{NARROW NO-BREAK SPACE}]+)</a>')
_LINKED = re.compile(
    r'<a [^>]*href="(/console/conversions\?[^"]*|/console/conversions)"[^>]*>\s*'
    r'(?:<span class="value">)?([\d\N{NARROW NO-BREAK SPACE}]+)<'
)
_ROW = re.compile(r'<tr role="row" id="[cr][^"]+".*?</tr>', re.DOTALL)


def an_order(pixel, name, **more):
    return {
        "event": "purchase",
        "pixel": pixel,
        "conversion_id": f"{name}-{pixel}",
        "email": f"{name}@shop.alt",
    } | more


def orders_of(pixel):
    """Return orders: two that X takes, one that it refuses, a repeated and a rejected one."""
    return [
        an_order(pixel, "taken"),
        an_order(pixel, "repeated"),
        an_order(pixel, "repeated"),
        an_order(pixel, "old", time="2020-01-01T00:00:00Z"),
        an_order(pixel, "bad", currency="EURO"),
    ]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory):
    """An agency with two accounts, whose conversions are in every state."""
    with running_emulator("max_age=604800") as emulator:
        emulator.add(
            pixels=[
                {"id": pixel, "account": "18ce54d4x5t", "token": f"emulator-pixel-token-{pixel}"}
                for pixel in ACCOUNTS
            ],
            events=[{"id": f"{pixel}e", "pixel": pixel} for pixel in ACCOUNTS],
        )
        stage = ConsoleStage(tmp_path_factory.mktemp("account"), AGENCY, x=emulator.url)
        now = time.time_ns() // 1_000_000
        store = await SQLiteStore.open(str(stage.settings.store.path))
        for pixel in PAUSED:
            await store.put([Pause(pixel=pixel, since=now, cause=Cause.USER, reason="by hand")])
        for pixel in ACCOUNTS:
            entries = [
                msgspec.structs.replace(
                    an_entry(f"held-{pixel}", pixel=pixel, event=f"{pixel}e", held="no decision",
                             cause=DeliveryCause.MAY_COUNT_TWICE),
                    key_set=0,
                ),
                an_entry(f"denied-{pixel}", pixel=pixel, event=f"{pixel}e", index=1,
                         suppressed="consent denied"),
            ]  # fmt: skip
            await store.record(
                a_submission(*entries, receipt=f"r{pixel}", source="agency", received_at=now)
            )
        # A pixel with two sources has a table of them.
        denied = an_entry("denied-till", pixel="q5", event="q5e", suppressed="consent denied")
        await store.record(a_submission(denied, receipt="till", source="till", received_at=now))
        await store.close()
        await stage.start(people=PEOPLE)
        orders = [order for pixel in ACCOUNTS for order in orders_of(pixel)]
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as http,
            http.post(
                f"{stage.gateway.url}/v1/conversions", json={"conversions": orders}
            ) as answer,
        ):
            assert answer.status == 202, await answer.text()
        await _settled(stage)
        yield stage
        await stage.stop()


async def _settled(stage):
    for _ in range(600):
        async with open_records(stage.settings) as records:
            counts = await records.balance()
        if {each.pixel for each in counts if each.pending} == set(PAUSED):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"conversions were not sent: {counts}")


async def page_of(stage, path, *, name="ada"):
    page = await (await stage.signed_in(name)).get(path)
    assert page.status == 200
    return page.text.partition("<main")[2]


def counts_in(text):
    """Return the (URL, number) of each count that is a link."""
    return [
        (html.unescape(path), int(many.replace("\N{NARROW NO-BREAK SPACE}", "")))
        for path, many in _COUNT.findall(text)
    ]


async def counted(stage, path, *, name="ada"):
    """Return how many conversions a list has. Copies are counted beside what they repeat."""
    page = await page_of(stage, path, name=name)
    copies = sum(int(many) for many in re.findall(r">\+(\d+)\s+cop", page))
    if "state=duplicate" in path:
        return copies
    return len(_ROW.findall(page)) + (0 if "state=" in path else copies)


@pytest.mark.parametrize("name", ["ada", "two"])
async def test_each_count_of_an_account_is_the_length_of_its_list(stage, name):
    row = (await page_of(stage, "/console", name=name)).partition('id="account-acme"')[2]
    row = row.partition("</tr>")[0]
    page = await page_of(stage, "/console?account=acme", name=name)
    total = page.partition("<tfoot")[2].partition("</tfoot>")[0]
    whole = page.partition('id="all"')[2].partition("</ul>")[0]
    found = [counts_in(text) for text in (row, total, whole)]

    # The page of an account that a viewer sees in part has fewer pixels, of which none is paused.
    waits = name == "ada"
    assert [len(counts) for counts in found] == [5 + waits, 5 + waits, 7 + waits]
    for path, many in (count for counts in found for count in counts):
        assert "account=acme" in path
        assert (path, await counted(stage, path, name=name)) == (path, many)


@pytest.mark.parametrize(
    "path",
    [
        *("/console", "/console?pixel=q1", "/console?pixel=q5", "/console?account=bolt"),
        *("/console/sources", "/console/sources/agency"),
        *(
            "/console/match-keys",
            "/console/match-keys?account=acme",
            "/console/match-keys?pixel=q1",
        ),
    ],
)
async def test_each_number_with_a_link_is_the_length_of_its_list(stage, path):
    links = {
        (html.unescape(url), int(many.replace("\N{NARROW NO-BREAK SPACE}", "")))
        for url, many in _LINKED.findall(await page_of(stage, path))
    }

    assert links
    assert {(url, await counted(stage, url)) for url, _ in links} == links


async def test_table_of_sources_accounts_for_all_that_it_says_was_received(stage):
    page = await page_of(stage, "/console?pixel=q5")
    row = next(row for row in page.partition('id="sources"')[2].split("<tr ") if ">agency<" in row)

    received, *ends = [int(many) for _, many in counts_in(row)]
    assert received == sum(ends)
    assert len(ends) > 3


async def test_numbers_of_an_account_are_no_text(stage):
    page = await page_of(stage, "/console?account=acme")
    whole = page.partition('id="all"')[2].partition("</ul>")[0]
    total = page.partition("<tfoot")[2].partition("</tfoot>")[0]

    assert re.findall(r'<span class="count">([^<]+)</span>', whole) == []
    assert re.findall(r"<div>\s*[1-9]", total) == []
    assert re.search(r'href="/console/conversions\?account=acme&amp;from=20[^"]+&amp;to=20', page)


async def test_sums_of_what_a_name_finds_are_text(stage):
    page = await page_of(stage, "/console?account=acme&q=q")
    total = page.partition("<tfoot")[2].partition("</tfoot>")[0]

    assert counts_in(total) == []
    assert re.search(r"<div>\s*21\s*</div>", total)


async def test_account_is_a_filter_of_the_list_with_a_chip(stage):
    page = await page_of(stage, "/console/conversions?account=acme&state=rejected&when=today")

    assert len(_ROW.findall(page)) == 3
    assert 'href="/console/conversions?state=rejected&amp;when=today"' in page
    assert '<option value="acme" selected>acme</option>' in page
    assert "bolt</option>" in page


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("account=acme&pixel=q1", 7),
        ("account=bolt&pixel=q1", 0),
        ("account=none", 0),
        ("account=acme&source=agency", 21),
        ("account=acme&source=shop", 0),
    ],
)
async def test_account_narrows_the_other_filters(stage, query, found):
    assert await counted(stage, f"/console/conversions?{query}") == found


@pytest.mark.parametrize(("account", "found"), [("acme", 6), ("bolt", 0)])
async def test_account_shows_only_the_pixels_of_its_viewer(stage, account, found):
    path = f"/console/conversions?account={account}"

    page = await page_of(stage, path, name="one")

    assert len(_ROW.findall(page)) == found
    assert set(re.findall(r"<code>(q\d)</code>", page)) <= {"q1"}
    assert "bolt</option>" not in page


async def test_export_has_the_conversions_of_the_account(stage):
    ada = await stage.signed_in("ada")
    chosen = {"account": "acme", "state": "held"}
    page = await page_of(stage, "/console/conversions?account=acme&state=held")

    file = await ada.post("/console/conversions/export", chosen)

    assert '<input type="hidden" name="account" value="acme">' in page
    rows = list(csv.DictReader(io.StringIO(file.text)))
    assert sorted(row["conversion_id"] for row in rows) == ["held-q1", "held-q2", "held-q3"]


async def test_problems_of_an_account_lead_to_the_problem_the_plan_and_the_replay(stage):
    ada = await stage.signed_in("ada")
    home = await page_of(stage, "/console?account=bolt")
    [path] = re.findall(r'id="problems"><a href="([^"]+)">([^<]+)</a>', home)
    assert path == ("/console/problems?account=bolt", "1 refused by X and 2 held")

    listed = await page_of(stage, path[0])
    [key] = [key for key, row in problem_rows(listed).items() if "may already have" in row]
    link = f"/console/problems/{key}?account=bolt"
    form = {"problem": key, "which": "all", "account": "bolt"}
    problem = await page_of(stage, link)
    plan = (await ada.post("/console/problems/plan", form)).text
    await ada.post("/console/problems/replays", form)
    async with open_records(stage.settings) as records:
        *_, batch = await records.load(ReplayBatch)

    assert link in listed
    assert '<option value="bolt" selected>bolt</option>' in listed
    assert re.findall(r"held-q\d", problem).count("held-q4") >= 1
    assert "held-q1" not in problem
    assert 'name="account" value="bolt"' in problem
    assert 'name="account" value="bolt"' in plan
    assert "account bolt" in plan
    assert batch.total == 2


async def test_list_of_rejected_conversions_keeps_the_filter_of_the_problem(stage):
    listed = await page_of(stage, "/console/problems?account=acme&kind=rejected")
    [key] = problem_rows(listed)

    problem = await page_of(stage, f"/console/problems/{key}?account=acme")

    [path] = re.findall(r'href="([^"]+)">All with the code', problem)
    assert await counted(stage, html.unescape(path)) == 3


async def test_conversions_of_an_account_are_linked_where_their_match_keys_are(stage):
    page = await page_of(stage, "/console/match-keys")
    row = next(row for row in page.split("<tr ") if "account=acme" in row)

    [(path, _)] = [count for count in counts_in(row) if "/conversions" in count[0]]
    assert "account=acme" in path
