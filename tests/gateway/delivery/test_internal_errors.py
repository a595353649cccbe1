"""An internal error affects only one batch, whose lease expires."""

import asyncio
import re
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from builders import a_destination_with_oauth
from fakes import conversions_of, refused, taken
from twite.domain.errors import LedgerUnavailable
from twite.domain.pause import Pause
from twite.domain.times import MINUTE, SECOND
from twite.gateway.delivery.worker import STORE_PAUSE, WorkerConfig
from twite.gateway.operations.moves import WakingMoves
from twite.gateway.ports.events import Paused, ProblemSeen, Resumed
from twite.gateway.ports.outbox import Replay
from twite.gateway.ports.queries import AtRest
from twite.gateway.ports.transport import NoResponse, Response
from worker_bench import Setting

REVOKED = refused(
    ("UNAUTHORIZED_ACCESS", "This request is not properly authenticated", ""), status=401
)
NO_IDENTIFIER = refused(("INVALID_PARAMETER", "At least one user identifier must be provided", ""))
FULL = LedgerUnavailable(reason="disk full", retry_after=1)


def seen(setting, kind):
    return [notice for notice in setting.seen.notices if isinstance(notice, kind)]


def failing(method, error, *, times=1):
    """Return a store method that fails the first `times` times."""
    left = [error] * times

    async def act(*given, **named):
        if left:
            raise left.pop()
        return await method(*given, **named)

    return act


async def test_token_revoked_during_a_bisection_leaves_the_pixel_paused():
    setting = Setting(replies=[NO_IDENTIFIER, NO_IDENTIFIER, REVOKED, REVOKED])
    await setting.run.start()

    await setting.record("a", "b", "c")
    await setting.clock.advance(MINUTE)

    assert [pause.pixel for pause in await setting.store.load(Pause)] == ["o8z6j"]
    assert seen(setting, Resumed) == []
    await setting.run.stop(within=1_000)


async def test_refusal_of_a_conversion_ends_the_pause():
    setting = Setting(replies=[REVOKED, NO_IDENTIFIER])
    await setting.run.start()

    await setting.record("a")
    await setting.clock.advance(2 * MINUTE)

    assert await setting.state("a") == "dead"
    assert await setting.store.load(Pause) == []
    assert seen(setting, Resumed) == [Resumed(pixel="o8z6j")]
    await setting.run.stop(within=1_000)


async def test_cancelled_bisection_does_not_pause_the_pixel():
    """Two batches in flight: one opens the breaker, the other is cancelled before it can."""
    setting = Setting(worker_config=WorkerConfig(batch=20, in_flight=2))
    cut = []

    def reply(outbound):
        ids = {conversion["conversion_id"] for conversion in conversions_of(outbound)}
        if ids & {f"late{n}" for n in range(20)} and len(ids) < 20:
            cut.append(True)
            return NoResponse(reason="no connection", left=False)
        return NO_IDENTIFIER

    async def post(outbound):
        # The other batch gets its response after the first was blamed.
        if b"late" in outbound.body:
            await setting.clock.sleep(SECOND)
        setting.transport.sent.append(outbound)
        return reply(outbound)

    setting.transport.post = post
    await setting.record(*[f"early{n}" for n in range(20)])
    await setting.record(*[f"late{n}" for n in range(20)], event="o8z6m")
    await setting.run.start()

    await setting.clock.advance(5 * SECOND)

    assert cut
    assert [pause.pixel for pause in await setting.store.load(Pause)] == ["o8z6j"]
    assert seen(setting, ProblemSeen) == []
    states = {await setting.state(f"late{n}", event="o8z6m") for n in range(20)}
    assert states <= {"queued", "sending"}  # one may be the next probe
    await setting.run.stop(within=10)


async def test_internal_error_in_a_worker_is_reported_and_the_worker_continues():
    setting = Setting()
    setting.store.claim = failing(setting.store.claim, ZeroDivisionError())
    await setting.run.start()

    await setting.record("a")
    await setting.clock.advance(STORE_PAUSE + SECOND)

    assert seen(setting, ProblemSeen) == [ProblemSeen(where="worker", reason="ZeroDivisionError")]
    assert await setting.state("a") == "delivered"
    await setting.run.stop(within=1_000)


async def test_internal_error_in_the_sweep_is_reported_and_the_sweep_continues():
    setting = Setting(replies=[NoResponse(reason="no connection", left=False)])
    await setting.run.start()
    setting.store.sweep = failing(setting.store.sweep, ZeroDivisionError())

    await setting.record("a")
    await setting.clock.advance(MINUTE)

    assert seen(setting, ProblemSeen) == [ProblemSeen(where="sweep", reason="ZeroDivisionError")]
    assert await setting.state("a") == "delivered"
    await setting.run.stop(within=1_000)


async def test_failed_claim_frees_its_slot():
    setting = Setting(worker_config=WorkerConfig(in_flight=1))
    setting.store.claim = failing(setting.store.claim, FULL, times=3)
    await setting.run.start()

    await setting.record("a")
    await setting.clock.advance(4 * STORE_PAUSE)

    assert await setting.state("a") == "delivered"
    await setting.run.stop(within=1_000)


async def test_pause_that_cannot_be_stored_is_reported_at_once_and_stored_later():
    setting = Setting(replies=[REVOKED] * 2)
    setting.store.put = failing(setting.store.put, FULL)
    await setting.run.start()
    await setting.record("a")
    await setting.clock.advance(SECOND)

    at_first = (seen(setting, Paused), await setting.store.load(Pause))
    await setting.clock.advance(MINUTE)

    assert [len(some) for some in at_first] == [1, 0]
    assert [pause.pixel for pause in await setting.store.load(Pause)] == ["o8z6j"]
    assert len(seen(setting, Paused)) == 1
    await setting.run.stop(within=1_000)


async def test_pause_that_cannot_be_deleted_is_deleted_with_the_next_delivery():
    setting = Setting(replies=[REVOKED])
    setting.store.delete = failing(setting.store.delete, FULL)
    await setting.run.start()
    await setting.record("a")
    await setting.clock.advance(2 * MINUTE)

    await setting.record("b")
    await setting.clock.advance(SECOND)

    assert await setting.store.load(Pause) == []
    assert len(seen(setting, Resumed)) == 1
    await setting.run.stop(within=1_000)


async def test_rate_limit_reported_while_all_slots_are_in_use_is_obeyed():
    setting = Setting(worker_config=WorkerConfig(batch=1, in_flight=1))
    reset = (setting.clock.now() + 90 * SECOND) // SECOND
    limited = Response(status=429, headers={"x-rate-limit-reset": str(reset)}, body=b"")

    async def post(outbound):
        await setting.clock.sleep(SECOND)
        setting.transport.sent.append(outbound)
        return limited if len(setting.transport.sent) == 1 else taken(outbound)

    setting.transport.post = post
    await setting.run.start()
    await setting.record("a", "b")

    await setting.clock.advance(MINUTE)

    assert len(setting.sent()) == 1
    assert seen(setting, ProblemSeen) == []
    await setting.run.stop(within=1_000)


async def test_batch_that_waits_for_a_slot_does_not_use_a_revoked_token():
    setting = Setting(worker_config=WorkerConfig(batch=1, in_flight=1))

    async def post(outbound):
        await setting.clock.sleep(SECOND)
        setting.transport.sent.append(outbound)
        return REVOKED

    setting.transport.post = post
    await setting.run.start()
    await setting.record("a", "b")

    await setting.clock.advance(30 * SECOND)

    # The result for the other delivery shows whether the first one was at fault.
    assert setting.sent() == [["a"], ["b"]]
    await setting.run.stop(within=1_000)


async def test_unfinished_request_is_cancelled_before_the_stop_returns():
    setting = Setting()
    ended = []

    async def post(outbound):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append(outbound)
            raise

    setting.transport.post = post
    await setting.run.start()
    await setting.record("a")
    await setting.clock.advance(100)

    landed = await setting.run.stop(within=20)

    assert landed is False
    assert len(ended) == 1
    assert await setting.state("a") == "sending"


async def test_slow_response_does_not_change_the_clock_of_signatures():
    setting = Setting(destinations=[a_destination_with_oauth()])
    began = setting.clock.now()
    date = format_datetime(datetime.fromtimestamp(began // 1_000 - 4, UTC), usegmt=True)

    def reply(outbound):
        answer = taken(outbound)
        return Response(status=answer.status, headers={"date": date}, body=answer.body)

    setting.transport.reply(reply)
    await setting.run.start()
    await setting.record("a")
    await setting.clock.advance(SECOND)
    await setting.record("b")
    await setting.clock.advance(SECOND)

    stamps = [
        int(re.search(r'oauth_timestamp="(\d+)"', outbound.headers["Authorization"]).group(1))
        for outbound in setting.transport.sent
    ]
    assert stamps == [began // SECOND, began // SECOND + 1]
    await setting.run.stop(within=1_000)


async def test_replayed_delivery_is_sent_at_once():
    setting = Setting(replies=[NO_IDENTIFIER])
    await setting.run.start()
    await setting.record("a")
    await setting.clock.advance(SECOND)
    dead = (await setting.store.find(AtRest(pixel=None, limit=1)))[0]
    moves = WakingMoves(moves=setting.store, wake_all=setting.run.wake_all)

    await moves.move(Replay(deliveries=[dead.delivery]), now=setting.clock.now())
    await setting.clock.advance(SECOND)

    assert await setting.state("a") == "delivered"
    await setting.run.stop(within=1_000)


@pytest.mark.parametrize(
    "date", ["Mon, 01 Jan 99999999999 00:00:00 GMT", "01 Jan 2026 00:00:00 +99999999999999999999"]
)
async def test_invalid_date_header_does_not_change_the_result(date):
    def reply(outbound):
        answer = taken(outbound)
        return Response(status=answer.status, headers={"date": date}, body=answer.body)

    setting = Setting(replies=[reply])
    await setting.run.start()

    await setting.record("a")
    await setting.clock.advance(SECOND)

    assert await setting.state("a") == "delivered"
    await setting.run.stop(within=1_000)
