"""Match keys by account and pixel, and the deduplication report, as each role sees them."""

import asyncio
import html
import re
import time

import aiohttp
import msgspec
import pytest
import pytest_asyncio
from console_stage import SETTINGS, ConsoleStage

from builders import NOW
from twite.domain.people.users import Role
from twite.domain.stats.deduplication import MEETS_WITHIN, TwoIds
from twite.gateway.operations.dedup_count import DedupCounted

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "agency-source-key-of-some-length"
SHOP = "https://shop.example"
AGENT = "Mozilla/5.0 (X11; Linux x86_64) Chrome/150.0.0.0 Safari/537.36"
CLICK = "23opevjt88psuo13lu8d020qkn"
PEOPLE = {
    "ada": (Role.ADMIN, None),
    "client": (Role.VIEWER, ["q1"]),
    "two": (Role.VIEWER, ["q1", "q3"]),
}
AGENCY = SETTINGS + "".join(
    f'[[pixel]]\nid = "{pixel}"\naccount = "{account}"\nevents = {{{{ purchase = "{pixel}e" }}}}\n'
    f'auth = {{{{ pixel_token = "emulator-pixel-token-{pixel}" }}}}\n'
    for pixel, account in (("q1", "acme"), ("q2", "acme"), ("q3", "bolt"))
) + (
    f'[[source]]\nname = "agency"\nkey = "{KEY}"\npixel = "q1"\npixels = ["q1", "q2", "q3"]\n'
    f'origins = ["{SHOP}"]\n'
)  # fmt: skip


def an_order(number, pixel, **more):
    order = {"event": "purchase", "conversion_id": f"order-{pixel}-{number}", "pixel": pixel}
    return order | {"email": f"buyer{number}@shop.alt"} | more


# Of q1's, half have two keys; all of q2's have; none of q3's, and one of these matches nobody.
ORDERS = [
    *(an_order(number, "q1", **({"twclid": CLICK} if number < 2 else {})) for number in range(4)),
    *(an_order(number, "q2", twclid=CLICK) for number in range(6)),
    *(an_order(number, "q3") for number in range(3)),
    an_order(9, "q3", email="noreply@shop.alt"),
]
# Rejected: these identify nobody.
NOBODY = [{**an_order(number, "q2"), "email": text} for number, text in ((20, ""), (21, "nobody"))]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory):
    """An agency whose client's page names an order otherwise than the server does."""
    stage = ConsoleStage(tmp_path_factory.mktemp("quality"), AGENCY)
    await stage.start(people=PEOPLE)
    twin = {"value": "49.90", "currency": "EUR", "email": "twin@shop.alt"}
    orders = [*ORDERS, *NOBODY, an_order(77, "q1", **twin)]
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as http,
        http.post(f"{stage.gateway.url}/v1/conversions", json={"conversions": orders}) as answer,
    ):
        assert answer.status == 202, await answer.text()
    now = time.time_ns() // 1_000_000
    reported = {"event": "purchase", "conversion_id": "page-77", "pixel": "loaded", "at": now}
    blocked = an_order(0, "q1", twclid=CLICK, at=now) | {"pixel": "blocked"}
    body = msgspec.json.encode({"v": 1, "sent": now, "conversions": [reported | twin, blocked]})
    headers = {"Origin": SHOP, "User-Agent": AGENT, "Content-Type": "text/plain"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.post(f"{stage.gateway.url}/t?s=agency", data=body) as answer,
    ):
        assert answer.status == 204, await answer.text()
    yield stage
    await stage.stop()


async def page_of(stage, path, *, name="ada"):
    visitor = await stage.signed_in(name)
    while True:
        page = await visitor.get(f"/console{path}")
        assert page.status == 200
        if "The report is being prepared" not in page.text:
            return page.text.partition("<main")[2]
        await asyncio.sleep(0.05)


def text_of(page):
    text = re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))
    return text.replace("\N{NARROW NO-BREAK SPACE}", " ")


def rows_of(page):
    """Return the rows of the first table as text."""
    rows = page.partition("<tbody")[2].partition("</tbody>")[0]
    return [text_of(row).strip() for row in re.findall(r"<tr.*?</tr>", rows, re.DOTALL)]


async def test_accounts_are_listed_by_key_coverage_with_its_formula(stage):
    page = await page_of(stage, "/match-keys")

    assert rows_of(page) == [
        "bolt 4 75.0 % 0.0 % 0.0 % 75.0 % 0.0 % 0.0 %",
        "acme 2 pixels 12 100.0 % 66.7 % 66.7 % 100.0 % 0.0 % 0.0 %",
    ]
    assert "Key coverage = conversions with at least one of click id, email" in text_of(page)
    assert '<a href="/console/match-keys?pixel=q3&amp;days=7">' in page
    assert '<a href="/console/match-keys?account=acme&amp;days=7">' in page


async def test_account_leads_to_its_pixels_and_to_their_conversions(stage):
    page = await page_of(stage, "/match-keys?account=acme")

    assert [row.split()[0] for row in rows_of(page)] == ["q1", "q2"]
    assert re.search(r'href="/console/conversions\?state=matchable&amp;pixel=q1&amp;from=20', page)
    assert "bolt" not in page


@pytest.mark.parametrize(
    ("path", "states"),
    [
        ("/match-keys", ["matchable", "matchable"]),
        ("/match-keys?account=acme", ["matchable", "matchable"]),
        ("/match-keys?pixel=q1", ["matchable", "matchable", "matchable"]),
        # The bar, the row of each pixel or event, and the table of what each count means.
        ("/deduplication", 2 * ["blocked"] + 3 * ["both"] + 5 * ["server_only"]),
        ("/deduplication?account=acme", 2 * ["blocked"] + 3 * ["both"] + 4 * ["server_only"]),
        ("/deduplication?pixel=q1", 2 * ["blocked"] + 3 * ["both"] + 3 * ["server_only"]),
    ],
)
async def test_each_count_leads_to_exactly_its_conversions(stage, path, states):
    page = await page_of(stage, path)
    link = re.compile(r'<a href="/console(/conversions\?[^"]*state=([^&"]+)[^"]*)">(\d+)</a>')
    counts = link.findall(page)

    assert sorted(state for _, state, _ in counts if state not in {"two_ids", "flawed"}) == states
    for found, state, many in counts:
        # An order with two ids has two conversions.
        rows = int(many) * (2 if state == "two_ids" else 1)
        assert (found, len(rows_of(await page_of(stage, html.unescape(found))))) == (found, rows)


async def test_deduplication_of_an_account_has_its_pixels_and_orders_only(stage):
    acme = await page_of(stage, "/deduplication?account=acme")
    bolt = await page_of(stage, "/deduplication?account=bolt")

    assert "÷ 12 conversion ids" in text_of(acme)
    assert "state=two_ids&amp;account=acme" in acme
    assert "page-77" in acme
    assert "÷ 4 conversion ids" in text_of(bolt)
    assert "page-77" not in bolt


async def test_page_says_which_counts_of_the_report_have_no_list(stage):
    page = await page_of(stage, "/deduplication")

    assert "Three counts have no list." in text_of(page)


async def test_list_by_a_key_of_a_source_has_the_counted_orders_with_two_ids(stage):
    url = f"{stage.gateway.url}/v1/conversions/list?state=two_ids&limit=1"
    found, before = [], ""
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as http:
        while before is not None:
            async with http.get(url + (before and f"&before={before}")) as answer:
                said = await answer.json()
            found += [conversion["conversion_id"] for conversion in said["conversions"]]
            before = said["next"]

    assert found == ["page-77", "order-q1-77"]


@pytest.mark.parametrize("days", ["30", "90"])
async def test_number_of_days_is_kept_by_filter_and_order(stage, days):
    page = await page_of(stage, f"/match-keys?days={days}&q=q")

    assert len(rows_of(page)) == 2
    assert f"days={days}&amp;sort=account" in page
    assert f'<input type="hidden" name="days" value="{days}">' in page


async def test_pixel_has_coverage_over_time_by_event_and_by_source(stage):
    page = await page_of(stage, "/match-keys?pixel=q1")
    text = text_of(page)

    assert "6 conversions 100.0 % key coverage 33.3 % with two keys or more" in text
    assert re.search(r": 100\.0 % at least one key, 33\.3 % two or more", text)
    assert re.search(r"By source .*agency 6 100\.0 % 33\.3 %", text)


async def test_count_of_a_problem_leads_to_its_conversions(stage):
    page = await page_of(stage, "/match-keys?pixel=q3")

    [path] = re.findall(r'<a href="([^"]+)">1</a>', page.partition('id="problems"')[2])
    assert re.match(
        r"/console/conversions\?state=flawed&pixel=q3&event=q3e&reason=email_placeholder&from=20",
        html.unescape(path),
    )
    found = await page_of(stage, html.unescape(path).removeprefix("/console"))
    assert "order-q3-9" in found
    assert "order-q3-1" not in found


@pytest.mark.parametrize("code", ["email_unusable", "identifier_missing"])
async def test_count_of_rejected_conversions_leads_to_the_rejections(stage, code):
    page = await page_of(stage, "/match-keys?pixel=q2")

    [row] = [row for row in page.partition('id="problems"')[2].split("<tr") if code in row]
    path, many = re.search(r'<a href="([^"]+)">(\d)</a>', row).groups()
    assert f"state=rejected&amp;pixel=q2&amp;event=q2e&amp;reason={code}&amp;from=20" in path
    found = await page_of(stage, html.unescape(path).removeprefix("/console"))
    assert len(rows_of(found)) == int(many)


@pytest.mark.parametrize("path", ["/deduplication", "/deduplication?pixel=q1"])
async def test_count_of_blocked_ids_leads_to_their_conversions(stage, path):
    page = await page_of(stage, path)

    paths = re.findall(r'<a href="/console([^"]+state=blocked[^"]+)">1</a>', page)
    assert len(paths) == 2
    for found in paths:
        [row] = rows_of(await page_of(stage, html.unescape(found)))
        assert "order-q1-0" in row


async def test_client_sees_the_match_keys_of_its_pixel_at_once_and_no_other(stage):
    own = await page_of(stage, "/match-keys", name="client")
    others = [
        await page_of(stage, f"/match-keys?{query}", name="client")
        for query in ("pixel=q2", "pixel=q3", "account=acme", "account=bolt", "q=q3")
    ]

    assert "6 conversions" in text_of(own)
    # Of the others' conversions, all or none have two keys.
    seen = [re.findall(r"(\S+) % two or more", text_of(page)) for page in (own, *others)]
    assert {share for shares in seen for share in shares} <= {"33.3"}
    assert "No conversions in this period." in text_of(others[0])
    assert "No conversions in this period." in text_of(others[1])


async def test_viewer_of_two_pixels_sees_only_their_accounts_and_sums(stage):
    page = await page_of(stage, "/match-keys", name="two")

    assert [row.split()[:2] for row in rows_of(page)] == [["bolt", "4"], ["acme", "6"]]


@pytest.mark.parametrize("query", ["", "?pixel=q1", "?account=acme"])
async def test_days_of_the_rate_lead_to_the_conversions_that_count_as_both(stage, query):
    page = await page_of(stage, f"/deduplication{query}")
    chart = page.partition('id="rate-chart"')[2].partition("</figure>")[0]
    steps = re.findall(r'<a href="/console([^"]+)" class="step"', chart)
    [both] = re.findall(r'<span class="count">(?:<a [^>]+>)?(\d+)(?:</a>)?</span> both', page)

    found = [rows_of(await page_of(stage, html.unescape(path))) for path in steps]

    assert '<g class="step">' not in chart
    assert len(steps) == 14
    assert sum(map(len, found)) == int(both) > 0


async def test_rate_and_orders_with_two_ids_are_shown_by_pixel_with_links(stage):
    page = await page_of(stage, "/deduplication")
    text = text_of(page)

    assert "= both ÷" in text
    assert "Deduplication rate by day" in text
    assert "page-77" in text
    assert "order-q1-77" in text
    assert '<a href="/console/conversions?state=two_ids&amp;pixel=q1">1</a>' in page
    assert '<a href="/console/conversions?id=page-77">' in page
    assert "Send the order number as conversion_id from both" in text


async def test_order_under_two_ids_names_its_other_id_in_the_list_and_on_its_page(stage):
    page = await page_of(stage, "/conversions?state=two_ids&pixel=q1")
    rows = rows_of(page)

    assert "1 order under two ids in 14 days, with a row for each id" in text_of(page)
    assert [row.split()[0] for row in rows] == ["page-77", "order-q1-77"]
    assert "also sent as order-q1-77" in rows[0]
    assert "also sent as page-77" in rows[1]

    [path] = re.findall(r'href="/console(/conversions/\d+)">page-77', page)[:1]
    twin = await page_of(stage, path)
    assert "X probably counts this order twice: also sent as order-q1-77" in text_of(twin)
    [other] = re.findall(r'href="/console(/conversions/\d+)">order-q1-77', twin)
    assert "also sent as page-77" in text_of(await page_of(stage, other))


async def test_list_of_other_pixels_has_no_order_under_two_ids(stage):
    page = await page_of(stage, "/conversions?state=two_ids&pixel=q3")

    assert "0 orders under two ids in 14 days" in text_of(page)
    assert rows_of(page) == []


async def test_export_of_more_orders_under_two_ids_than_are_kept_is_refused(stage, monkeypatch):
    ada = await stage.signed_in("ada")
    chosen = {"state": "two_ids"}
    whole = await ada.post("/console/conversions/export", chosen)
    assert (whole.text.count("order-q1-77"), whole.text.count("page-77")) == (1, 1)

    monkeypatch.setattr(DedupCounted, "is_whole_since", lambda *_: False)
    refused = await ada.post("/console/conversions/export", chosen)
    assert refused.location == "/console/conversions?state=two_ids"
    assert "only the latest 20,000 orders" in (await ada.get(refused.location)).text


@pytest.mark.parametrize(("since", "whole"), [(0, False), (NOW + MEETS_WITHIN, True)])
async def test_cut_count_is_whole_since_its_oldest_order(since, whole):
    pair = TwoIds(pixel="q1", event="e", page_id="p", server_id="s", at=NOW)
    counted = DedupCounted(at=NOW, reports=(), pairs=(pair,), is_cut=True)

    assert counted.is_whole_since(since) is whole
    assert msgspec.structs.replace(counted, is_cut=False).is_whole_since(since)


async def test_report_of_a_pixel_has_its_events_only(stage):
    page = await page_of(stage, "/deduplication?pixel=q3")

    assert "By event" in text_of(page)
    assert "page-77" not in page
    assert "Nothing to compare." not in page


async def test_client_sees_the_deduplication_of_its_pixel_alone(stage):
    whole = text_of(await page_of(stage, "/deduplication", name="client"))
    foreign = text_of(await page_of(stage, "/deduplication?pixel=q3", name="client"))

    assert "page-77" in whole
    assert "÷ 6 conversion ids" in whole
    assert "Nothing to compare." in foreign
