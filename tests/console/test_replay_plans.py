"""Plans of replays: what changes nothing says so, and the way back keeps what was chosen."""

import re
import time

import pytest
import pytest_asyncio
from console_stage import ConsoleStage
from problem_pages import LEFT, problem_key, worked_off

from builders import a_submission, an_entry
from twite.domain.cause import DeliveryCause
from twite.domain.pause import Cause, Pause
from twite.domain.people.users import Role
from twite.domain.times import MINUTE
from twite.stores.sqlite import SQLiteStore

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROBLEMS = "/console/problems"
FUTILE = "Nothing changes: X would refuse these for the same reason."


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory):
    """A gateway without senders, with an event that X does not know, and a zero amount."""
    stage = ConsoleStage(tmp_path_factory.mktemp("plans"))
    store = await SQLiteStore.open(str(stage.settings.store.path))
    now = time.time_ns() // 1_000_000
    await store.put([Pause(pixel="o8z6j", since=now, cause=Cause.USER, reason="by hand")])
    unknown = [
        an_entry(f"unknown-{number}", index=number, held="404", cause=DeliveryCause.EVENT_UNKNOWN)
        for number in range(3)
    ]
    zero = an_entry("zero", index=3, held="zero", cause=DeliveryCause.AMOUNT_ZERO)
    await store.record(a_submission(*unknown, zero, received_at=now))
    await store.close()
    await stage.start()
    yield stage
    await stage.stop()


async def test_plan_that_changes_nothing_says_that_x_would_refuse_again(stage):
    olga = await stage.signed_in("olga")
    key = await problem_key(olga, "X does not know the event")
    form = {"problem": key, "which": "all"}

    same, currency = [
        " ".join((await olga.post(f"{PROBLEMS}/plan", form | more)).text.split())
        for more in ({}, {"currency": "GBP"})
    ]

    assert FUTILE in same
    assert "<button>Send 3 again unchanged: the cause at X is corrected</button>" in same
    assert FUTILE not in currency
    assert '<button class="main">Send 3 again</button>' in currency


async def test_operator_of_several_pixels_follows_and_cancels_a_replay_of_them(tmp_path):
    stage = ConsoleStage(tmp_path)
    store = await SQLiteStore.open(str(stage.settings.store.path))
    now = time.time_ns() // 1_000_000
    pixels = ("o8z6j", "o6dkt")
    for pixel in pixels:
        await store.put([Pause(pixel=pixel, since=now, cause=Cause.USER, reason="by hand")])
    entries = [
        an_entry(pixel, index=index, pixel=pixel, held="404", cause=DeliveryCause.EVENT_UNKNOWN)
        for index, pixel in enumerate(pixels)
    ]
    await store.record(a_submission(*entries, received_at=now))
    await store.close()
    await stage.start(
        people={
            "ada": (Role.ADMIN, None),
            "both": (Role.OPERATOR, [*pixels]),
            "cleo": (Role.OPERATOR, ["o6dkt"]),
        }
    )
    both, cleo = await stage.signed_in("both"), await stage.signed_in("cleo")
    key = await problem_key(both, "X does not know the event")
    form = {"problem": key, "which": "all", "currency": "GBP"}

    place = (await both.post(f"{PROBLEMS}/replays", form)).location
    page = await worked_off(both, place)
    hidden = await cleo.get(place)
    listed = [place in (await person.get(PROBLEMS)).text for person in (both, cleo)]
    cancelled = await both.post(f"{place}/cancel")

    await stage.stop()
    assert "of <code>o6dkt o8z6j</code>" in page
    assert (hidden.status, cancelled.status) == (404, 303)
    assert listed == [True, False]


async def test_edit_that_has_no_effect_changes_nothing(stage):
    olga = await stage.signed_in("olga")
    key = await problem_key(olga, "X does not know the event")

    plan = await olga.post(
        f"{PROBLEMS}/plan", {"problem": key, "which": "all", "drop": "search_string"}
    )

    assert FUTILE in plan.text


async def test_held_conversion_may_be_sent_unchanged(stage):
    olga = await stage.signed_in("olga")
    key = await problem_key(olga, "The amount is zero")

    page = await olga.post(f"{PROBLEMS}/plan", {"problem": key, "which": "all"})
    plan = " ".join(page.text.split())

    assert "Nothing changes" not in plan
    assert '<button class="main">Send 1 again' in plan


async def test_way_back_from_a_plan_keeps_what_was_chosen(stage):
    olga = await stage.signed_in("olga")
    key = await problem_key(olga, "X does not know the event")
    page = (await olga.get(f"{PROBLEMS}/{key}")).text
    ticked = re.findall(r'name="delivery" value="(\d+)"', page)[1]
    form = {
        "problem": key,
        "pixel": "o8z6j",
        "which": "ticked",
        "delivery": ticked,
        "currency": "GBP",
        "value": "49.90",
        "divide": "10",
        "drop": "description",
    }

    plan = (await olga.post(f"{PROBLEMS}/plan", form)).text
    (back,) = re.findall(r'<a class="button" href="([^"]+)">Back', plan)
    page = " ".join((await olga.get(back.replace("&amp;", "&"))).text.split())

    assert 'value="ticked" checked' in page
    assert re.findall(r'name="delivery" value="(\d+)" checked', page) == [ticked]
    assert re.search(r'name="currency" value="GBP"', page)
    assert re.search(r'name="value" value="49.90"', page)
    assert '<option value="10" selected>' in page
    assert '<option value="@today" selected>' not in page
    assert 'name="drop" value="description" checked' in page
    assert 'name="pixel" value="o8z6j"' in page


@pytest.mark.parametrize("do", ["plan", "replays", "discard"])
async def test_all_conversions_and_a_tick_are_refused_and_kept(stage, do):
    olga = await stage.signed_in("olga")
    key = await problem_key(olga, "X does not know the event")
    form = {"problem": key, "which": "all", "currency": "GBP", "note": "no longer needed"}
    page = (await olga.get(f"{PROBLEMS}/{key}")).text
    ticked = re.findall(r'name="delivery" value="(\d+)"', page)[1]

    answer = await olga.post(f"{PROBLEMS}/{do}", form | {"delivery": ticked})
    page = " ".join((await olga.get(answer.location)).text.split())

    assert answer.status == 303
    assert "you chose all conversions of the problem, and selected some" in page
    assert len(set(re.findall(r"unknown-\d", page))) == 3
    assert re.findall(r'name="delivery" value="(\d+)" checked', page) == [ticked]
    assert 'name="currency" value="GBP"' in page
    assert ('value="no longer needed"' in page) == (do != "replays")  # a plan has no note


@pytest.mark.parametrize("do", ["plan", "replays", "discard"])
async def test_selected_ones_without_a_tick_are_refused_and_what_was_typed_is_kept(stage, do):
    olga = await stage.signed_in("olga")
    key = await problem_key(olga, "X does not know the event")
    form = {"problem": key, "which": "ticked", "value": "49.90", "drop": "description"}

    answer = await olga.post(f"{PROBLEMS}/{do}", form | {"note": "no longer needed"})
    page = " ".join((await olga.get(answer.location)).text.split())

    assert answer.status == 303
    assert "you chose those selected below, and selected none" in page
    assert "those selected below<strong" in page
    assert "none is selected yet" in page
    assert len(set(re.findall(r"unknown-\d", page))) == 3
    assert 'value="ticked" checked' in page
    assert 'name="value" value="49.90"' in page
    assert 'name="drop" value="description" checked' in page
    assert ('value="no longer needed"' in page) == (do != "replays")  # a plan has no note


async def test_discard_without_a_note_keeps_ticks_and_edit(stage):
    olga = await stage.signed_in("olga")
    key = await problem_key(olga, "X does not know the event")
    page = (await olga.get(f"{PROBLEMS}/{key}")).text
    ticked = re.findall(r'name="delivery" value="(\d+)"', page)[1]
    form = {"problem": key, "which": "ticked", "delivery": ticked, "currency": "GBP"}

    answer = await olga.post(f"{PROBLEMS}/discard", form | {"pixel": "o8z6j", "note": " "})
    page = " ".join((await olga.get(answer.location)).text.split())

    assert "Enter a note." in page
    assert 'value="ticked" checked' in page
    assert "none is selected yet" not in page
    assert re.findall(r'name="delivery" value="(\d+)" checked', page) == [ticked]
    assert 'name="currency" value="GBP"' in page
    assert 'name="pixel" value="o8z6j"' in page


async def test_refused_mute_keeps_what_was_typed(stage):
    olga = await stage.signed_in("olga")
    key = await problem_key(olga, "X does not know the event")

    no_note = await olga.post(f"{PROBLEMS}/{key}/mute", {"for": "7d", "note": ""})
    first = (await olga.get(no_note.location)).text
    no_time = await olga.post(f"{PROBLEMS}/{key}/mute", {"for": "9d", "note": "on Monday"})
    second = (await olga.get(no_time.location)).text

    assert '<option value="7d" selected>' in first
    assert 'name="note" type="text" value="on Monday"' in second


async def test_replay_is_in_one_state_and_leads_to_its_conversions_and_all_problems(stage):
    olga = await stage.signed_in("olga")
    key = await problem_key(olga, "X does not know the event")

    started = await olga.post(f"{PROBLEMS}/replays", {"problem": key, "which": "all"})
    await worked_off(olga, started.location)
    replay = (await olga.get(started.location)).text
    listed = (await olga.get(PROBLEMS)).text.split("<h2>Latest replays</h2>")[1]
    queued = (await olga.get(f"{started.location}?of=queued")).text
    delivered = (await olga.get(f"{started.location}?of=delivered")).text

    assert '<span class="badge wait">running</span>' in replay
    assert '<span class="badge wait">running</span>' in listed
    assert f'<a href="{started.location}?of=queued#conversions">3</a>' in replay
    assert 'href="/console/problems">All problems</a>' in replay
    for page, expected in ((replay, 3), (queued, 3), (delivered, 0)):
        assert len(set(re.findall(r"unknown-\d", page))) == expected


async def test_replay_starts_what_its_plan_has_shown(stage):
    olga = await stage.signed_in("olga")
    reason = "404 later"
    store = stage.store
    first, second = (an_entry(f"later-{number}", held=reason) for number in (1, 2))
    now = time.time_ns() // 1_000_000
    await store.record(a_submission(first, receipt="later-1", received_at=now))
    key = await problem_key(olga, reason)

    plan = (await olga.post(f"{PROBLEMS}/plan", {"problem": key, "which": "all"})).text
    # One more is held while the user reads the plan.
    later = now + MINUTE
    await store.record(a_submission(second, receipt="later-2", received_at=later))
    form = plan.split(f'action="{PROBLEMS}/replays"')[1].split("</form>")[0]
    fields = re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', form)
    fields = [field for field in fields if field[0] != "form_token"]
    started = await olga.post(f"{PROBLEMS}/replays", fields)
    replay = await worked_off(olga, started.location)

    assert "Send 1 again" in plan
    assert "later-1" in replay
    assert "later-2" not in replay


async def test_replay_reloads_without_javascript_until_it_is_over(stage):
    olga = await stage.signed_in("olga")
    store = stage.store
    entry = an_entry("reloaded", held="404 reloaded")
    now = time.time_ns() // 1_000_000
    await store.record(a_submission(entry, receipt="reloaded", received_at=now))
    key = await problem_key(olga, "404 reloaded")

    started = await olga.post(f"{PROBLEMS}/replays", {"problem": key, "which": "all"})
    running = await worked_off(olga, started.location)
    await olga.post(f"{started.location}/cancel")
    over = (await olga.get(started.location)).text

    assert '<noscript><meta http-equiv="refresh" content="3"></noscript>' in running
    assert 'http-equiv="refresh"' not in over


async def test_solved_problem_leads_to_the_latest_replay_and_all_problems(stage):
    olga, client = await stage.signed_in("olga"), await stage.signed_in("client")
    key = await problem_key(olga, "The amount is zero")
    link = f"{PROBLEMS}/{key}"

    started = await olga.post(f"{PROBLEMS}/replays", {"problem": key, "which": "all"})
    await worked_off(olga, started.location)
    solved, of_client = await olga.get(link), await client.get(link)
    again = await olga.post(f"{PROBLEMS}/plan", {"problem": key, "which": "all"})

    assert solved.status == 200
    assert LEFT in solved.text
    assert f'href="{started.location}"' in solved.text
    assert f'href="{PROBLEMS}">All problems' in solved.text
    assert "replays/" not in of_client.text
    assert again.status == 409


@pytest.mark.parametrize(
    ("part", "status", "said"),
    [
        ("0" * 12, 200, LEFT),
        ("plan", 404, "A plan is not kept. Make it again from its problem."),
        ("zzz", 404, "No problem has this address."),
    ],
)
async def test_address_without_a_problem_does_not_claim_that_one_was_solved(
    stage, part, status, said
):
    page = await (await stage.signed_in("olga")).get(f"{PROBLEMS}/{part}")

    assert page.status == status
    assert said in page.text
    assert "olved" not in page.text
    assert "all were sent" not in page.text
