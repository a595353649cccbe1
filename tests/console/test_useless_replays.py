"""What X would refuse again whatever the edit, such as a wrong time, is offered no replay."""

import html
import re

import msgspec
import pytest
import pytest_asyncio
from agency_stage import agency_stage, page_of
from problem_pages import problem_key

from twite.app.store_access import open_records
from twite.console.remedies import remedy_of
from twite.domain.cause import DeliveryCause
from twite.domain.delivery import State
from twite.domain.history import History, PastAttempt
from twite.domain.replay_batch import ReplayBatch
from twite.domain.times import MINUTE, spelled

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROBLEMS = "/console/problems"
HELPS = "with the right time and the same conversion id, which replaces this one, or discard it"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory):
    """A gateway with conversions that are too old for X, and others that may be sent."""
    async with agency_stage(tmp_path_factory.mktemp("useless")) as stage:
        yield stage


async def refused_times(person):
    """Return the form that chooses the conversions whose time X refused."""
    return {"problem": await problem_key(person, "X does not accept the time"), "which": "all"}


@pytest.mark.parametrize("edit", [{}, {"value": "49.90"}])
async def test_plan_of_a_refused_time_offers_no_replay_and_says_what_helps(stage, edit):
    ada = await stage.signed_in("ada")

    answer = await ada.post(f"{PROBLEMS}/plan", await refused_times(ada) | edit)
    plan = " ".join(html.unescape(answer.text.partition("<main")[2]).split())

    assert "0 of 3 conversions would be sent again" in plan
    assert HELPS in plan
    assert "<button" not in plan
    assert ">Back</a>" in plan


async def test_problem_of_refused_times_offers_only_to_discard(stage):
    ada = await stage.signed_in("ada")

    page = (await ada.get(f"{PROBLEMS}/{(await refused_times(ada))['problem']}")).text

    assert HELPS in html.unescape(page)
    assert "Choose what to discard" in page
    assert 'formaction="/console/problems/discard"' in page
    assert "Plan the replay" not in page
    assert 'name="event_to"' not in page


async def replayed(stage):
    """Return how many conversions each replay has."""
    async with open_records(stage.settings) as records:
        return sorted(batch.total for batch in await records.load(ReplayBatch))


async def test_replay_of_refused_times_sends_nothing_and_says_what_helps(stage):
    ada = await stage.signed_in("ada")
    before = await replayed(stage)

    answer = await ada.post(f"{PROBLEMS}/replays", await refused_times(ada))
    page = (await ada.get(answer.location)).text

    assert "Nothing was sent. X refuses the time" in page
    assert HELPS in page
    assert await replayed(stage) == before


async def test_plan_of_refused_times_and_others_sends_only_the_others(stage):
    ada = await stage.signed_in("ada")
    pages = [
        (await ada.get(f"{PROBLEMS}/{await problem_key(ada, text)}")).text
        for text in ("X does not accept the time", "X may already have the conversion")
    ]
    ticked = [re.findall(r'name="delivery" value="(\d+)"', page)[0] for page in pages]
    fields = [("problem", (await refused_times(ada))["problem"]), ("which", "ticked")]
    fields += [("delivery", delivery) for delivery in ticked]

    before = await replayed(stage)
    plan = (await ada.post(f"{PROBLEMS}/plan", fields)).text
    await ada.post(f"{PROBLEMS}/replays", fields)

    assert "1 cannot be sent, and stay: X refuses the time" in plan
    assert "1 of 2 conversions would be sent again" in " ".join(plan.split())
    assert await replayed(stage) == [*before, 1]


async def test_conversion_with_a_refused_time_cannot_be_sent_again_from_its_page(stage):
    listed = await page_of(stage, "/console/conversions?state=dead&pixel=q1")
    [path] = re.findall(r'href="(/console/conversions/\d+)"', listed)

    page = await page_of(stage, path)
    await (await stage.signed_in("ada")).post(f"{path}/resend")
    after = await page_of(stage, path)

    assert HELPS in page
    assert "/resend" not in page
    assert "All with this problem" in page
    assert "Given up: what now?" in after


@pytest.mark.parametrize(("ahead", "may_help"), [(-1, False), (0, False), (MINUTE, True)])
async def test_time_that_was_ahead_may_be_sent_when_it_has_come(ahead, may_help):
    now = 1_764_000_000_000
    answer = '{"errors": [{"code": "INVALID_PARAMETER", "parameter": "conversion_time"}]}'
    history = History(
        delivery=1,
        pixel="q1",
        event="q1e",
        conversion_id="order-1",
        state=State.DEAD,
        source="agency",
        receipt="r",
        received_at=now,
        deadline_at=now,
        sent=msgspec.json.encode({"conversion_time": spelled(now + ahead)}),
        attempts=(PastAttempt(at=now, outcome="dead", status=400, answer=answer),),
    )
    remedy = remedy_of(DeliveryCause.REFUSED, State.DEAD, history)

    assert remedy.what == "X does not accept the time"
    assert (remedy.no_replay == "") is may_help
    assert ("when their time has come" in remedy.fix) is may_help
