"""A problem that a filtered list opens shows, plans and sends only what the filter chooses."""

import re
import time

import pytest
import pytest_asyncio
from console_stage import ConsoleStage
from problem_pages import problem_key

from builders import a_submission, an_entry
from twite.app.store_access import open_records
from twite.domain.cause import DeliveryCause
from twite.domain.pause import Cause, Pause
from twite.domain.replay_batch import ReplayBatch
from twite.domain.times import DAY
from twite.stores.sqlite import SQLiteStore

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROBLEMS = "/console/problems"
NOW = time.time_ns() // 1_000_000
# (pixel, source, how many days ago, conversions)
GROUPS = (("o8z6j", "shop", 0, 2), ("o6dkt", "shop", 0, 3), ("o6dkt", "client", 20, 4))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory):
    """A gateway without senders, with a problem of two pixels, two sources and two days."""
    stage = ConsoleStage(tmp_path_factory.mktemp("filters"))
    store = await SQLiteStore.open(str(stage.settings.store.path))
    for pixel in ("o8z6j", "o6dkt"):
        await store.put([Pause(pixel=pixel, since=NOW, cause=Cause.USER, reason="by hand")])
    for pixel, source, days, many in GROUPS:
        entries = [
            an_entry(
                f"{source}-{pixel}-{number}",
                index=number,
                pixel=pixel,
                event="o8z6k" if pixel == "o8z6j" else "o6dkv",
                held="no decision",
                cause=DeliveryCause.MAY_COUNT_TWICE,
            )
            for number in range(many)
        ]
        submission = a_submission(
            *entries, receipt=f"{source}{pixel}", source=source, received_at=NOW - days * DAY
        )
        await store.record(submission)
    await store.close()
    await stage.start()
    yield stage
    await stage.stop()


def _ids(page):
    return {
        f"{source}-{pixel}-{number}"
        for pixel, source, _, many in GROUPS
        for number in range(many)
        if f"{source}-{pixel}-{number}" in page
    }


@pytest.mark.parametrize(
    ("query", "count"),
    [("pixel=o8z6j", 2), ("source=client", 4), ("when=7d", 5), ("pixel=o6dkt&when=7d", 3)],
)
async def test_filter_of_the_list_reaches_the_problem_the_plan_and_the_replay(stage, query, count):
    olga = await stage.signed_in("olga")
    listed = (await olga.get(f"{PROBLEMS}?{query}")).text
    key = await problem_key(olga, "X may already have the conversion")
    link = f"{PROBLEMS}/{key}?{query}"
    form = dict(pair.split("=") for pair in query.split("&"))
    form |= {"problem": key, "which": "all"}

    problem = (await olga.get(link)).text
    plan = " ".join((await olga.post(f"{PROBLEMS}/plan", form)).text.split())
    await olga.post(f"{PROBLEMS}/replays", form)
    async with open_records(stage.settings) as records:
        *_, batch = await records.load(ReplayBatch)

    assert link.replace("&", "&amp;") in listed
    assert re.search(rf"<strong><a [^>]*>{count}</a></strong>", problem)
    assert len(_ids(problem)) == count
    assert "Active filters" in problem
    assert all(f'name="{name}" value="{form[name]}"' in problem for name in form if name != "which")
    assert f"{count} of {count} conversions" in plan
    assert all(f'name="{name}" value="{form[name]}"' in plan for name in form)
    assert batch.total == count


async def test_export_of_a_problem_has_only_what_its_list_has(stage):
    olga = await stage.signed_in("olga")
    key = await problem_key(olga, "X may already have the conversion")
    form = {"problem": key, "pixel": "o6dkt", "when": "7d"}

    rows = (await olga.post("/console/conversions/export", form)).text

    assert _ids(rows) == {f"shop-o6dkt-{number}" for number in range(3)}


async def test_plan_names_the_filter(stage):
    olga = await stage.signed_in("olga")
    key = await problem_key(olga, "X may already have the conversion")
    form = {"problem": key, "which": "all", "pixel": "o6dkt", "when": "7d"}

    plan = (await olga.post(f"{PROBLEMS}/plan", form)).text

    assert "pixel o6dkt, last refused or held: last 7 days" in plan
    assert "to several pixels" not in plan


@pytest.mark.parametrize(
    ("kind", "label"),
    [
        ("", "Last refused or held"),
        ("refused", "Last refused"),
        ("held", "Last held"),
        ("rejected", "Received"),
        ("amount", "Received"),
    ],
)
async def test_time_range_says_what_it_limits(stage, kind, label):
    page = (await (await stage.signed_in("vic")).get(f"{PROBLEMS}?kind={kind}&when=7d")).text

    assert f'<label>{label}<select name="when"' in page
    assert f'<span class="faint">{label}</span> Last 7 days' in page


async def test_time_range_of_a_problem_says_what_it_limits(stage):
    vic = await stage.signed_in("vic")
    key = await problem_key(vic, "X may already have the conversion")

    page = (await vic.get(f"{PROBLEMS}/{key}?when=7d")).text

    assert '<span class="faint">Last held</span> Last 7 days' in page


async def test_plan_for_several_pixels_says_so_before_it_is_sent(stage):
    olga = await stage.signed_in("olga")
    key = await problem_key(olga, "X may already have the conversion")

    plan = (await olga.post(f"{PROBLEMS}/plan", {"problem": key, "which": "all"})).text

    said = plan.index("These conversions are of 2 pixels")
    assert said < plan.index("again to 2 pixels</button>")


async def test_time_range_of_a_plan_stays_the_same_until_it_is_sent(stage):
    olga = await stage.signed_in("olga")
    key = await problem_key(olga, "X may already have the conversion")
    form = {"problem": key, "which": "all", "when": "7d"}

    plan = (await olga.post(f"{PROBLEMS}/plan", form)).text
    since = int(plan.split('name="since" value="')[1].split('"')[0])
    later = form | {"since": str(since), "until": str(NOW - DAY)}
    answer = await olga.post(f"{PROBLEMS}/replays", later)

    assert NOW - 7 * DAY <= since < NOW - 5 * DAY
    assert answer.status == 409


async def test_filter_that_no_conversion_of_the_problem_matches_can_be_removed(stage):
    olga = await stage.signed_in("olga")
    key = await problem_key(olga, "X may already have the conversion")

    page = (await olga.get(f"{PROBLEMS}/{key}?from=2020-01-01&to=2020-01-02")).text

    assert "No match." in page
    assert "Plan the replay" not in page
    assert f'href="{PROBLEMS}/{key}"' in page


async def test_discarding_takes_only_what_the_filter_chooses(stage):
    olga = await stage.signed_in("olga")
    key = await problem_key(olga, "X may already have the conversion")
    form = {"problem": key, "which": "all", "source": "client", "pixel": "o8z6j", "note": "why"}

    answer = await olga.post(f"{PROBLEMS}/discard", form)

    assert answer.status == 409
