"""Every count of an account with several pixels leads to exactly the conversions that it counts."""

import csv
import html
import io
import re

import pytest
import pytest_asyncio
from agency_stage import PAUSED, ROW, agency_stage, counts_in, page_of
from problem_pages import problem_rows

from twite.app.store_access import open_records
from twite.domain.replay_batch import ReplayBatch

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory):
    async with agency_stage(tmp_path_factory.mktemp("account")) as stage:
        yield stage


async def counted(stage, path, *, name="ada"):
    """Return how many conversions a list has, or copies if it has what they repeat."""
    page = await page_of(stage, path, name=name)
    if "state=duplicate" in path:
        return sum(int(many) for many in re.findall(r">\+(\d+)\s+cop", page))
    return len(ROW.findall(page))


@pytest.mark.parametrize("name", ["ada", "two"])
async def test_each_count_of_an_account_is_the_length_of_its_list(stage, name):
    row = (await page_of(stage, "/console", name=name)).partition('id="account-acme"')[2]
    row = row.partition("</tr>")[0]
    page = await page_of(stage, "/console?account=acme", name=name)
    total = page.partition("<tfoot")[2].partition("</tfoot>")[0]
    whole = page.partition('id="all"')[2].partition("</div>")[0]
    found = [counts_in(text) for text in (row, total, whole)]

    # The page of an account that a viewer sees in part has fewer pixels, of which none is paused.
    waits = name == "ada"
    assert [len(counts) for counts in found] == [5 + waits, 5 + waits, 7 + waits]
    for path, many in (count for counts in found for count in counts):
        assert "account=acme" in path
        assert (path, await counted(stage, path, name=name)) == (path, many)


async def test_table_of_sources_accounts_for_all_of_its_conversions(stage):
    page = await page_of(stage, "/console?pixel=q5")
    row = next(row for row in page.partition('id="sources"')[2].split("<tr ") if ">agency<" in row)

    conversions, *ends, copies = [int(many) for _, many in counts_in(row)]
    assert conversions == sum(ends)
    assert len(ends) > 3
    assert copies == 1


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
    assert re.search(r"<div>\s*18\s*</div>", total)


async def test_account_is_a_filter_of_the_list_with_a_chip(stage):
    page = await page_of(stage, "/console/conversions?account=acme&state=rejected&when=today")

    assert len(ROW.findall(page)) == 3
    assert 'href="/console/conversions?state=rejected&amp;when=today"' in page
    assert '<option value="acme" selected>acme</option>' in page
    assert "bolt</option>" in page


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("account=acme&pixel=q1", 6),
        ("account=bolt&pixel=q1", 0),
        ("account=none", 0),
        ("account=acme&source=agency", 18),
        ("account=acme&source=shop", 0),
    ],
)
async def test_account_narrows_the_other_filters(stage, query, found):
    assert await counted(stage, f"/console/conversions?{query}") == found


@pytest.mark.parametrize(("account", "found"), [("acme", 6), ("bolt", 0)])
async def test_account_shows_only_the_pixels_of_its_viewer(stage, account, found):
    path = f"/console/conversions?account={account}"

    page = await page_of(stage, path, name="one")

    assert len(ROW.findall(page)) == found
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


@pytest.mark.parametrize("query", ["account=acme", "pixel=q1"])
async def test_refused_and_held_conversions_of_home_lead_to_lists_of_exactly_these(stage, query):
    home = await page_of(stage, f"/console?{query}")
    sentence = home.partition('id="problems"')[2].partition("</p>")[0]
    found = re.findall(r'href="([^"]+)">([0-9]+) (refused by X|held)</a>', sentence)

    assert [said for _, _, said in found] == ["refused by X", "held"]
    for path, many, said in found:
        state = "held" if said == "held" else "dead"
        assert f"state={state}" in path
        assert await counted(stage, html.unescape(path)) == int(many)


async def test_problems_of_an_account_lead_to_the_problem_the_plan_and_the_replay(stage):
    ada = await stage.signed_in("ada")
    home = await page_of(stage, "/console?account=bolt")
    [path] = re.findall(r'href="([^"]+)">Problems by cause</a>', home)
    assert path == "/console/problems?account=bolt"

    listed = await page_of(stage, path)
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

    [path] = re.findall(r'href="([^"]+)">All 3<', problem)
    assert await counted(stage, html.unescape(path)) == 3


async def test_conversions_of_an_account_are_linked_where_their_match_keys_are(stage):
    page = await page_of(stage, "/console/match-keys")
    row = next(row for row in page.split("<tr ") if "account=acme" in row)

    [(path, _)] = [count for count in counts_in(row) if "/conversions" in count[0]]
    assert "account=acme" in path


async def test_backlog_of_a_paused_pixel_is_called_paused(stage):
    page = await page_of(stage, f"/console?pixel={PAUSED[0]}")

    backlog = page.partition('id="backlog"')[2].partition("</table>")[0]
    assert "paused" in backlog
    assert "stalled" not in backlog
