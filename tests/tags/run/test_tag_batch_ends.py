"""Batches of a tag that fail or are interrupted, without an engine, and the tag's worker."""

import asyncio
from types import SimpleNamespace

import pytest
from scripted_run import Silent, turn
from tag_batch_stage import BUSY, SenderStage, unavailable, waits

from builders import NOW
from fakes import SeededRandomness, settled
from twite.tags.container.parts import Condition, ContainerTrigger, Operator
from twite.tags.container.plan import PendingTriggers
from twite.tags.ports.tags import ContainerConfig, RepeatPolicy
from twite.tags.run.batch_sender import TagWorkers
from twite.tags.run.outcome import MOST_LOOK_UPS
from twite.tags.run.payload import read


async def test_delivery_stays_leased_if_the_store_is_unavailable():
    stage = SenderStage()
    stage.store.before = unavailable
    await stage.take()

    assert (stage.ends, stage.problems) == ([], [("outbox", "disk full")])


@pytest.mark.parametrize("sends", [True, False])
async def test_internal_error_counts_as_a_crash_of_its_delivery(sends):
    turns = [waits(), ZeroDivisionError()] if sends else [ZeroDivisionError()]
    stage = SenderStage(turns={"main": turns})
    await stage.take()

    assert stage.ends == [(7, "expired", 0)]
    [attempt] = stage.attempts
    assert (attempt.outcome, attempt.ambiguous, attempt.at) == ("errored", sends, NOW)
    assert attempt.answer == "internal error in Twite: ZeroDivisionError"
    assert (attempt.pixel, attempt.event) == ("tag:crm", "purchase")
    assert stage.problems == [("tag", "ZeroDivisionError")]


async def test_internal_error_while_the_store_is_unavailable_is_reported_once():
    stage = SenderStage(turns={"main": [ZeroDivisionError()]})
    stage.store.before = unavailable
    await stage.take()

    assert stage.problems == [("tag", "ZeroDivisionError")]


async def cut_off(stage, *ids):
    taking = asyncio.create_task(stage.take(*ids))
    await settled()
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking


async def test_interrupted_run_is_queued_again_if_it_sent_no_request():
    async def hangs():
        await asyncio.Event().wait()

    async def slowly():
        await asyncio.sleep(0.01)

    stage = SenderStage(turns={"main": [waits(), hangs]}, in_flight=2)
    stage.run_context = stage.with_web(Silent())
    stage.store.before = slowly
    await cut_off(stage, 1, 2, 3)

    # All are returned when the batch ends.
    assert sorted(stage.ends) == [(2, "postponed", 0), (3, "postponed", 0)]
    assert len(asyncio.all_tasks()) == 1


async def test_interrupted_run_waits_at_most_a_second_for_the_store(monkeypatch):
    limits, timeout = [], asyncio.timeout

    async def hangs():
        await asyncio.Event().wait()

    stage = SenderStage(turns={"main": [hangs]})
    stage.store.before = hangs
    taking = asyncio.create_task(stage.take())
    await settled()
    monkeypatch.setattr(asyncio, "timeout", lambda seconds: limits.append(seconds) or timeout(0))
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking

    assert limits == [1]


class Deciding(SenderStage):
    """The tag's trigger needs a value from another server."""

    def __init__(self, *answers, **more):
        super().__init__(*answers, payload={"pending": PendingTriggers(triggers=("gold",))}, **more)
        self.looks_up("segment")
        gold = Condition(left="{{segment}}", operator=Operator.EQUALS, right="gold")
        self.triggers = (ContainerTrigger(name="gold", when=(gold,)),)
        self.config = ContainerConfig(container=self.container(), rules={"crm": self.rule})


async def test_decision_about_a_trigger_is_stored_in_its_own_payload_only():
    stage = Deciding(turns={"segment": [turn(returned="gold")]})
    await stage.take()

    [(write, after, limit)] = stage.store.rewritten
    body = stage.delivery().body
    assert (after, limit) == (6, 1)
    assert read(write("tag:crm", body), name="tag:crm").pending is None
    assert write("tag:crm", b"another") is None
    assert write("tag:ads", body) is None


async def test_tag_whose_trigger_does_not_match_has_no_attempt():
    stage = Deciding(turns={"segment": [turn(returned="silver")]})
    await stage.take()

    assert [how for _, how, _ in stage.ends] == ["not_fired"]
    assert (stage.attempts, stage.attempted, stage.runs) == ([None], [], [])


@pytest.mark.parametrize(
    ("attempts", "how"), [(MOST_LOOK_UPS - 2, "postponed"), (MOST_LOOK_UPS - 1, "delivered")]
)
async def test_failed_lookup_is_repeated_until_the_last_attempt(attempts, how):
    stage = Deciding(BUSY, turns={"segment": [waits(), turn(returned="gold")]})
    stage.current.slow_down(None)
    await stage.take(attempts=attempts)

    assert [end for _, end, _ in stage.ends] == [how]
    # Deliveries that need no lookup continue.
    assert not stage.current.backs_off


async def test_lookup_that_takes_too_long_slows_the_tag_down():
    stage = Deciding(turns={"segment": [waits()]}, timeout=20)
    stage.run_context = stage.with_web(Silent())
    await stage.take()

    assert stage.current.backs_off


async def test_run_of_a_preview_is_traced():
    stage, asked = SenderStage(payload={"preview": "p-1"}), []
    previews = SimpleNamespace(trace=asked.append)
    stage.run_context = stage.with_more(previews=previews)
    await stage.take()

    assert asked == ["p-1"]


@pytest.mark.parametrize(("limit", "lease"), [(5_000, 60_000), (30_000, 90_000)])
async def test_worker_of_a_tag_has_its_rule(limit, lease):
    stage = SenderStage(timeout=limit, repeat=RepeatPolicy.AT_MOST_ONCE, rate=9)
    workers = TagWorkers(
        [stage.config],
        run_context=stage.run_context,
        delivery_store=stage.store,
        clock=stage.monotonic,
        randomness=SeededRandomness(),
        observer=stage,
        seal=stage.seal,
    )
    worker = workers.make_worker("tag:crm", past=[(NOW, 4)], pauses=())
    handler = worker.batch_handler

    assert workers.rules == (stage.rule,)
    assert (worker.pixel, worker.cautious, worker.holding) == ("tag:crm", True, workers.holding)
    assert worker.holding is workers.holding
    assert (handler.lease, worker.worker_config.lease) == (lease, lease)
    assert (worker.worker_config.batch, worker.worker_config.in_flight) == (3, 2)
    assert worker.worker_config.linger == 20
    assert (worker.rate_limit.left(), worker.rate_limit.pixels) == (5, ["tag:crm"])
    assert handler.container_config is stage.config
    assert handler.current_evidence is worker.current_evidence
    assert handler.requests.free() == 2
