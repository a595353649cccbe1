"""Orderly shutdown: unsent requests are not ambiguous, and each pending delivery has a reason."""

import asyncio
from datetime import UTC, datetime
from email.utils import format_datetime

import msgspec
import pytest

from builders import a_destination
from fakes import MovingClock, conversions_of, refused, taken
from twite.domain.delivery import MAY_COUNT_TWICE, SENDER_DIED_OF_IT
from twite.domain.errors import LedgerUnavailable
from twite.domain.history import TOO_OLD_TO_RESEND, waiting
from twite.domain.times import HOUR, MINUTE, SECOND, spelled
from twite.gateway.delivery.worker import WorkerConfig
from twite.gateway.ports.events import Misdated
from twite.gateway.ports.queries import ByConversionId
from twite.gateway.ports.transport import NoResponse, Response
from worker_bench import Setting

NO_IDENTIFIER = ("INVALID_PARAMETER", "At least one user identifier must be provided", "")
REVOKED = ("UNAUTHORIZED_ACCESS", "This request is not properly authenticated", "")
CAUTIOUS = msgspec.structs.replace(a_destination(), is_cautious=True)


async def history_of(setting, conversion_id):
    (history,) = await setting.store.find(
        ByConversionId(pixel="o8z6j", events=["o8z6k"], conversion_id=conversion_id)
    )
    return history


async def why(setting, conversion_id):
    return waiting(await history_of(setting, conversion_id), now=setting.steady.now())


def dated(response, date):
    return Response(status=response.status, headers={"date": date}, body=response.body)


async def stopped(setting, *, within=5 * SECOND):
    stopping = asyncio.ensure_future(setting.run.stop(within=within))
    await setting.clock.advance(2 * SECOND)
    return await stopping


async def test_deliveries_claimed_during_a_stop_return_to_the_queue():
    setting = Setting()
    claim = setting.store.claim

    async def slowly(wish):
        batch = await claim(wish)
        await setting.clock.sleep(SECOND)
        return batch

    setting.store.claim = slowly
    await setting.record("a")
    await setting.run.start()
    await setting.clock.advance(10)

    landed = await stopped(setting)

    history = await history_of(setting, "a")
    assert (landed, setting.transport.sent) == (True, [])
    assert (history.state, history.attempts) == ("queued", ())


async def test_batch_that_cannot_return_to_the_queue_does_not_affect_others():
    setting = Setting(worker_config=WorkerConfig(batch=1))
    claim, settle = setting.store.claim_several, setting.store.settle
    failed = []

    async def slowly(wish, *, most):
        batches = await claim(wish, most=most)
        await setting.clock.sleep(SECOND)
        return batches

    async def fail_once(settlement):
        if not failed:
            failed.append(settlement.lease)
            raise LedgerUnavailable(reason="disk I/O error", retry_after=1)
        return await settle(settlement)

    setting.store.claim_several, setting.store.settle = slowly, fail_once
    await setting.record("a", "b", "c")
    await setting.run.start()
    await setting.clock.advance(10)

    landed = await stopped(setting)

    states = sorted([(await history_of(setting, id_)).state for id_ in ("a", "b", "c")])
    assert (landed, setting.transport.sent) == (True, [])
    assert states == ["queued", "queued", "sending"]


async def test_stop_waits_for_the_response_to_a_request_in_flight():
    setting = Setting()

    async def post(outbound):
        setting.transport.sent.append(outbound)
        await setting.clock.sleep(SECOND)
        return taken(outbound)

    setting.transport.post = post
    await setting.record("a")
    await setting.run.start()
    await setting.clock.advance(500)

    landed = await stopped(setting)

    history = await history_of(setting, "a")
    assert (landed, history.state) == (True, "delivered")
    assert [attempt.ambiguous for attempt in history.attempts] == [False]


async def test_running_bisection_ends_with_its_current_request():
    setting = Setting()

    async def post(outbound):
        await setting.clock.sleep(SECOND)
        setting.transport.sent.append(outbound)
        ids = {conversion["conversion_id"] for conversion in conversions_of(outbound)}
        return refused(NO_IDENTIFIER) if "c7" in ids else taken(outbound)

    setting.transport.post = post
    await setting.record(*[f"c{n}" for n in range(100)])
    await setting.run.start()
    await setting.clock.advance(1_500)

    landed = await stopped(setting)

    account = (await setting.store.balance())[0]
    assert (landed, len(setting.transport.sent)) == (True, 2)
    assert (account.pending, account.balance) == (100 - account.delivered, 0)
    assert {past.ambiguous for past in (await history_of(setting, "c7")).attempts} == {False}


async def test_interrupted_bisection_is_ambiguous_only_for_the_request_in_flight():
    setting = Setting()

    async def post(outbound):
        if len(conversions_of(outbound)) == 4:
            return refused(NO_IDENTIFIER)
        await setting.clock.sleep(10 * MINUTE)
        return taken(outbound)

    setting.transport.post = post
    await setting.record("a", "b", "c", "d")
    await setting.run.start()
    await setting.clock.advance(SECOND)

    landed = await setting.run.stop(within=20)

    states = [(await history_of(setting, id_)).state for id_ in "abcd"]
    assert landed is False
    assert states == ["sending", "sending", "queued", "queued"]


async def after_days_of_downtime(setting, *, days=3):
    """Let X not answer, and start the next process days later."""
    await setting.run.start()
    await setting.record("a")
    await setting.clock.advance(SECOND)
    await stopped(setting)
    setting.clock.jump(days * 24 * HOUR)
    setting.run = setting.new_run()
    await setting.run.start()


async def test_ambiguous_delivery_is_held_after_days_without_a_gateway():
    setting = Setting(replies=[NoResponse(reason="no answer in time", left=True)])
    await after_days_of_downtime(setting)

    at_first = (await history_of(setting, "a")).state, await why(setting, "a")
    await setting.clock.advance(10 * MINUTE)

    history = await history_of(setting, "a")
    assert at_first == ("queued", TOO_OLD_TO_RESEND)
    assert (history.state, history.reason, len(setting.sent())) == ("held", MAY_COUNT_TWICE, 1)
    await setting.run.stop(within=1_000)


async def test_ambiguous_delivery_is_not_held_by_a_clock_that_x_contradicts():
    setting = Setting(replies=[NoResponse(reason="no answer in time", left=True)])
    right = format_datetime(datetime.fromtimestamp(setting.clock.now() // SECOND, UTC), usegmt=True)
    await after_days_of_downtime(setting)

    setting.transport.reply(lambda sent: dated(taken(sent), right))
    await setting.record("b")
    await setting.clock.advance(10 * MINUTE)

    assert (await history_of(setting, "a")).state == "queued"
    await setting.run.stop(within=1_000)


async def test_unsent_delivery_is_not_held_without_a_trusted_clock():
    setting = Setting(replies=[NoResponse(reason="no connection", left=False)] * 1_000)
    await after_days_of_downtime(setting, days=8)

    await setting.clock.advance(10 * MINUTE)

    assert (await history_of(setting, "a")).state == "queued"
    await setting.run.stop(within=1_000)


@pytest.mark.parametrize(
    "reply",
    [NoResponse(reason="no answer in time", left=True), Response(status=503, headers={}, body=b"")],
    ids=["no answer", "503"],
)
async def test_cautious_pixel_holds_ambiguous_deliveries_at_once(reply):
    setting = Setting(destinations=[CAUTIOUS], replies=[reply])
    await setting.run.start()

    await setting.record("a")
    await setting.clock.advance(MINUTE)

    history = await history_of(setting, "a")
    assert (history.state, history.reason, len(setting.sent())) == ("held", MAY_COUNT_TWICE, 1)
    await setting.run.stop(within=1_000)


async def test_cautious_pixel_holds_deliveries_in_flight_after_a_crash():
    setting = Setting(destinations=[CAUTIOUS])

    async def post(outbound):
        setting.transport.sent.append(outbound)
        await setting.clock.sleep(10 * MINUTE)

    setting.transport.post = post
    await setting.record("a")
    await setting.run.start()
    await setting.clock.advance(SECOND)
    await setting.run.stop(within=10)
    await setting.store.restart()
    setting.run = setting.new_run()
    await setting.run.start()
    await setting.clock.advance(MINUTE)

    history = await history_of(setting, "a")
    assert (history.state, history.reason, len(setting.sent())) == ("held", MAY_COUNT_TWICE, 1)
    await setting.run.stop(within=1_000)


async def test_process_that_ends_repeatedly_makes_no_delivery_suspect():
    setting = Setting()
    answers = setting.transport.post

    async def post(outbound):
        setting.transport.sent.append(outbound)
        await setting.clock.sleep(10 * MINUTE)

    setting.transport.post = post
    await setting.record("a")
    for _ in range(10):
        await setting.run.start()
        await setting.clock.advance(SECOND)
        await setting.run.stop(within=10)
        await setting.store.restart()
        setting.run = setting.new_run()
    setting.transport.post = answers
    await setting.run.start()
    await setting.clock.advance(MINUTE)

    assert (await history_of(setting, "a")).state == "delivered"
    await setting.run.stop(within=1_000)


async def test_conversion_that_crashes_each_process_is_given_up():
    setting = Setting()

    async def post(outbound):
        setting.transport.sent.append(outbound)
        await setting.clock.sleep(10 * MINUTE)

    setting.transport.post = post
    await setting.record("a")
    for _ in range(3):
        await setting.run.start()
        await setting.clock.advance(20 * SECOND)
        await setting.run.stop(within=10)
        await setting.store.restart()
        setting.run = setting.new_run()

    history = await history_of(setting, "a")
    assert (history.state, history.reason, len(setting.sent())) == ("dead", SENDER_DIED_OF_IT, 3)


async def test_unsent_delivery_is_retried_by_a_cautious_pixel():
    setting = Setting(
        destinations=[CAUTIOUS], replies=[NoResponse(reason="no connection", left=False)]
    )
    await setting.run.start()

    await setting.record("a")
    await setting.clock.advance(MINUTE)

    assert (await history_of(setting, "a")).state == "delivered"
    await setting.run.stop(within=1_000)


async def test_queued_delivery_of_a_paused_pixel_states_the_reason():
    setting = Setting(replies=[refused(REVOKED, status=401)] * 9)
    await setting.run.start()
    await setting.record("a")
    await setting.clock.advance(SECOND)

    said = await why(setting, "a")

    assert said == f"sending is paused: 401 {REVOKED[0]}: {REVOKED[1]}"
    await setting.run.stop(within=1_000)


async def test_queued_delivery_states_the_reset_time_of_xs_rate_limit():
    setting = Setting()
    reset = setting.clock.now() // SECOND + 700
    headers = {"x-rate-limit-reset": str(reset)}
    setting.transport.reply(Response(status=429, headers=headers, body=b""))
    await setting.run.start()
    await setting.record("a")
    await setting.clock.advance(SECOND)
    await setting.record("b")

    said = [await why(setting, id_) for id_ in "ab"]

    until = spelled(reset * SECOND)
    assert said == [f"X's rate limit is used up, until {until}"] * 2
    await setting.run.stop(within=1_000)


async def test_queued_delivery_states_the_reset_time_of_the_configured_limit():
    setting = Setting(destinations=[a_destination(rate=2)], worker_config=WorkerConfig(linger=0))
    await setting.run.start()
    await setting.record("a", "b")
    await setting.clock.advance(SECOND)
    await setting.record("c")
    await setting.clock.advance(10 * SECOND)

    said = await why(setting, "c")

    assert said is not None
    assert said.startswith("the rate limit of 2 conversions in 15 minutes is used up, until ")
    await setting.run.stop(within=1_000)


async def test_queued_delivery_states_the_time_of_its_next_attempt():
    setting = Setting(replies=[NoResponse(reason="no connection", left=False)] * 99)
    await setting.run.start()
    await setting.record("a")
    await setting.clock.advance(100)

    said = await why(setting, "a")

    history = await history_of(setting, "a")
    assert said == f"the next attempt is at {spelled(history.due_at)}"
    await setting.run.stop(within=1_000)


async def test_large_clock_offset_is_reported_once():
    clock = MovingClock()
    right = clock.now()
    clock.jump(-10 * MINUTE)
    setting = Setting(clock=clock)

    def reply(outbound):
        came = taken(outbound)
        return Response(status=200, headers={"date": DATE}, body=came.body)

    setting.transport.post = lambda outbound: answered(reply(outbound))
    await setting.run.start()

    for number in range(4):
        await setting.record(f"c{number}")
        await setting.clock.advance(SECOND // 4)
    await setting.clock.advance(20 * SECOND)

    reported = [notice for notice in setting.seen.notices if isinstance(notice, Misdated)]
    assert [abs(notice.offset - 10 * MINUTE) <= 2 * SECOND for notice in reported] == [True]
    assert right - setting.clock.now() > 9 * MINUTE
    await setting.run.stop(within=1_000)


# 1,795,600,000 seconds since 1970: when the fake clock starts.
DATE = "Wed, 25 Nov 2026 09:46:40 GMT"


async def answered(came):
    return came
