"""A batch sender alone: what it sends first, what it returns to the queue, and when it stops."""

import msgspec
import pytest
from batch_sender_stage import (
    BAD,
    EVENT,
    FAILED,
    LARGE,
    LEASE,
    LIMITED,
    NOT_YOU,
    OTHER,
    PAGE,
    SILENT,
    Stage,
)

from builders import a_destination
from twite.domain.blame.circuit_breaker import PROBE_EVERY
from twite.domain.delivery import AMBIGUITY_WINDOW
from twite.domain.destination import PixelToken
from twite.domain.pause import Pause
from twite.domain.secret import Secret
from twite.domain.times import MINUTE
from twite.gateway.delivery.requests_in_flight import SLOW
from twite.x.spec import PIXEL_TOKEN_HEADER


async def test_accepted_batch_is_delivered_in_one_request():
    stage = Stage()

    assert await stage.take(1, 2, 3) == [(1, 2, 3)]
    assert stage.ended("delivered") == [1, 2, 3]
    [settlement] = stage.store.settlements
    assert settlement.lease_until == stage.clock.now() + LEASE
    assert (stage.evidence.limits(), stage.skipped_events()) == ({}, frozenset())


async def test_new_credentials_are_used_and_probed_at_once():
    stage = Stage()
    await stage.trip()
    await stage.pause()
    before = stage.current.wait(), stage.skipped_events()

    token = PixelToken(token=Secret("the new one"))
    stage.sender.use(msgspec.structs.replace(a_destination(), credentials=token))
    after = stage.current.wait(), stage.skipped_events()
    await stage.take(1)

    assert (before, after) == ((PROBE_EVERY, {EVENT}), (0, frozenset()))
    assert stage.headers[-1][PIXEL_TOKEN_HEADER] == "the new one"


async def test_accepted_batch_frees_its_slot_while_it_is_settled():
    stage, free = Stage(slots=2), []

    async def look():
        free.append(stage.sender.requests.free())

    stage.store.before = look
    await stage.take(1)

    assert free == [2]


async def test_only_one_delivery_of_a_paused_event_is_claimed():
    stage = Stage()
    await stage.pause()

    assert (stage.evidence.limits(), stage.skipped_events()) == ({EVENT: 1}, {EVENT})

    await stage.wall.advance(PROBE_EVERY)

    assert (stage.evidence.limits(), stage.skipped_events()) == ({EVENT: 1}, frozenset())
    stage.claim(1)
    assert stage.skipped_events() == {EVENT}


async def test_event_with_many_invalid_conversions_has_small_batches():
    stage = Stage()
    stage.refuses(3)
    await stage.take(*range(99))

    assert stage.evidence.limits() == {EVENT: 50}

    stage.refuses(-1)
    for _ in range(10):
        await stage.take(*range(1_000, 1_500))

    assert stage.evidence.limits() == {}


async def test_few_invalid_conversions_do_not_limit_batches():
    stage = Stage()
    stage.refuses(3)
    await stage.take(*range(200))

    assert (stage.ended("given_up"), stage.evidence.limits()) == ([3], {})


async def test_event_with_bad_responses_may_not_use_all_slots():
    stage = Stage(slots=2)
    await stage.suspect(1)
    stage.claim(7)

    assert stage.evidence.suspects.troubled == {EVENT}
    assert stage.skipped_events() == {EVENT}


async def test_failures_are_remembered_until_x_accepts_a_delivery():
    stage = Stage()
    stage.refuses(answer=FAILED)
    await stage.take(1, 2)
    failing = stage.evidence.failing, dict(stage.evidence.failed), stage.current.failed_but_one()
    await stage.accept_another()

    assert failing == ({EVENT}, {1: EVENT, 2: EVENT}, {1})
    assert (stage.evidence.failing, stage.evidence.failed) == (frozenset(), {})
    assert stage.evidence.suspects.known() == {1, 2}


async def test_batch_after_a_failure_is_small():
    stage = Stage()
    await stage.suspect(*range(80))
    stage.refuses(answer=SILENT)
    await stage.take(*range(80))

    assert stage.evidence.size.most == 10

    await stage.accept_another()

    assert stage.evidence.size.most == 20


async def test_requests_refused_for_their_size_get_smaller():
    stage = Stage()
    before = stage.evidence.size.most_bytes
    stage.answer = lambda ids: LARGE if len(ids) > 1 else None
    await stage.take(1, 2)

    assert stage.ended("delivered") == [1, 2]
    assert (before, stage.evidence.size.most_bytes) == (1_000_000, 50_000)


async def test_one_batch_with_suspects_is_in_flight_at_a_time():
    stage = Stage()
    await stage.suspect(1, 2)
    assert stage.skipped() == frozenset()

    stage.claim(1)
    assert stage.skipped() == {1, 2}


async def test_suspects_are_sent_after_the_other_deliveries():
    stage = Stage()
    await stage.suspect(1, 3)

    assert await stage.take(1, 2, 3, 4) == [(2, 4), (1, 3)]
    assert stage.ended("delivered")[:4] == [1, 2, 3, 4]


async def test_isolated_deliveries_are_sent_one_by_one_at_the_end():
    stage = Stage()
    await stage.isolate(1)
    await stage.isolate(2)

    assert await stage.take(1, 2, 3) == [(3,), (1,), (2,)]


async def test_isolated_deliveries_are_sent_after_the_suspects_if_x_is_slow():
    stage = Stage()
    await stage.isolate(1)
    await stage.isolate(2, answer=PAGE)
    await stage.suspect(3)

    # X answers a refusal at once.
    stage.store.settlements.clear()
    assert await stage.take(1, 2, 3) == [(3,), (2,)]
    assert stage.ends[1] == ("postponed", MINUTE)
    assert stage.triggers(2) == ["delivered"]


async def test_deliveries_denied_since_the_claim_are_not_sent():
    stage = Stage()
    await stage.suspect(1, 3)
    stage.store.denied = {3}

    assert await stage.take(1, 2, 3) == [(2,), (1,)]
    assert stage.store.asked == [[1, 3]]
    assert stage.ends[3] == ("postponed", 0)


async def test_batch_whose_deliveries_were_all_denied_is_not_sent():
    stage = Stage()
    await stage.suspect(1)
    stage.store.denied = {1}

    assert await stage.take(1, 2) == [(2,)]


def stop(stage):
    stage.sender.stopping = True


@pytest.mark.parametrize("takes", [SLOW - 1, SLOW])
async def test_suspects_are_not_sent_after_a_slow_request(takes):
    stage = Stage()
    await stage.isolate(1)
    await stage.suspect(2)
    stage.takes = takes

    assert await stage.take(1, 2, 3) == ([(3,), (2,)] if takes < SLOW else [(3,)])
    if takes == SLOW:
        assert stage.ends[2] == ("postponed", 0)


@pytest.mark.parametrize("reason", ["stop", "trip", "back off", "limit", "too old"])
async def test_rest_of_a_batch_is_returned_to_the_queue(reason):
    stage = Stage(rate=110)
    await stage.isolate(1)
    await stage.isolate(2)
    more = {}

    async def while_sending(_ids):
        match reason:
            case "stop":
                stage.sender.stopping = True
            case "trip":
                await stage.trip()
                return FAILED
            case "back off":
                return FAILED
            case "limit":
                stage.rate_limit.spend(stage.rate_limit.left())
        return None

    if reason == "too old":
        more = {"ambiguous_since": stage.clock.now() - AMBIGUITY_WINDOW - 1}
    stage.answer = while_sending

    assert await stage.take(1, 2, 3, **more) == [(3,)]
    assert stage.ended("postponed", 0) == [1, 2]


async def test_suspects_leave_the_slot_to_other_deliveries_of_their_event():
    stage, full = Stage(slots=2), []
    await stage.suspect(1, 2)

    def look(ids):
        full.append(stage.skipped_events())
        return BAD if 3 in ids else None

    stage.answer = look
    await stage.take(1, 2, 3)

    assert full == [{EVENT}, frozenset()]


async def test_suspects_leave_the_only_slot_to_another_event():
    stage, openings = Stage(slots=1), []
    await stage.suspect(1, 2)
    stage.refuses(-1)
    await stage.take(3)

    def look(_ids):
        openings.extend(stage.sender.requests.openings(500, troubled=frozenset()))

    stage.answer = look

    assert await stage.take(1, 2) == [(1, 2)]
    assert openings == [(500, {EVENT})]


@pytest.mark.parametrize("answer", [NOT_YOU, FAILED])
async def test_bisection_of_suspects_goes_on_while_the_pixel_is_paused_only_tentatively(answer):
    stage = Stage()
    await stage.suspect(1, 2)

    async def while_sending(ids):
        if ids == (1,):
            await stage.take(9, event=OTHER)
        return NOT_YOU if ids == (9,) else answer

    stage.answer = while_sending

    assert await stage.take(1, 2) == [(1, 2), (1,), (9,), (2,)]
    assert stage.evidence.breaker.pause is not None
    assert not stage.evidence.breaker.is_tripped


async def test_each_request_counts_towards_the_rate_limit():
    stage = Stage(rate=100)
    await stage.isolate(1)
    left = stage.rate_limit.left()
    await stage.take(1, 2, 3)

    assert stage.rate_limit.left() == left - 1  # the first group is counted with the claim


async def test_delivery_that_x_refuses_is_a_dead_letter():
    stage = Stage()
    stage.refuses(answer=BAD)
    await stage.take(1)

    assert stage.ended("given_up") == [1]
    assert stage.ends[1][1].startswith("400 INVALID_PARAMETER")


async def test_delivery_refused_for_the_pixel_is_tried_again():
    stage = Stage()
    stage.refuses(answer=NOT_YOU)
    await stage.take(1)

    assert stage.ends[1] == ("postponed", 0)
    assert stage.evidence.suspects.known() == frozenset()


async def test_suspect_that_fails_alone_is_isolated():
    stage = Stage()
    await stage.isolate(1)
    await stage.isolate(2)

    # Isolated deliveries are claimed one group at a time, others together.
    assert await stage.take(1, 2) == [(1,), (2,)]


async def test_delivery_that_fails_once_is_not_isolated():
    stage = Stage()
    await stage.suspect(1)
    await stage.suspect(2)

    assert await stage.take(1, 2) == [(1, 2)]


async def test_suspect_that_x_rate_limits_is_not_isolated():
    stage = Stage()
    await stage.suspect(1, 2)
    stage.refuses(answer=LIMITED)
    await stage.take(1)
    await stage.accept_another()

    assert await stage.take(1, 2) == [(1, 2)]


async def test_acceptance_ends_the_pause_of_its_event():
    stage = Stage()
    await stage.pause()
    await stage.take(1)

    assert set(stage.evidence.pauses) == frozenset()
    assert await stage.store.load(Pause) == []
    assert [(move.event, move.pixel) for move in stage.store.moves] == [(EVENT, "o8z6j")]


async def test_rate_limit_of_an_event_pauses_it():
    stage = Stage()
    stage.refuses(answer=LIMITED)
    await stage.take(1)

    assert set(stage.evidence.pauses) == {EVENT}


async def test_cautious_pixel_holds_ambiguous_deliveries():
    stage = Stage(cautious=True)
    stage.refuses(answer=SILENT)
    await stage.take(1, 2)

    assert stage.ended("held") == [1, 2]


async def test_retries_are_spread_at_random():
    stage = Stage()
    stage.draw = 0.25
    stage.refuses(answer=FAILED)
    await stage.take(1, 2)

    assert stage.ends[1] == ("postponed", 1_250)


async def test_deliveries_returned_to_the_queue_are_due_at_once():
    stage = Stage()
    batch = stage.claim(1, 2)
    await stage.sender.give_back(batch, [2])

    assert stage.ends == {2: ("postponed", 0)}


async def test_bad_responses_count_only_for_their_own_event():
    stage = Stage()
    await stage.suspect(1)

    assert OTHER not in stage.evidence.suspects.troubled
