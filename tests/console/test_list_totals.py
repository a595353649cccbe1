"""The total above a list of conversions."""

import re

import pytest
import pytest_asyncio
from agency_stage import ROW, agency_stage, an_order, page_of
from problem_pages import problem_rows

from builders import an_entry
from twite.domain.cause import DeliveryCause
from twite.stores.sql.listing import conversions, page

pytestmark = pytest.mark.asyncio(loop_scope="module")

MANY = 120
ORDERS = [an_order("q1", f"order-{number}") for number in range(MANY)]

HELD = [
    an_entry(
        f"many-{number}", pixel="q5", event="q5e", held="zero", cause=DeliveryCause.AMOUNT_ZERO
    )
    for number in range(70)
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory):
    folder = tmp_path_factory.mktemp("totals")
    async with agency_stage(folder, orders_more=ORDERS, entries_more=HELD) as stage:
        yield stage


@pytest.fixture
def small_look(monkeypatch):
    """A count looks at 60 conversions, as it looks at thousands of a large store."""
    for module in (conversions, page):
        monkeypatch.setattr(module, "LOOKED_THROUGH", 60)


async def total_of(stage, query, *, name="ada"):
    shown = await page_of(stage, f"/console/conversions?{query}", name=name)
    found = re.search(r'<p class="lead" id="total">(.*?)</p>', shown, re.DOTALL)
    return found and " ".join(re.sub(r"<[^>]+>", "", found[1]).split())


async def rows_of(stage, query):
    """Return how many rows all pages of a list have."""
    path, many = f"/console/conversions?{query}", 0
    while path:
        shown = await page_of(stage, path)
        many += len(ROW.findall(shown))
        older = re.search(r'href="([^"]+)" rel="next">Older', shown)
        path = older and older[1].replace("&amp;", "&")
    return many


@pytest.mark.parametrize(
    "query", ["", "pixel=q1", "account=acme", "state=delivered", "event=purchase", "source=agency"]
)
async def test_total_is_the_length_of_all_pages(stage, query):
    many = await rows_of(stage, query)

    assert many > 50
    assert await total_of(stage, query) == f"{many} conversions"


async def test_total_of_a_short_list_costs_no_count(stage, monkeypatch):
    monkeypatch.setattr(page, "counted_conversions", None)

    assert await total_of(stage, "state=rejected&pixel=q1") == "1 conversion"


async def test_total_of_repeated_conversions_has_their_copies(stage):
    assert await total_of(stage, "state=duplicate") == "5 conversions with 5 duplicate copies"


async def test_total_of_a_later_page_is_that_of_the_list(stage):
    shown = await page_of(stage, "/console/conversions?pixel=q1")
    (older,) = re.findall(r'href="/console/conversions\?([^"]+)" rel="next">Older', shown)

    many = await rows_of(stage, "pixel=q1")
    assert await total_of(stage, older.replace("&amp;", "&")) == f"{many} conversions"


async def test_viewer_gets_the_total_of_visible_pixels(stage):
    many = await rows_of(stage, "pixel=q1")

    assert await total_of(stage, "", name="one") == f"{many} conversions"


@pytest.mark.parametrize("query", ["pixel=q1", "account=acme&state=delivered"])
async def test_total_of_a_long_list_is_the_counter(stage, query, small_look):
    many = await rows_of(stage, query)

    total = await total_of(stage, query)

    assert re.fullmatch(rf"{many} conversions since 20\d\d-\d\d-\d\d [\d:]+", total)


async def test_total_of_a_long_list_of_a_problem_is_its_number(stage, small_look):
    rows = problem_rows(await page_of(stage, "/console/problems?pixel=q5&kind=held"))
    (key,) = [key for key, row in rows.items() if " 70 " in row]

    assert await rows_of(stage, f"problem={key}&pixel=q5") == 70
    assert await total_of(stage, f"problem={key}&pixel=q5") == "70 conversions"
    assert await total_of(stage, f"problem={key}&event=q5e") == "at least 60 conversions"


async def test_total_of_a_long_list_without_a_counter_is_a_minimum(stage, small_look):
    total = await total_of(stage, "event=purchase&when=today")

    assert re.fullmatch(r"at least \d\d conversions", total)
    assert await rows_of(stage, "event=purchase&when=today") > int(total.split()[2])


async def test_search_without_a_match_has_no_total(stage, small_look):
    assert await total_of(stage, "event=nothing") is None
