"""Each step of a chart is a link; if its value is a count, to a list of exactly that many."""

import html
import re

import msgspec
import pytest
import pytest_asyncio
from agency_stage import ROW, agency_stage, number_of, page_of
from problem_pages import problem_rows

from builders import an_entry
from twite.domain.stats.value_guard import ValueFlag

pytestmark = pytest.mark.asyncio(loop_scope="module")

_STEP = re.compile(
    r'<a href="([^"]+)" class="step"(?: tabindex="-1")?><title>([^<]+): ([^<:]+)</title>'
)
_NUMBER = re.compile(r"([\d\N{NARROW NO-BREAK SPACE}]+) (\w+)")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory):
    flagged = [
        msgspec.structs.replace(
            an_entry(f"flagged-{number}", pixel="q1", event="q1e"),
            key_set=0,
            flag=ValueFlag(kind="outlier", value="900", currency="EUR", usual="50 EUR"),
        )
        for number in range(2)
    ]
    folder = tmp_path_factory.mktemp("chart-links")
    async with agency_stage(folder, entries_more=flagged) as stage:
        yield stage


def steps_of(page, card):
    """Return the (URL, counts by series) of the steps of a chart."""
    plot = page.partition(f'id="{card}"')[2].partition("</figure>")[0]
    assert '<g class="step">' not in plot
    return [
        (html.unescape(url), {name: number_of(many) for many, name in _NUMBER.findall(values)})
        for url, _, values in _STEP.findall(plot)
    ]


async def listed(stage, path):
    return len(ROW.findall(await page_of(stage, path)))


@pytest.mark.parametrize("query", ["span=hour", "span=day&pixel=q1", "span=day&account=bolt"])
async def test_received_conversions_of_each_step_of_home_are_those_of_its_list(stage, query):
    steps = steps_of(await page_of(stage, f"/console?{query}"), "traffic-chart")
    received = [(url, counts["received"]) for url, counts in steps if counts["received"]]

    assert received
    assert [(url, await listed(stage, url)) for url, _ in received] == received


async def test_each_step_of_delivery_times_leads_to_delivered_conversions(stage):
    steps = steps_of(await page_of(stage, "/console?pixel=q1"), "latency-chart")

    assert len(steps) == 24
    assert [url for url, _ in steps if "state=delivered&pixel=q1&from=" not in url] == []
    assert sum([await listed(stage, url) for url, _ in steps[-2:]]) > 0


@pytest.mark.parametrize("query", ["", "account=acme", "pixel=q1&when=today", "source=agency"])
@pytest.mark.parametrize("kind", ["refused", "held", "rejected", "amount"])
async def test_count_of_each_day_of_a_problem_is_that_of_its_list(stage, kind, query):
    found = 0
    for key in problem_rows(await page_of(stage, f"/console/problems?kind={kind}&{query}")):
        page = await page_of(stage, f"/console/problems/{key}?{query}")
        steps = steps_of(page, "by-day")
        days = [(url, sum(counts.values())) for url, counts in steps if sum(counts.values())]

        assert len(steps) == 14
        assert [(url, await listed(stage, url)) for url, _ in days] == days
        found += len(days)

    assert found


async def test_days_of_a_problem_do_not_depend_on_the_time_range_of_its_page(stage):
    (key,) = problem_rows(await page_of(stage, "/console/problems?kind=held"))
    path = f"/console/problems/{key}"
    charts = [
        steps_of(await page_of(stage, f"{path}?pixel=q1{more}"), "by-day")
        for more in ("", "&from=2020-01-01&to=2020-01-02")
    ]

    assert charts[0] == charts[1]
