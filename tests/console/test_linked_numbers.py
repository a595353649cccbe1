"""Every number that is a link leads to a list with exactly that number."""

import hashlib
import html
import re

import msgspec
import pytest
import pytest_asyncio
from agency_stage import ROW, agency_stage, an_order, number_of, page_of
from problem_pages import problem_rows

from builders import an_entry
from twite.domain.stats.value_guard import ValueFlag

pytestmark = pytest.mark.asyncio(loop_scope="module")

UPPER = {
    name: hashlib.sha256(name.encode()).hexdigest().upper()
    for name in ("email_sha256", "phone_sha256")
}
BAD_PHONE = {"phone": "12"}
NOBODY = {"email": None, **BAD_PHONE}
# Flaws of stored and of rejected conversions, of events by name, by id, and unknown.
ORDERS = [
    an_order("q1", "flawed", **BAD_PHONE),
    an_order("q1", "flawed-too", **BAD_PHONE),
    {**an_order("q1", "upper"), **UPPER},
    an_order("q1", "rejected-1", **NOBODY),
    an_order("q1", "rejected-2", **NOBODY, event="Purchase"),
    an_order("q1", "rejected-3", **NOBODY, event="purchse"),
    an_order("q1", "placeholder", email="noreply@shop.alt", currency="EURO"),
    an_order("q1", "repeated"),
    an_order("q1", "repeated"),
    an_order("nowhere", "lost", **NOBODY),
    an_order("nowhere", "lost-too", currency="EURO"),
]  # fmt: skip
PAGES = (
    *("/console", "/console?pixel=q1", "/console?pixel=q5", "/console?account=bolt"),
    *("/console/sources", "/console/sources/agency", "/console/pixels/q1"),
    "/console/match-keys",
    "/console/match-keys?account=acme",
    "/console/match-keys?pixel=q1",
    "/console/match-keys?pixel=q1&days=90",
    *("/console/deduplication", "/console/deduplication?pixel=q1"),
)
FLAGGED = [
    msgspec.structs.replace(
        an_entry(f"flagged-{number}", pixel="q1", event="q1e"),
        key_set=0,
        flag=ValueFlag(kind="outlier", value="900", currency=currency, usual=f"50 {currency}"),
    )
    for number, currency in enumerate(("EUR", "EUR", "EUR", "USD"))
]
_LINK = re.compile(
    r'<a [^>]*href="(/console/conversions\?[^"]*|/console/conversions)"[^>]*>(.*?)</a>', re.DOTALL
)
_HOW_MANY = re.compile(r'data-label="How many"[^>]*><div><strong>\s*(\d+)<')
_NUMBER = re.compile(r"(?<![\w.-])[\d\N{NARROW NO-BREAK SPACE}]+(?![\w.%-]| %)")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory):
    folder = tmp_path_factory.mktemp("numbers")
    async with agency_stage(folder, orders_more=ORDERS, entries_more=FLAGGED) as stage:
        yield stage


def linked_numbers(page):
    """Return the (URL, number) of each link to a list whose text has one number.

    The links of a chart are times.
    """
    page = re.sub(r'<figure class="time-chart">.*?</figure>', "", page, flags=re.DOTALL)
    found = set()
    for url, content in _LINK.findall(page):
        numbers = _NUMBER.findall(re.sub(r"<[^>]+>", "", content))
        if len(numbers) == 1:
            found.add((html.unescape(url), number_of(numbers[0])))
    return found


async def counted(stage, path):
    """Return how many conversions a list has, or copies if it has what they repeat."""
    page = await page_of(stage, path)
    if "state=duplicate" in path:
        return sum(int(many) for many in re.findall(r">\+(\d+)\s+cop", page))
    return len(ROW.findall(page))


@pytest.mark.parametrize("path", PAGES)
async def test_each_number_with_a_link_is_the_length_of_its_list(stage, path):
    links = linked_numbers(await page_of(stage, path))

    assert links
    assert {(url, await counted(stage, url)) for url, _ in links} == links


async def test_numbers_of_unusual_amounts_are_the_lengths_of_their_lists(stage):
    numbers = set()
    for key in problem_rows(await page_of(stage, "/console/problems?kind=amount")):
        links = linked_numbers(await page_of(stage, f"/console/problems/{key}"))

        assert {(url, await counted(stage, url)) for url, _ in links} == links
        numbers |= {many for _, many in links}
    assert numbers == {1, 3}


async def test_sum_of_problems_on_home_is_that_of_the_problems_that_it_leads_to(stage):
    home = await page_of(stage, "/console?account=bolt")
    [(path, text)] = re.findall(r'id="problems"><a href="([^"]+)">([^<]+)</a>', home)
    pages = [
        await page_of(stage, f"{html.unescape(path)}&kind={kind}") for kind in ("refused", "held")
    ]

    many = [int(text) for page in pages for text in _HOW_MANY.findall(page)]
    assert sum(many) == sum(map(int, re.findall(r"\d+", text))) > 1


@pytest.mark.parametrize("state", ["flagged", "duplicate", "rejected", "held", "delivered"])
async def test_total_of_a_list_is_its_length(stage, state):
    page = await page_of(stage, f"/console/conversions?state={state}&pixel=q1")

    [many] = re.findall(r'id="total">\s*<strong>(\d+)</strong>', page)
    assert int(many) == len(ROW.findall(page)) > 0


async def test_flaws_of_stored_and_of_rejected_conversions_are_two_numbers(stage):
    page = await page_of(stage, "/console/match-keys?pixel=q1")
    rows = page.partition('id="problems"')[2].split("<tr")
    found = {
        code: sorted(many for _, many in linked_numbers(row))
        for row in rows
        for code in re.findall(r'<code class="faint">(\w+)</code>', row)
        if ">q1e<" not in row and "not in the settings" not in row
    }

    assert found == {"phone_unusable": [2, 2], "identifier_missing": [2], "upper_case_hash": [1]}


async def test_flaws_of_rejected_conversions_without_a_pixel_have_a_list(stage):
    page = await page_of(stage, "/console/match-keys")
    links = linked_numbers(page.partition('id="problems"')[2])

    assert {many for _, many in links} == {1}
    assert all("pixel=-" in url for url, _ in links)
