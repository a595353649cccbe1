"""A batch sender alone: errors of Twite and of the store, and interrupted batches."""

import asyncio

import msgspec
import pytest
from batch_sender_stage import (
    NOT_YOU,
    Stage,
)

from twite.domain.errors import LedgerUnavailable
from twite.gateway.ports.events import ProblemSeen


def problems(stage):
    return [
        (str(seen.where), seen.reason) for seen in stage.notices if isinstance(seen, ProblemSeen)
    ]


async def unavailable():
    raise LedgerUnavailable(reason="disk full", retry_after=1)


@pytest.mark.parametrize("attempts", [0, 3])
async def test_internal_error_counts_as_a_crash_of_the_deliveries_in_the_request(attempts):
    stage = Stage()
    stage.answer = lambda _ids: 1 / 0
    await stage.take(1, 2, attempts=attempts)

    wait = 5_000 * 2**attempts * stage.draw
    assert stage.ends == {1: ("expired", wait), 2: ("expired", wait)}
    assert problems(stage) == [("batch", "ZeroDivisionError")]
    assert stage.evidence.suspects.known() == frozenset()


async def test_retry_after_an_internal_error_waits_as_for_the_most_attempts():
    stage = Stage()
    stage.answer = lambda _ids: 1 / 0
    batch = stage.claim(1)
    more = stage.claim(2, attempts=3).deliveries
    both = (*batch.deliveries, *more)
    await stage.sender.take(msgspec.structs.replace(batch, deliveries=both))

    assert stage.ends[1] == ("expired", 20_000)


async def test_deliveries_stay_leased_if_the_store_is_unavailable():
    stage = Stage()
    stage.store.before = unavailable
    await stage.take(1)

    assert (stage.sent, stage.ends) == ([(1,)], {})
    assert problems(stage) == [("outbox", "disk full")]


async def test_refusal_of_the_pixel_counts_although_the_store_is_unavailable():
    stage = Stage()
    stage.store.before = unavailable
    stage.refuses(answer=NOT_YOU)
    await stage.take(1)
    await stage.take(2)

    assert stage.evidence.breaker.is_tripped
    assert problems(stage) == [("outbox", "disk full")] * 2


async def cut_off(stage, batch, *, at):
    """Cancel the sending of a batch when this is set."""
    taking = asyncio.create_task(stage.sender.take(batch))
    await at.wait()
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking


async def test_interrupted_batch_is_queued_again_except_for_its_request_in_flight():
    stage, hangs = Stage(), asyncio.Event()
    await stage.suspect(2)

    async def hang(ids):
        if ids != (1,):
            hangs.set()
            await asyncio.Event().wait()

    stage.answer = hang
    await cut_off(stage, batch := stage.claim(1, 2, 3), at=hangs)

    assert stage.sent[-1] == (1, 3)
    assert stage.ends[2] == ("postponed", 0)
    assert stage.store.settlements[-1].transitions[0].deliveries == (2,)
    stage.sender.requests.ended(batch)


async def test_interrupted_batch_waits_at_most_a_second_for_the_store(monkeypatch):
    stage, hangs, limits = Stage(), asyncio.Event(), []
    timeout = asyncio.timeout

    def noted(seconds):
        limits.append(seconds)
        return timeout(0)

    async def hang():
        hangs.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio, "timeout", noted)
    stage.store.before = hang
    stage.sender.stopping = True
    batch = stage.claim(1)
    await cut_off(stage, batch, at=hangs)

    assert limits == [1]


async def test_batch_with_suspects_ends_whatever_happens():
    stage = Stage()
    await stage.suspect(1)
    stage.answer = lambda _ids: 1 / 0
    await stage.take(1)

    # Until its batch ends, no other batch may contain suspects.
    assert 1 not in stage.skipped()
