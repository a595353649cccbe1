"""Decisions about held deliveries are audited. Those that X may count twice need confirmation."""

import sqlite3
import time
from contextlib import closing

import msgspec
import pytest
import pytest_asyncio
from console_stage import SETTINGS, ConsoleStage
from problem_pages import problem_key, worked_off

from builders import a_submission, an_entry
from twite.app.store_access import open_records
from twite.domain.delivery import Attempt, Settlement, Transition, Trigger
from twite.domain.pause import Cause, Pause
from twite.domain.times import HOUR, MINUTE
from twite.gateway.ports.outbox import Claim
from twite.gateway.ports.queries import AtRest
from twite.stores.sqlite import SQLiteStore

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROBLEMS = "/console/problems"
DOUBTFUL = "400 in doubt"
LETTERS = "422 no thanks"


async def chosen(person, reason, **more):
    """Return the form that chooses all conversions of the problem with a reason."""
    return {"problem": await problem_key(person, reason), "which": "all"} | more


async def started(person, form):
    """Start a replay, and wait until all its parts are worked off."""
    answer = await person.post(f"{PROBLEMS}/replays", form)
    assert answer.status == 303, answer.text
    return await worked_off(person, answer.location)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def with_held_deliveries(tmp_path_factory):
    """A gateway with many held deliveries, and without senders."""
    cautious = SETTINGS.replace('id = "o6dkt"', 'id = "o6dkt"\non_ambiguous = "hold"')
    stage = ConsoleStage(tmp_path_factory.mktemp("resting"), cautious)
    store = await SQLiteStore.open(str(stage.settings.store.path))
    now = time.time_ns() // 1_000_000
    await store.put([Pause(pixel="o8z6j", since=now, cause=Cause.USER, reason="by hand")])
    for name in ("doubtful-1", "doubtful-2"):
        await _make_ambiguous(store, name, since=now - 60 * HOUR, reason=DOUBTFUL)
    await _make_ambiguous(store, "in-time-1", since=now - 39 * HOUR, reason="400 in time")
    await _make_ambiguous(store, "at-most-once", since=now, reason="400 later", pixel="o6dkt")
    for reason in ("as it is", "mended", "given up", "gone", "by nobody", "cancelled"):
        entry = an_entry(f"order {reason}", held=reason)
        await store.record(a_submission(entry, receipt=reason, received_at=now))
    letter = msgspec.structs.replace(
        an_entry("letter-1", pixel="tag:crm", held=LETTERS), body=b'{"value":4990}'
    )
    await store.record(a_submission(letter, receipt="letter", received_at=now))
    await store.close()
    await stage.start()
    yield stage
    await stage.stop()


async def _make_ambiguous(store, name, *, since, reason, pixel="o8z6j"):
    """Make a dead letter out of a delivery that X may have received earlier."""
    await store.record(a_submission(an_entry(name, pixel=pixel), receipt=name, received_at=since))
    for outcome, transition, ambiguous in (
        ("errored", Trigger.POSTPONED, True),
        ("rejected", Trigger.GIVEN_UP, False),
    ):
        batch = await store.claim(
            Claim(pixel=pixel, now=since, lease_until=since + MINUTE, limit=1, ambiguous_after=0)
        )
        ids = tuple(delivery.id for delivery in batch.deliveries)
        await store.settle(
            Settlement(
                lease=batch.lease,
                attempt=Attempt(
                    at=since, pixel=pixel, event="o8z6k", outcome=outcome, deliveries=ids,
                    status=None if ambiguous else 400, ambiguous=ambiguous,
                ),
                transitions=(
                    Transition(trigger=transition, deliveries=ids, due_at=since, reason=reason),
                ),
                lease_until=since + MINUTE,
            )
        )  # fmt: skip


async def delivery_states(stage):
    async with open_records(stage.settings) as records:
        return {
            history.conversion_id: history
            for history in await records.find(AtRest(pixel=None, limit=99))
        }


def ambiguous_since(stage, name):
    """Return the time since which, in the gateway's view, X may have the conversion."""
    with closing(sqlite3.connect(stage.settings.store.path)) as store:
        (found,) = store.execute(
            "SELECT ambiguous_since FROM outbox JOIN conversion USING (id) "
            "WHERE CAST(conversion_id AS TEXT) = ?",
            (name,),
        ).fetchone()
    return found


async def audited(stage):
    """Return who did what, newest last, without sign-ins."""
    async with open_records(stage.settings) as records:
        entries = await records.people.audit(limit=1_000)
    reported = [
        (
            entry.audit_event.who,
            entry.audit_event.what,
            entry.audit_event.subject,
            entry.audit_event.detail,
        )
        for entry in entries
    ]
    return [entry for entry in reversed(reported) if entry[1] != "sign_in"]


async def test_expired_ambiguous_delivery_is_replayed_only_with_confirmation(with_held_deliveries):
    olga = await with_held_deliveries.signed_in("olga")
    form = await chosen(olga, DOUBTFUL)

    plan = (await olga.post(f"{PROBLEMS}/plan", form)).text
    unsure = await started(olga, form)
    wrong = await started(olga, form | {"may_count_twice": "no"})
    still = await delivery_states(with_held_deliveries)
    before = await audited(with_held_deliveries)
    await started(olga, form | {"may_count_twice": "yes"})

    assert 'type="checkbox" name="may_count_twice" value="yes"' in plan
    assert "X could count 2 of them twice" in plan
    for page in (unsure, wrong):
        assert "2: it may count twice, and nobody confirmed that" in page
    assert {"doubtful-1", "doubtful-2"} <= still.keys()
    assert "doubtful-1" not in await delivery_states(with_held_deliveries)
    assert ambiguous_since(with_held_deliveries, "doubtful-1") is None
    assert (await audited(with_held_deliveries))[len(before) :] == [
        (
            "olga",
            "replay",
            "o8z6j o8z6k",
            "2: doubtful-1, doubtful-2; for 400 in doubt; may count twice: confirmed",
        )
    ]


async def test_recent_ambiguous_delivery_is_replayed_as_ambiguous(with_held_deliveries):
    olga = await with_held_deliveries.signed_in("olga")
    before = ambiguous_since(with_held_deliveries, "in-time-1")

    await started(olga, await chosen(olga, "400 in time"))

    assert "in-time-1" not in await delivery_states(with_held_deliveries)
    assert ambiguous_since(with_held_deliveries, "in-time-1") == before
    assert before is not None


async def test_at_most_once_delivery_is_replayed_only_with_confirmation(with_held_deliveries):
    olga = await with_held_deliveries.signed_in("olga")
    form = await chosen(olga, "400 later")

    page = (await olga.get(f"{PROBLEMS}/{form['problem']}")).text
    unsure = await started(olga, form)
    still = await delivery_states(with_held_deliveries)
    await started(olga, form | {"may_count_twice": "yes"})

    assert "Twite repeats the request only if you confirm" in page
    assert "1: it may count twice, and nobody confirmed that" in unsure
    assert "at-most-once" in still
    assert "at-most-once" not in await delivery_states(with_held_deliveries)
    assert ambiguous_since(with_held_deliveries, "at-most-once") is None


async def test_every_decision_is_audited(with_held_deliveries):
    olga = await with_held_deliveries.signed_in("olga")
    before = len(await audited(with_held_deliveries))

    await started(olga, await chosen(olga, "as it is"))
    await started(olga, await chosen(olga, "mended", currency="GBP", divide="100"))
    given_up = await chosen(olga, "given up", note="shopper@shop.example asked")
    await olga.post(f"{PROBLEMS}/discard", given_up)
    await olga.post("/console/pixels/o6dkt/pause")
    await olga.post("/console/pixels/o6dkt/resume")

    assert (await audited(with_held_deliveries))[before:] == [
        ("olga", "replay", "o8z6j o8z6k", "1: order as it is; for as it is"),
        (
            "olga",
            "replay",
            "o8z6j o8z6k",
            "1: order mended; for mended; value divided by 100, currency GBP",
        ),
        ("olga", "discard", "o8z6j", "1: shopper@shop.example asked"),
        ("olga", "pixel.pause", "o6dkt", ""),
        ("olga", "pixel.resume", "o6dkt", ""),
    ]


async def test_nothing_is_discarded_without_a_note(with_held_deliveries):
    olga = await with_held_deliveries.signed_in("olga")
    before = await audited(with_held_deliveries)

    answer = await olga.post(f"{PROBLEMS}/discard", await chosen(olga, "by nobody", note=" "))

    assert "Enter a note." in (await olga.get(answer.location)).text
    assert await audited(with_held_deliveries) == before


async def test_note_in_the_audit_log_contains_no_personal_data(with_held_deliveries):
    ada = await with_held_deliveries.signed_in("ada")
    form = await chosen(ada, "by nobody", note="caller@shop.example asked")
    await ada.post(f"{PROBLEMS}/discard", form)

    page = (await ada.get("/console/people/audit")).text

    assert "1: *** asked" in page
    assert "caller@" not in page


@pytest.mark.parametrize("do", ["plan", "replays"])
@pytest.mark.parametrize(
    ("edit", "reported"),
    [
        ({"event_to": "o8zzz"}, "o8zzz is not an event of o8z6j"),
        ({"divide": "7"}, "Unknown change"),
        ({"drop": "everything"}, "Unknown change"),
    ],
)
async def test_edit_of_an_outdated_page_is_refused_and_sends_nothing(
    with_held_deliveries, do, edit, reported
):
    olga = await with_held_deliveries.signed_in("olga")

    answer = await olga.post(f"{PROBLEMS}/{do}", await chosen(olga, "gone", **edit))

    assert answer.status == 409
    assert reported in answer.text
    assert "order gone" in await delivery_states(with_held_deliveries)


@pytest.mark.parametrize(
    "edit", [{"value": "49.90", "currency": "EUR"}, {"event_to": "@today"}, {"drop": "value"}]
)
@pytest.mark.parametrize("do", ["plan", "replays"])
async def test_payload_of_a_tag_delivery_cannot_be_edited(with_held_deliveries, do, edit):
    olga = await with_held_deliveries.signed_in("olga")

    answer = await olga.post(f"{PROBLEMS}/{do}", await chosen(olga, LETTERS, **edit))

    assert answer.status == 409
    assert "Cannot be edited" in answer.text
    assert (await delivery_states(with_held_deliveries))["letter-1"].sent == b'{"value":4990}'


async def test_problem_of_a_tag_has_no_edit_form(with_held_deliveries):
    olga = await with_held_deliveries.signed_in("olga")

    letters = (await olga.get(f"{PROBLEMS}/{await problem_key(olga, LETTERS)}")).text
    other = (await olga.get(f"{PROBLEMS}/{await problem_key(olga, 'gone')}")).text

    assert "letter-1" in letters
    assert 'name="divide"' not in letters
    assert "Plan the replay" in letters
    assert 'name="divide"' in other


async def test_cancelled_replay_waits_for_a_decision_again(with_held_deliveries):
    olga = await with_held_deliveries.signed_in("olga")
    answer = await olga.post(f"{PROBLEMS}/replays", await chosen(olga, "cancelled"))
    before = await worked_off(olga, answer.location)

    await olga.post(f"{answer.location}/cancel")
    after = (await olga.get(answer.location)).text

    assert "Cancel the rest" in before
    assert "Cancel the rest" not in after
    assert '<span class="value">1</span><span class="name">taken back</span>' in after
    assert (await delivery_states(with_held_deliveries))["order cancelled"].reason == "cancelled"
    assert (await audited(with_held_deliveries))[-1][:2] == ("olga", "replay.cancel")
