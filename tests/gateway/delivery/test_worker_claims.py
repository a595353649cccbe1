"""A worker with a scripted queue and handler: what it claims, and how long it waits for more."""

import asyncio

import pytest
from worker_stage import EVENT, PIXEL, Stage, batch

from fakes import MovingClock, settled
from twite.domain.blame.rejection_stats import RejectionStats
from twite.domain.delivery import AMBIGUITY_WINDOW, MOST_BYTES, SETTLED_IN, SUSPECT
from twite.domain.times import MINUTE, SECOND
from twite.gateway.delivery.worker import FOREVER, IDLE, STORE_PAUSE, LingeringWorkers

NOTHING = frozenset()


async def test_nothing_is_claimed_if_the_rate_limit_allows_nothing(stage):
    stage.limit.allowed = 0
    await stage.start()

    assert (stage.claims, stage.notices) == ([], [])


@pytest.mark.parametrize("error", [None, ValueError("odd")])
async def test_batches_claimed_during_a_stop_return_to_the_queue(stage, error):
    stage.gate.clear()
    stage.handler.error = error
    stage.queue = [batch(1, 2), batch(2)]
    await stage.start()
    stage.worker.stop()
    stage.gate.set()
    await settled()
    await stage.clock.advance(STORE_PAUSE)

    assert stage.handler.returned == [(1, [0, 1]), (2, [0])]
    assert (stage.handler.taken, stage.worker.holding, stage.limit.spent) == ([], set(), [])
    assert len(stage.notices) == (error is not None)
    assert stage.running.done()


async def test_stop_waits_for_every_return_although_one_fails(stage):
    stage.gate.clear()
    returning = asyncio.Event()

    async def give_back(batch, deliveries):
        if batch.lease == 1:
            raise ValueError(deliveries)
        await returning.wait()

    stage.handler.give_back = give_back
    stage.queue = [batch(1), batch(2)]
    await stage.start()
    stage.worker.stop()
    stage.gate.set()
    await settled()
    await stage.clock.advance(STORE_PAUSE)
    before = stage.running.done(), set(stage.worker.holding)
    returning.set()
    await settled()
    await stage.clock.advance(STORE_PAUSE)

    assert (before, stage.running.done()) == ((False, {2}), True)
    assert stage.worker.holding == set()


@pytest.mark.parametrize(("waits", "rest"), [(0, IDLE), (3 * SECOND, 3 * SECOND)])
async def test_worker_that_only_probes_polls_when_a_probe_may_be_due(stage, waits, rest):
    stage.current.probes = stage.handler.separates_events = True
    stage.current.wait = lambda: waits
    await stage.start()
    await stage.clock.advance(rest - 1)
    before = stage.limit.looks
    await stage.clock.advance(1)

    assert (before, stage.limit.looks) == (1, 2)


@pytest.mark.parametrize("cautious", [False, True])
async def test_claim_has_the_limits_of_the_worker(cautious):
    stage = Stage(cautious=cautious)
    now = stage.clock.now()
    await stage.start()
    await stage.stop()

    [(claim, most), *_] = stage.claims
    assert (claim.pixel, claim.now, claim.lease_until) == (PIXEL, now, now + 3 * MINUTE)
    assert (claim.limit, claim.most_bytes, most) == (400, 1 << 20, 4)
    assert claim.ambiguous_after == (FOREVER if cautious else now - AMBIGUITY_WINDOW)
    assert not claim.suspects


async def test_suspects_are_claimed_after_the_first_leases_have_ended(stage):
    await stage.clock.advance(SETTLED_IN - 1)
    await stage.start()
    await stage.clock.advance(1)
    stage.worker.wake()
    await settled()

    assert [claim.suspects for claim, _ in stage.claims] == [False, True]


@pytest.mark.parametrize(
    ("allowed", "limit", "most"), [(399, 399, 1), (400, 400, 1), (800, 400, 2), (2_000, 400, 4)]
)
async def test_claims_stay_within_the_rate_limit(stage, allowed, limit, most):
    stage.limit.allowed = allowed
    await stage.start()

    assert [(claim.limit, most) for claim, most in stage.claims] == [(limit, most)]


@pytest.mark.parametrize("why", ["limits", "deliveries", "events", "suspects"])
async def test_one_batch_is_claimed_at_a_time_while_some_are_skipped(stage, why):
    match why:
        case "limits":
            stage.current.believe(stats={EVENT: RejectionStats(size=5)})
        case "suspects":
            stage.current.suspect(1)
        case _:
            setattr(stage.current, why, frozenset({EVENT}))
    await stage.start()

    assert [most for _, most in stage.claims] == [1]


@pytest.mark.parametrize(
    ("batch", "lingers"),
    [
        (batch(many=399), True),
        (batch(many=400), False),
        (batch(many=2, size=MOST_BYTES // 4), True),
        (batch(many=2, size=MOST_BYTES // 4 + 1), False),
        (batch(crashes=SUSPECT), False),
        (batch(crashes=SUSPECT - 1), True),
    ],
)
async def test_worker_waits_after_a_batch_that_was_not_full(stage, batch, lingers):
    stage.queue = [batch]
    await stage.start()
    before = len(stage.claims)
    await stage.clock.advance(200)

    assert (before == 1) == lingers
    assert len(stage.claims) == (2 if lingers else before)


def lingering(count, late=0):
    """Return other workers that linger, whose timers were late by the same time always."""
    workers = LingeringWorkers()
    workers.record(late, now=1 << 40)
    workers.count = count
    return workers


@pytest.mark.parametrize(("others", "wait"), [(0, 200), (199, 200), (200, 201), (2_000, 2_000)])
async def test_many_workers_wait_longer(others, wait):
    stage = Stage(lingering=lingering(others))
    await stage.clock.advance(SECOND)
    stage.queue = [batch()]
    await stage.start()
    during = stage.worker.worker_config.lingering.count
    await stage.clock.advance(wait - 1)
    before = len(stage.claims)
    await stage.clock.advance(1)

    assert (before, len(stage.claims)) == (1, 2)
    assert (during, stage.worker.worker_config.lingering.count) == (others + 1, others)
    await stage.stop()


@pytest.mark.parametrize(
    ("late", "wait"), [(0, 300), (5, 300), (10, 600), (15, 900), (20, 1_200), (900, 1_200)]
)
def test_workers_wait_longer_if_timers_are_late(late, wait):
    assert lingering(300, late).wait(200) == wait


def test_longest_wait_for_a_fuller_batch_is_two_seconds():
    assert (lingering(1_000, 100).wait(200), lingering(1_000, 100).wait(3_000)) == (2_000, 3_000)


def test_lateness_of_timers_is_the_mean_of_about_a_second():
    workers = LingeringWorkers()
    workers.count = 500
    waits = []
    for late, now in ((20, 5_000), (0, 5_250), (0, 5_250), (0, 5_500), (20, 9_000)):
        workers.record(late, now=now)
        waits.append(workers.wait(200))

    assert waits == [2_000, 1_500, 1_500, 1_125, 2_000]


class LateClock(MovingClock):
    """A clock whose timers are late."""

    late = 0

    async def sleep(self, ms):
        await super().sleep(ms + self.late)


async def test_worker_notices_that_timers_are_late():
    workers = LingeringWorkers()
    stage = Stage(clock=LateClock(), lingering=workers)
    await stage.clock.advance(SECOND)
    stage.clock.late = 10
    stage.queue = [batch()]
    await stage.start()
    await stage.clock.advance(210)
    workers.count = 300
    wait = workers.wait(200)
    workers.count = 0
    await stage.stop()

    assert wait == 600


async def test_long_wait_ends_when_few_others_are_left():
    stage = Stage(lingering=lingering(1_000))
    stage.queue = [batch()]
    await stage.start()
    await stage.clock.advance(200)
    before = len(stage.claims)
    stage.worker.worker_config.lingering.count = 1
    await stage.clock.advance(200)

    assert (before, len(stage.claims)) == (1, 2)
    await stage.stop()


async def test_stop_ends_a_long_wait():
    stage = Stage(lingering=lingering(1_000))
    stage.queue = [batch()]
    await stage.start()
    stage.worker.stop()
    await stage.clock.advance(200)

    assert stage.running.done()


async def test_worker_does_not_wait_after_the_one_conversion_that_it_could_claim(stage):
    stage.handler.requests.openings = lambda _size, **_: [(1, NOTHING)]
    stage.queue = [batch()]
    await stage.start()

    assert len(stage.claims) > 1
    await stage.stop()


async def test_worker_without_a_wait_claims_at_once():
    stage = Stage(linger=0, lingering=lingering(1_000))
    stage.queue = [batch()]
    await stage.start()
    claims, others = len(stage.claims), stage.worker.worker_config.lingering.count
    await stage.stop()

    assert (claims > 1, others) == (True, 1_000)


@pytest.mark.parametrize(
    ("failed", "suspects", "found", "skipped"),
    [
        ([], [], True, [set()]),
        ([1], [2], True, [{1, 2}]),
        ([1], [2], False, [{1, 2}, {2, 3}, set()]),
        ([], [2], True, [{2, 3}]),
    ],
)
async def test_probe_is_a_delivery_that_did_not_fail(stage, failed, suspects, found, skipped):
    stage.current.probes = True
    stage.current.believe(failed=dict.fromkeys(failed, EVENT))
    stage.current.suspect(*suspects)
    stage.handler.gate.clear()
    stage.probes = [batch()] if found else []
    await stage.start()

    assert stage.skipped == [(frozenset(passing), NOTHING) for passing in skipped]
    assert (stage.handler.taken, stage.claims) == ([1] if found else [], [])


async def test_breaker_that_needs_another_delivery_waits_for_it(stage):
    stage.current.probes = stage.current.wants_another = True
    stage.current.believe(failed={1: EVENT})
    await stage.start()

    assert stage.skipped == [({1}, NOTHING)]


async def test_next_probe_waits_for_the_response_to_the_last(stage):
    stage.current.probes = True
    stage.handler.gate.clear()
    stage.probes = [batch(1), batch(2)]
    await stage.start()
    await stage.clock.advance(2 * IDLE)
    before = list(stage.handler.taken)
    stage.handler.gate.set()
    await settled(20)

    assert (before, stage.handler.taken) == ([1], [1, 2])


async def test_probe_waits_until_the_breaker_allows_it(stage):
    stage.current.probes, waits = True, [300]
    stage.current.wait = lambda: waits[0]
    stage.probes = [batch()]
    await stage.start()
    waits[0] = 0
    await stage.clock.advance(299)
    before = list(stage.handler.taken)
    await stage.clock.advance(1)

    assert (before, stage.handler.taken) == ([], [1])


async def test_other_events_are_sent_beside_the_probes(stage):
    stage.current.probes = stage.handler.separates_events = True
    stage.current.wait = lambda: 2 * IDLE
    stage.current.believe(failing=frozenset({EVENT}))
    stage.current.events = frozenset({"o8z6m"})
    stage.current.suspect(2)
    await stage.start()
    first = list(stage.skipped)
    stage.worker.wake()
    await settled()
    soon = len(stage.skipped)
    await stage.clock.advance(SECOND // 5)
    later = len(stage.skipped)
    await stage.clock.advance(IDLE)

    assert first == [({2}, {EVENT, "o8z6m"})]
    assert (soon, later, len(stage.skipped), stage.claims) == (1, 2, 3, [])


async def test_suspects_are_not_claimed_at_once_after_a_late_start():
    clock = MovingClock()
    await clock.advance(SETTLED_IN)
    stage = Stage(clock=clock)
    await stage.start()
    await stage.stop()

    assert not stage.claims[0][0].suspects


async def test_worker_without_probes_claims_for_all_events(stage):
    stage.handler.separates_events = True
    stage.current.believe(failing=frozenset({EVENT}))
    stage.current.wait = lambda: MINUTE
    await stage.start()

    assert (len(stage.claims), stage.skipped) == (1, [])
