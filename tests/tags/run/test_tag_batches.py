"""Batches of a tag, without an engine: which deliveries run, and how each is settled."""

import asyncio

import pytest
from scripted_run import Silent, turn
from tag_batch_stage import BUSY, FAILED, LOST, Seal, SenderStage, waits

from builders import NOW
from fakes import settled
from twite.domain.alert import AlertKind
from twite.domain.errors import NotOpened
from twite.gateway.ports.events import ConditionChanged
from twite.gateway.ports.transport import NoResponse, Response
from twite.tags.ports.tags import ContainerConfig, RepeatPolicy
from twite.tags.run.outcome import MOST_TRIES


async def test_each_delivery_of_a_batch_is_run_and_recorded():
    stage = SenderStage(turns={"main": [turn(took=0.1)]})
    await stage.take(7, 8)

    assert stage.ends == [(7, "delivered", None), (8, "delivered", None)]
    attempt = stage.attempts[0]
    assert (attempt.outcome, attempt.deliveries, attempt.at) == ("delivered", (7,), NOW)
    assert (attempt.pixel, attempt.event) == ("tag:crm", "purchase")
    first = stage.attempted[0]
    assert (first.pixel, first.event, first.outcome, first.status) == (
        "tag:crm", "purchase", "delivered", None,
    )  # fmt: skip
    assert (first.conversions, first.took, first.reason) == (1, 0, "")
    assert (first.ambiguous, first.again) == (False, 0)
    assert stage.runs == [("tag:crm", False)] * 2
    assert stage.store.settlements[0].lease_until == NOW + 60_000
    assert stage.problems == []


async def test_delivery_has_the_same_seed_in_each_run():
    stage = SenderStage()
    for id_ in (7, 7, 8):
        await stage.take(id_)

    seeds = [call.seed for _, call in stage.started]
    assert seeds[0] == seeds[1] != seeds[2]
    assert all(1 < seed < 1 << 48 for seed in seeds)


async def test_seed_of_the_first_turn_is_used_by_the_delivery():
    stage = SenderStage(payload={"seed": 99})
    await stage.take()

    assert [call.seed for _, call in stage.started] == [99]


async def test_duration_of_a_run_is_recorded():
    stage = SenderStage()

    async def slowly():
        await stage.wall.advance(250)
        return turn()

    stage.turns["main"] = [slowly]
    await stage.wall.advance(1_000)
    await stage.take(ambiguous_since=NOW - 1)

    assert [(each.took, each.again) for each in stage.attempted] == [(250, 1)]
    assert stage.attempts[0].at == NOW + 1_000


async def test_more_runs_are_claimed_while_they_stay_within_their_limits():
    stage = SenderStage()
    sizes = [stage.sender.current_evidence.evidence.size.most]
    for id_ in range(3):
        await stage.take(id_)
        sizes.append(stage.sender.current_evidence.evidence.size.most)
    stage.turns["main"] = [turn(error="the run took too much time")]
    await stage.take(9)

    assert sizes == [1, 2, 3, 3]
    assert stage.sender.current_evidence.evidence.size.most == 1


async def test_number_of_runs_in_progress_is_limited():
    stage, go, running = SenderStage(in_flight=2), asyncio.Event(), []

    async def held():
        running.append(1)
        await go.wait()
        return turn()

    stage.turns["main"] = [held] * 3
    taking = asyncio.create_task(stage.take(1, 2, 3))
    await settled()
    before = len(running)
    go.set()
    await taking

    assert (before, len(stage.ends)) == (2, 3)


async def test_sender_that_stops_queues_its_deliveries_again():
    stage = SenderStage()
    stage.sender.stopping = True
    await stage.take()

    assert (stage.ends, stage.order) == ([(7, "postponed", 0)], [])


async def test_delivery_of_a_tag_on_probation_waits():
    stage = SenderStage()
    stage.trials.lose("tag crm", LOST)
    rest = stage.trials.rest("tag crm")
    await stage.take()

    assert rest == 9_500
    assert stage.ends == [(7, "postponed", rest)]
    assert (stage.order, stage.current.wait()) == ([], rest)


async def test_tag_that_exceeds_a_limit_starts_its_probation():
    stage = SenderStage(turns={"main": [turn(error="the run took too much time", took=0.2)]})
    await stage.take()

    assert stage.runs == [("tag:crm", True)]
    assert stage.trials.rest("tag crm") == stage.current.wait() == 3_800
    assert stage.current.probes


async def test_variable_that_exceeds_a_limit_starts_the_probation_of_its_tag():
    stage = SenderStage(turns={"segment": [turn(error="no", spent=True, took=0.2)]})
    stage.looks_up("segment")
    stage.config = ContainerConfig(container=stage.container(), rules={"crm": stage.rule})
    await stage.take()

    assert stage.trials.rest("tag crm") == 3_800


async def test_tag_within_its_limits_is_not_slowed_down():
    stage = SenderStage()
    await stage.take()

    assert stage.trials.rest("tag crm") is None
    assert (stage.current.wait(), stage.current.probes) == (0, False)


async def test_sender_starts_with_one_run_at_a_time():
    breaker = SenderStage().sender.current_evidence

    assert (breaker.probes, breaker.wait()) == (True, 0)


async def test_delivery_whose_engine_crashed_is_held():
    stage = SenderStage(turns={"main": [LOST]})
    await stage.take()

    [(id_, how, why)] = stage.ends
    assert (id_, how) == (7, "held")
    assert "the process ended" in why
    assert stage.runs == [("tag:crm", True)]
    assert stage.trials.rest("tag crm") == 9_500
    assert [where for where, _ in stage.problems] == ["tag crm"]
    [alert] = [notice for notice in stage.notices if isinstance(notice, ConditionChanged)]
    assert (alert.kind, alert.subject) == (AlertKind.TEMPLATE_HUNG, "tag crm")
    # It is counted once: without `end`, no turn is in progress any more.
    await stage.wall.advance(9_500)
    assert stage.trials.begin("tag crm") == 0


async def test_failed_request_slows_the_tag_down():
    stage = SenderStage(BUSY, turns={"main": [waits(), FAILED]})
    stage.current.slow_down(None)
    await stage.take()

    assert stage.ends == [(7, "postponed", 2_500)]
    assert [(each.status, each.reason) for each in stage.attempted] == [
        (503, "the template reported failure (503)")
    ]
    assert stage.current.backs_off


@pytest.mark.parametrize(
    ("answers", "turns"),
    [
        ([], [turn()]),
        ([Response(status=422, headers={}, body=b"")], [waits(), FAILED]),
        ([], [FAILED]),
    ],
)
async def test_response_of_the_vendor_ends_the_back_off(answers, turns):
    stage = SenderStage(*answers, turns={"main": turns})
    stage.current.record_failure()
    await stage.take()

    assert not stage.current.backs_off
    assert not stage.current.probes


async def test_run_that_takes_too_long_slows_the_tag_down():
    stage = SenderStage(turns={"main": [waits()]}, timeout=20)
    stage.run_context = stage.with_web(Silent())
    stage.current.slow_down(None)
    await stage.take()

    assert stage.current.backs_off


async def test_tag_that_may_not_run_is_held_without_an_attempt():
    stage = SenderStage()
    stage.config = ContainerConfig(
        container=stage.container(paused=True), rules={"crm": stage.rule}
    )
    await stage.take()

    why = "the tag does not run: it is paused"
    assert (stage.ends, stage.attempts) == ([(7, "held", why)], [None])
    assert [each.reason for each in stage.attempted] == [why]


@pytest.mark.parametrize("body", [b"not json", b"\xff", b'{"at": "x"}'])
async def test_delivery_with_an_unreadable_payload_is_held(body):
    stage = SenderStage()
    await stage.take(body=body)

    [(_, how, why)] = stage.ends
    assert how == "held"
    assert why.startswith("the queued payload cannot be read: ")
    assert stage.trials.begin("tag crm") == 0


async def test_delivery_with_a_sealed_payload_is_held_without_its_key():
    stage = SenderStage(seal=Seal())
    stage.seal.error = NotOpened("tag:crm", key_id="k-1")
    await stage.take()

    assert stage.ends == [(7, "held", str(stage.seal.error))]


async def test_sealed_payload_is_opened_for_the_run():
    stage = SenderStage(seal=Seal())
    await stage.take()

    assert [call.event for _, call in stage.started] == [{"event_name": "x"}]


@pytest.mark.parametrize(
    ("attempts", "how"), [(MOST_TRIES - 2, "postponed"), (MOST_TRIES - 1, "given_up")]
)
async def test_delivery_whose_template_keeps_failing_is_dead(attempts, how):
    stage = SenderStage(turns={"main": [FAILED]})
    await stage.take(attempts=attempts)

    assert [end for _, end, _ in stage.ends] == [how]


async def test_ambiguous_run_of_a_cautious_tag_is_held():
    stage = SenderStage(
        NoResponse(reason="cut", left=True),
        turns={"main": [waits(), FAILED]},
        repeat=RepeatPolicy.AT_MOST_ONCE,
    )
    await stage.take()

    assert [how for _, how, _ in stage.ends] == ["held"]
    assert [each.ambiguous for each in stage.attempted] == [True]


async def test_deliveries_that_were_not_sent_are_queued_again_with_a_wait():
    stage = SenderStage()
    await stage.sender.give_back(stage.batch(7), [7], wait=500)
    await stage.sender.give_back(stage.batch(8), [8])

    assert stage.ends == [(7, "postponed", 500), (8, "postponed", 0)]
