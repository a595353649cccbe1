"""A batch sender alone: which batches it bisects, and the result of each delivery."""

import asyncio

import pytest
from batch_sender_stage import (
    BAD,
    EVENT,
    FAILED,
    LIMITED,
    NOT_YOU,
    OTHER,
    PAGE,
    SILENT,
    UNSENT,
    Stage,
)

from fakes import refused
from twite.domain.blame.bisect import ALIKE, CONTROLS
from twite.domain.blame.suspects import CERTAIN
from twite.domain.delivery import AMBIGUITY_WINDOW
from twite.domain.times import MINUTE

UNKNOWN_EVENT = refused(("NOT_FOUND", "no", "event_id"), status=404)


async def test_invalid_delivery_is_a_dead_letter_and_the_others_are_delivered():
    stage = Stage()
    stage.refuses(3)

    assert await stage.take(1, 2, 3, 4) == [(1, 2, 3, 4), (1, 2), (3, 4), (3,), (4,)]
    assert (stage.ended("given_up"), stage.ended("delivered")) == ([3], [1, 2, 4])
    assert [stage.triggers(id_) for id_ in (3, 4)] == [["given_up"], ["delivered"]]
    assert stage.evidence.limits() == {EVENT: 50}


async def test_bisection_counts_towards_the_rate_limit():
    stage = Stage(rate=100)
    stage.refuses(3)
    await stage.take(1, 2, 3, 4)

    assert stage.rate_limit.left() == 100 - 2 - 2 - 1 - 1


async def test_batch_of_a_paused_event_is_not_bisected():
    stage = Stage()

    async def pause(_ids):
        await stage.pause()
        return BAD

    stage.answer = pause

    assert await stage.take(1, 2) == [(1, 2)]
    assert stage.ended("postponed", 0) == [1, 2]


async def bisecting(stage, *ids, event=EVENT):
    """Begin a bisect that hangs in its second request; return what ends it, and its task."""
    go, hangs = asyncio.Event(), asyncio.Event()
    after = stage.answer

    async def hang(sent):
        if {*sent} == {*ids}:
            return BAD
        if {*sent} <= {*ids} and not go.is_set():
            hangs.set()
            await go.wait()
            return None
        return after(sent)

    stage.answer = hang
    task = asyncio.create_task(stage.take(*ids, event=event))
    await hangs.wait()
    return go, task


@pytest.mark.parametrize(("event", "wait"), [(EVENT, 0), (OTHER, MINUTE)])
async def test_second_bisection_waits_for_the_first(event, wait):
    stage = Stage(slots=2)
    stage.refuses(7)
    go, task = await bisecting(stage, 1, 2, event=event)
    stage.sent.clear()

    assert await stage.take(7, 8) == [(7, 8)]
    assert stage.ended("postponed", wait) == [7, 8]

    go.set()
    await task
    stage.sent.clear()
    assert await stage.take(7, 8) == [(7, 8), (7,), (8,)]


async def test_suspects_are_bisected_beside_another_bisection():
    stage = Stage(slots=2)
    await stage.suspect(7, 8)
    stage.refuses(7)
    go, task = await bisecting(stage, 1, 2)
    stage.sent.clear()

    assert await stage.take(7, 8) == [(7, 8), (7,), (8,)]

    go.set()
    await task


async def test_another_bisection_may_run_beside_suspects():
    stage = Stage(slots=2)
    await stage.suspect(1, 2)
    stage.refuses(7)
    go, task = await bisecting(stage, 1, 2)
    stage.sent.clear()

    assert await stage.take(7, 8) == [(7, 8), (7,), (8,)]

    go.set()
    await task


@pytest.mark.parametrize(("reason", "wait"), [("stop", 0), ("trip", 0), ("pause", MINUTE)])
@pytest.mark.parametrize("at", [1, 2])
async def test_bisection_ends_with_its_request(reason, wait, at):
    stage = Stage()

    async def end(ids):
        if len(stage.sent) == at:
            match reason:
                case "stop":
                    stage.sender.stopping = True
                case "trip":
                    await stage.current.hold("a user")
                case "pause" if at == 2:
                    await stage.pause()
                    return UNKNOWN_EVENT
        return BAD if 4 in ids else None

    stage.answer = end
    sent = await stage.take(1, 2, 3, 4)

    if at == 1 and reason == "pause":
        assert len(sent) > 2
        return
    assert sent == [(1, 2, 3, 4), (1, 2)][:at]
    assert stage.ended("postponed", wait) == [1, 2, 3, 4][2 * (at - 1) :]


async def test_bisection_stops_at_the_rate_limit_and_the_next_batch_is_half_as_large():
    stage = Stage(rate=40)
    stage.refuses(63)

    assert await stage.take(*range(64)) == [tuple(range(64)), tuple(range(32))]
    assert stage.ended("postponed", MINUTE) == list(range(32, 64))
    assert (stage.evidence.size.most, stage.rate_limit.left()) == (32, 8)


async def test_deliveries_denied_during_a_bisection_are_not_sent():
    stage = Stage()
    stage.refuses(4)
    stage.store.denied = {1, 2, 3}

    assert await stage.take(1, 2, 3, 4) == [(1, 2, 3, 4), (4,)]
    assert stage.ended("postponed", 0) == [1, 2, 3]
    assert stage.ended("given_up") == [4]


async def test_deliveries_that_become_too_old_during_a_bisection_are_not_sent():
    stage = Stage()
    old = stage.clock.now() - AMBIGUITY_WINDOW - 1
    stage.refuses(4)

    assert await stage.take(1, 2, 3, 4, ambiguous_since=old) == [(1, 2, 3, 4)]
    assert stage.ended("postponed", MINUTE) == [1, 2, 3, 4]


@pytest.mark.parametrize("answer", [FAILED, UNSENT, LIMITED, UNKNOWN_EVENT, SILENT])
async def test_bisection_of_refusals_ends_if_x_answers_otherwise(answer):
    stage = Stage()
    stage.answer = lambda ids: BAD if len(ids) == 4 else answer

    assert await stage.take(1, 2, 3, 4) == [(1, 2, 3, 4), (1, 2)]
    assert stage.ended("postponed", MINUTE) == [3, 4]
    assert not stage.ended("sending")
    assert {1, 2} <= stage.ends.keys()


@pytest.mark.parametrize("answer", [FAILED, SILENT])
async def test_suspects_that_x_first_refuses_and_then_fails_at_stay_queued(answer):
    stage = Stage()
    await stage.suspect(1, 2, 3, 4)
    stage.store.settlements.clear()
    stage.answer = lambda ids: BAD if len(ids) == 4 else answer

    assert await stage.take(1, 2, 3, 4) == [(1, 2, 3, 4), (1, 2)]
    assert stage.ended("postponed", MINUTE) == [1, 2, 3, 4]


async def test_failing_deliveries_are_isolated_by_a_bisection():
    stage = Stage()
    await stage.suspect(1, 2, 3)
    stage.refuses(2, 3, answer=FAILED)

    assert await stage.take(1, 2, 3) == [(1, 2, 3), (1,), (2,), (3,)]
    assert stage.triggers(1)[-1] == "delivered"
    assert stage.ends[2] == stage.ends[3] == ("postponed", 2_500)
    assert await stage.take(2, 3, 4, 5) == [(4, 5), (2,), (3,)]


async def test_deliveries_of_a_failing_batch_are_sent_one_by_one():
    stage = Stage()
    await stage.suspect(*range(30))
    stage.refuses(7, answer=FAILED)
    sent = await stage.take(*range(30))

    assert [ids for ids in sent if 7 in ids][1:] == [(5, 6, 7, 8, 9), (7,)]


async def test_deliveries_of_a_failing_batch_are_not_isolated():
    stage = Stage(rate=10)
    many = range(30)
    await stage.suspect(*many)
    stage.refuses(7, answer=FAILED)

    assert await stage.take(*many) == [tuple(many), tuple(range(5)), tuple(range(5, 10))]
    assert await stage.take(5, 6) == [(5, 6)]


async def test_equal_refusals_without_an_acceptance_pause_their_event():
    stage = Stage()
    many = ALIKE + CONTROLS
    stage.refuses(answer=BAD)
    await stage.take(*range(40))

    assert len(stage.ended("held")) == many
    assert len(stage.ended("postponed", 0)) == 40 - many
    assert set(stage.evidence.pauses) == {EVENT}


async def test_unsent_conversions_of_a_paused_event_are_dead_if_refused_again():
    stage = Stage()
    stage.refuses(answer=BAD)
    await stage.take(*range(40))
    rest = stage.ended("postponed", 0)
    stage.refuses(-1)
    await stage.take(900)
    stage.refuses(answer=BAD)

    await stage.take(*rest)

    assert stage.ended("given_up") == rest
    assert set(stage.evidence.pauses) == frozenset()


async def test_unsent_conversions_of_a_bisection_without_a_cause_are_evidence():
    stage = Stage(rate=24)
    rest = await partly_accepted(stage)

    for group in ([100, 101, 102, 103, 104], [*rest, 105]):
        stage.refuses(answer=BAD)
        for id_ in group:
            assert set(stage.evidence.pauses) == frozenset()
            await stage.take(id_)
        assert set(stage.evidence.pauses) == {EVENT}
        stage.refuses(-1)
        await stage.take(group[0] + 500)


async def partly_accepted(stage):
    """Bisect a batch until the rate limit is used up; return the deliveries that were not sent."""
    stage.refuses(15)
    await stage.take(*range(16))
    rest = stage.ended("postponed", MINUTE)
    assert rest == [12, 13, 14, 15]
    return rest


async def test_rest_of_a_partly_accepted_batch_is_not_a_probe():
    stage = Stage(rate=24)
    rest = await partly_accepted(stage)
    assert stage.skipped() == frozenset()

    await stage.pause()
    assert stage.skipped() == {*rest}

    # After another probe interval, any delivery may be the probe.
    await stage.wall.advance(2 * MINUTE)
    assert stage.skipped() == frozenset()


async def test_rest_of_a_partly_accepted_batch_may_be_a_probe_after_it_was_sent():
    stage = Stage(rate=24)
    await partly_accepted(stage)
    stage.refuses(answer=FAILED)
    await stage.take(12, 13)
    await stage.pause()

    assert stage.skipped() == {14, 15}


async def test_rest_of_a_batch_without_acceptance_may_be_a_probe():
    stage = Stage(rate=0)
    stage.refuses(1)
    await stage.take(1, 2, 3)
    await stage.pause()

    assert stage.ended("postponed", MINUTE) == [1, 2, 3]
    assert stage.skipped() == frozenset()


async def test_rest_of_a_partly_accepted_batch_does_not_pause_the_pixel():
    stage = Stage(rate=24)
    rest = await partly_accepted(stage)
    await stage.wall.advance(15 * MINUTE)
    stage.refuses(answer=PAGE)
    await stage.take(*rest)

    assert not stage.evidence.breaker.is_paused
    assert stage.ended("postponed") == rest
    assert all(0 <= wait < 5_000 for trigger, wait in stage.ends.values() if trigger == "postponed")


@pytest.mark.parametrize(
    ("answer", "tripped"), [(NOT_YOU, True), (PAGE, False)], ids=["401", "HTML"]
)
async def test_batch_refused_for_the_pixel_is_returned_to_the_queue_at_once(answer, tripped):
    stage = Stage()
    stage.refuses(answer=answer)
    await stage.take(*range(20))

    assert stage.ended("postponed", 0) == list(range(20))
    assert stage.evidence.breaker.is_paused
    assert stage.evidence.breaker.is_tripped is tripped or answer is NOT_YOU


async def test_delivery_refused_without_a_clear_scope_is_tried_alone_later():
    stage = Stage()
    stage.refuses(3, answer=PAGE)
    await stage.take(1, 2, 3, 4)

    assert stage.ended("delivered") == [1, 2, 4]
    assert stage.ends[3] == ("postponed", 2_500)
    assert not stage.evidence.breaker.is_paused
    assert await stage.take(3, 5) == [(5,), (3,)]
    assert stage.ends[3] == ("postponed", 5_000)


async def test_delivery_that_x_keeps_refusing_is_a_dead_letter():
    stage = Stage()
    stage.refuses(3, answer=PAGE)
    await stage.take(1, 2, 3, 4)
    waits = []
    for turn in range(CERTAIN - 1):
        stage.refuses(-1)
        for _ in range(10):
            await stage.accept_another()
        stage.refuses(3, answer=PAGE)
        waits.append(stage.ends[3][0])
        await stage.take(3, 100 + turn)

    assert waits == ["postponed"] * (CERTAIN - 1)
    assert stage.ends[3] == ("given_up", "403")
    assert not stage.evidence.breaker.is_paused


async def test_delivery_of_a_paused_event_refused_without_a_clear_scope_is_held():
    stage = Stage()
    await stage.isolate(3, answer=PAGE)
    await stage.pause()
    stage.refuses(answer=PAGE)
    await stage.take(3)

    how, why = stage.ends[3]
    assert how == "held"
    assert why.startswith("all conversions refused alike")


async def test_conversions_refused_for_different_reasons_are_judged_separately():
    stage = Stage()

    def answer(ids):
        if 3 in ids:
            return PAGE
        return BAD if 2 in ids else None

    stage.answer = answer
    await stage.take(1, 2, 3, 4)

    assert stage.ended("given_up") == [2]
    assert stage.ends[3] == ("postponed", 2_500)
    assert stage.ended("delivered") == [1, 4]
