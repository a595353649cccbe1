"""A worker with a scripted queue and handler: when it polls, waits and stops."""

import asyncio

import pytest
from worker_stage import EVENT, PIXEL, batch, pause

from fakes import settled
from twite.domain.blame.circuit_breaker import PROBE_EVERY
from twite.domain.errors import LedgerUnavailable
from twite.domain.times import MINUTE, SECOND
from twite.gateway.delivery.worker import IDLE, STORE_PAUSE
from twite.gateway.ports.events import ProblemPlace, ProblemSeen
from twite.gateway.ports.state import RateLimitWindow


async def test_stopped_worker_waits_for_its_requests_in_flight(stage):
    stage.handler.gate.clear()
    stage.queue = [batch()]
    await stage.start()
    stage.worker.stop()
    await stage.clock.advance(SECOND)
    before = stage.running.done(), stage.handler.stopping
    stage.handler.gate.set()
    await settled()

    assert before == (False, True)
    assert (stage.running.done(), stage.handler.ended) == (True, [1])


async def test_cancelled_worker_ends_its_requests_before_it_ends(stage):
    stage.handler.gate.clear()
    stage.queue = [batch()]
    await stage.start()
    stage.running.cancel()
    await asyncio.wait([stage.running])

    assert stage.handler.ended == [1]
    stage.running = asyncio.create_task(asyncio.sleep(0))


@pytest.mark.parametrize("closed", [0, MINUTE], ids=["idle", "closed"])
@pytest.mark.parametrize("change", ["use", "release", "follow", "freed"])
async def test_changes_end_every_wait(stage, change, closed):
    stage.limit.waits = closed
    await stage.start()
    before = stage.limit.looks
    match change:
        case "use":
            stage.worker.use("destination")
        case "release":
            await stage.worker.release()
        case "follow":
            stage.current.is_over = True
            stage.worker.follow([], {})
        case "freed":
            stage.worker.wake()
            stage.handler.requests.freed()
    await settled()

    assert (before, stage.limit.looks) == (1, 2)
    assert stage.handler.used == (["destination"] if change == "use" else [])


async def test_idle_worker_ends_the_limits_of_events(stage):
    await stage.start()
    before = stage.current.ended_limits
    await stage.clock.advance(IDLE)

    assert (before, stage.current.ended_limits) == (1, 2)


async def test_unchanged_pauses_do_not_wake_a_worker(stage):
    await stage.start()
    stage.worker.follow([], {})
    await settled()

    assert stage.limit.looks == 1


async def test_user_can_pause_and_resume_through_any_gateway(stage):
    stored, noted = [pause(), pause(EVENT)], {"": pause()}
    stage.worker.follow(stored, noted)
    await stage.worker.release()

    assert stage.current.calls == [(stored, noted), "release"]


@pytest.mark.parametrize(
    ("error", "notice"),
    [
        (
            LedgerUnavailable(reason="disk full", retry_after=1),
            ProblemSeen(where=ProblemPlace.OUTBOX, reason="disk full"),
        ),
        (ValueError("odd"), ProblemSeen(where=ProblemPlace.WORKER, reason="ValueError")),
    ],
)
async def test_failure_of_the_store_is_reported_and_tried_again_later(stage, error, notice):
    stage.error = error
    await stage.start()
    await stage.clock.advance(STORE_PAUSE - 1)
    before = len(stage.claims)
    await stage.clock.advance(1)

    assert (before, len(stage.claims), stage.notices) == (1, 2, [notice, notice])


async def test_failure_of_a_batch_is_reported_and_ends_it(stage):
    stage.handler.error = ValueError("odd")
    stage.queue = [batch()]
    await stage.start()

    assert stage.notices == [ProblemSeen(where=ProblemPlace.BATCH, reason="ValueError")]
    assert (stage.worker.holding, stage.handler.requests.free()) == (set(), 4)
    assert not stage.worker._tasks  # noqa: SLF001 - otherwise, memory would grow with each batch


async def test_batch_in_flight_keeps_its_lease_and_its_slot(stage):
    stage.handler.gate.clear()
    stage.queue = [batch(1, 3), batch(2, 4)]
    await stage.start()

    assert (stage.worker.holding, stage.handler.requests.free()) == ({1, 2}, 2)
    assert stage.current.claims == [1, 2]
    assert stage.limit.spent == [3, 4]


async def test_pixel_paused_by_a_user_is_polled_once_a_minute(stage):
    stage.current.is_by_user = True
    await stage.start()
    await stage.clock.advance(PROBE_EVERY - 1)
    stage.current.is_by_user = False
    before = list(stage.claims)
    await stage.clock.advance(1)

    assert (before, len(stage.claims)) == ([], 1)


async def test_idle_worker_polls_after_five_seconds_or_a_change(stage):
    await stage.start()
    await stage.clock.advance(IDLE - 1)
    before = len(stage.claims)
    await stage.clock.advance(1)
    after = len(stage.claims)
    stage.worker.wake()
    await settled()

    assert (before, after, len(stage.claims)) == (1, 2, 3)


async def test_worker_woken_by_another_process_is_idle_at_its_next_poll(stage):
    idle = [stage.worker.is_idle]
    await stage.start()
    idle.append(stage.worker.is_idle)
    stage.worker.wake_for_other()
    await settled()
    idle.append(stage.worker.is_idle)
    await stage.clock.advance(IDLE)
    idle.append(stage.worker.is_idle)
    stage.current.is_by_user = True
    stage.worker.wake()
    await settled()

    assert [*idle, stage.worker.is_idle] == [False, True, False, True, False]


@pytest.mark.parametrize("closed_by_x", [False, True])
async def test_long_wait_for_the_rate_limit_is_stored_once(stage, closed_by_x):
    stage.limit.waits, stage.limit.is_closed_by_x = MINUTE, closed_by_x
    until = stage.clock.now() + MINUTE
    await stage.start()
    first = list(stage.stored)
    for waits in (MINUTE, MINUTE + SECOND, MINUTE + SECOND + 1):
        stage.limit.waits = waits
        stage.worker.use(None)
        await settled()

    window = RateLimitWindow(
        pixel=PIXEL,
        until=until,
        reason="the rate limit of 60000 conversions in 15 minutes is used up",
    )
    assert first == ([] if closed_by_x else [window])
    assert [each.until for each in stage.stored] == (
        [] if closed_by_x else [until, until + SECOND + 1]
    )
    assert stage.claims == []


async def test_short_wait_for_the_rate_limit_is_not_stored(stage):
    stage.limit.waits = IDLE
    await stage.start()

    assert (stage.stored, stage.claims) == ([], [])


async def test_worker_without_a_free_slot_waits_until_one_is_free(stage):
    stage.handler.gate.clear()
    stage.queue = [batch(lease, 400) for lease in range(4)]
    await stage.start()
    before = len(stage.claims)
    stage.worker.wake()
    await settled()
    busy, is_idle = len(stage.claims), stage.worker.is_idle
    stage.handler.gate.set()
    await settled(20)

    assert (before, busy, is_idle) == (1, 1, False)
    assert len(stage.claims) > 1


async def test_worker_woken_by_another_process_is_idle_after_it_found_deliveries(stage):
    await stage.start()
    stage.handler.gate.clear()
    stage.queue = [batch(many=400)]
    stage.worker.wake_for_other()
    await settled(20)

    assert (stage.handler.taken, stage.worker.is_idle) == ([1], True)


async def test_idle_worker_polls_again_after_each_batch(stage):
    stage.handler.gate.clear()
    stage.queue = [batch(many=400)]
    await stage.start()
    before = len(stage.claims)
    stage.handler.gate.set()
    await settled(20)

    assert (before, len(stage.claims)) == (2, 3)
