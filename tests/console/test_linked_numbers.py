"""Every number that is a link leads to a list with exactly that number."""

import hashlib
import html
import re
import time

import msgspec
import pytest
import pytest_asyncio
from agency_stage import ROW, agency_stage, an_order, number_of, page_of
from problem_pages import problem_rows

from builders import a_conversion, an_entry
from twite.domain.stats.value_guard import ValueFlag
from twite.x.encode import conversion_body

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
    *(
        "/console",
        "/console?pixel=q1",
        "/console?pixel=q2",
        "/console?pixel=q5",
        "/console?account=bolt",
    ),
    *("/console/sources", "/console/sources/agency", "/console/pixels/q1"),
    "/console/match-keys",
    "/console/match-keys?account=acme",
    "/console/match-keys?pixel=q1",
    "/console/match-keys?pixel=q1&days=90",
    *("/console/deduplication", "/console/deduplication?pixel=q1"),
    *("/console/problems", "/console/problems?pixel=q1", "/console/problems?account=bolt"),
    *("/console/problems?source=agency&when=today", "/console/problems?kind=held"),
)
FLAGGED = [
    msgspec.structs.replace(
        an_entry(f"flagged-{number}", pixel="q1", event="q1e"),
        key_set=0,
        flag=ValueFlag(kind="outlier", value="900", currency=currency, usual=f"50 {currency}"),
    )
    for number, currency in enumerate(("EUR", "EUR", "EUR", "USD"))
]
# What was received yesterday, and delivered today.
LATE = [
    msgspec.structs.replace(
        an_entry(f"late-{number}", pixel="q2", event="q2e"),
        key_set=0,
        body=conversion_body(
            msgspec.structs.replace(
                a_conversion(f"late-{number}", pixel="q2", event="q2e"),
                time=time.time_ns() // 1_000_000,
            )
        ),
    )
    for number in range(3)
]
_LINK = re.compile(
    r'<a [^>]*href="(/console/conversions\?[^"]*|/console/conversions)"[^>]*>(.*?)</a>', re.DOTALL
)
_HOW_MANY = re.compile(r'data-label="How many"[^>]*><div><strong>\s*<a [^>]*>(\d+)<')
_TOTAL = re.compile(r'id="total">\s*<strong>(\d+)</strong>')
_NUMBER = re.compile(r"(?<![\w.-])[\d\N{NARROW NO-BREAK SPACE}]+(?![\w.%-]| %)")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory):
    folder = tmp_path_factory.mktemp("numbers")
    async with agency_stage(
        folder, orders_more=ORDERS, entries_more=FLAGGED, entries_of_yesterday=LATE
    ) as stage:
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


def ids_of(page):
    """Return the conversion ids of a page's table."""
    cells = re.findall(
        r'data-label="Conversion id" class="main id"><div>(.*?)</div>', page, re.DOTALL
    )
    return sorted(re.sub(r"<[^>]+>", "", cell).strip() for cell in cells)


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


@pytest.mark.parametrize("query", ["", "pixel=q1", "account=bolt", "source=agency&when=today"])
@pytest.mark.parametrize("kind", ["refused", "held", "rejected", "amount"])
async def test_number_of_each_problem_leads_to_a_list_of_exactly_its_conversions(
    stage, kind, query
):
    rows = problem_rows(await page_of(stage, f"/console/problems?kind={kind}&{query}"))
    for key in rows:
        problem = await page_of(stage, f"/console/problems/{key}?{query}")
        [(path, many)] = {*linked_numbers(problem)}
        listed = await page_of(stage, path)

        assert int(_TOTAL.findall(listed)[0]) == len(ROW.findall(listed)) == many > 0
        assert ids_of(listed) == ids_of(problem)
    assert rows or (kind, query) == ("amount", "account=bolt")


async def test_list_of_a_problem_says_which_one_and_leads_back(stage):
    (key,) = problem_rows(await page_of(stage, "/console/problems?kind=held"))

    page = await page_of(stage, f"/console/conversions?problem={key}&pixel=q1&when=today")

    assert f'href="/console/problems/{key}?pixel=q1&amp;when=today"' in page
    assert "Problem</span> X may already have the conversion" in page
    assert "Last held</span> Today" in page


async def test_list_of_a_problem_is_narrowed_further(stage):
    (key,) = problem_rows(await page_of(stage, "/console/problems?kind=held"))
    found = {
        query: len(ROW.findall(await page_of(stage, f"/console/conversions?problem={key}&{query}")))
        for query in ("event=q1e", "state=dead", "state=held", "state=duplicate", "test=only")
    }

    assert found == {
        "event=q1e": 1,
        "state=dead": 0,
        "state=held": 5,
        "state=duplicate": 0,
        "test=only": 0,
    }


async def test_list_of_a_solved_problem_says_so(stage):
    page = await page_of(stage, "/console/conversions?problem=0123456789ab")

    assert ROW.findall(page) == []
    assert "Nothing is left of this problem" in page


async def test_sum_of_problems_on_home_is_that_of_the_problems_that_it_leads_to(stage):
    home = await page_of(stage, "/console?account=bolt")
    sentence = home.partition('id="problems"')[2].partition("</p>")[0]
    [path] = re.findall(r'href="([^"]+)">Problems by cause</a>', sentence)
    pages = [
        await page_of(stage, f"{html.unescape(path)}&kind={kind}") for kind in ("refused", "held")
    ]

    many = [int(text) for page in pages for text in _HOW_MANY.findall(page)]
    assert sum(many) == sum(map(int, re.findall(r">(\d+) (?:refused|held)", sentence))) > 1


@pytest.mark.parametrize("state", ["flagged", "duplicate", "rejected", "held", "delivered"])
async def test_total_of_a_list_is_its_length(stage, state):
    page = await page_of(stage, f"/console/conversions?state={state}&pixel=q1")

    [many] = _TOTAL.findall(page)
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
