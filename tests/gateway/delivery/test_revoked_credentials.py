"""Revoked credentials pause a pixel and make no delivery dead."""

import os

import pytest
from answers_of_x import ALONE, ANSWERS, BAD, GOOD, x_with

from fakes import conversions_of, taken
from twite.domain.pause import Pause
from twite.domain.times import HOUR, MINUTE
from twite.gateway.delivery.worker import WorkerConfig
from worker_bench import Setting

MANY = 2_000 if os.environ.get("TWITE_TRIAL") == "1" else 600


@pytest.mark.parametrize("answer", ALONE)
async def test_credentials_revoked_for_an_hour_make_no_delivery_dead(answer):
    setting = Setting()
    wrong = [True]
    x_with(setting, lambda _: wrong[0], ANSWERS[answer])
    await setting.record(*[f"c{n}" for n in range(500)])
    await setting.run.start()
    for n in range(60):
        await setting.record(f"later{n}", event=BAD)
        await setting.clock.advance(MINUTE)
    account = (await setting.store.balance())[0]
    during = (
        account.dead,
        account.held,
        {pause.event for pause in await setting.store.load(Pause)},
    )

    wrong[0] = False
    await setting.clock.advance(5 * MINUTE)

    account = (await setting.store.balance())[0]
    assert during == (0, 0, {""})
    assert (account.delivered, account.pending) == (560, 0)
    assert len(setting.transport.sent) < 120
    await setting.run.stop(within=1_000)


@pytest.mark.parametrize("answer", ALONE)
async def test_credentials_revoked_after_an_outage_isolate_no_conversion(answer):
    """A request at which X fails creates suspects. Refusals of many suspects prove nothing."""
    setting = Setting(worker_config=WorkerConfig(batch=50))
    now = [ANSWERS["500"]]
    x_with(setting, lambda conversion: now[0] is not None and conversion["event_id"] == GOOD, None)

    async def post(outbound):
        setting.transport.sent.append(outbound)
        await setting.clock.sleep(50)
        return now[0] or taken(outbound)

    setting.transport.post = post
    await setting.record(*[f"c{n}" for n in range(MANY)])
    await setting.run.start()
    await setting.clock.advance(20 * MINUTE)
    now[0] = None
    await setting.record("other", event=BAD)
    while await setting.state("other", event=BAD) != "delivered":
        await setting.clock.advance(100)
    now[0] = ANSWERS[answer]
    before = len(setting.transport.sent)

    await setting.clock.advance(HOUR)

    asked = len(setting.transport.sent) - before
    now[0] = None
    await setting.clock.advance(10 * MINUTE)
    account = (await setting.store.balance())[0]
    assert asked <= 60 + 40
    assert (account.dead, account.held, account.delivered) == (0, 0, MANY + 1)
    await setting.run.stop(within=1_000)


@pytest.mark.parametrize("answer", ALONE)
async def test_token_revoked_while_conversions_are_isolated_is_probed_once_a_minute(answer):
    setting = Setting()
    bad = {f"c{n}" for n in range(500) if n % 20 == 7}
    revoked = [False]

    async def post(outbound):
        setting.transport.sent.append(outbound)
        await setting.clock.sleep(50)
        is_bad = any(sent["conversion_id"] in bad for sent in conversions_of(outbound))
        return ANSWERS[answer] if is_bad or revoked[0] else taken(outbound)

    setting.transport.post = post
    await setting.record(*[f"c{n}" for n in range(500)])
    await setting.run.start()
    await setting.clock.advance(3 * MINUTE)
    revoked[0] = True
    before = len(setting.transport.sent)

    for n in range(60):
        await setting.record(f"good{n}")
        await setting.clock.advance(MINUTE)

    asked = len(setting.transport.sent) - before
    account = (await setting.store.balance())[0]
    assert asked <= 60 + 40
    assert (account.delivered, account.dead + account.pending) == (475, 25 + 60)
    revoked[0] = False
    await setting.clock.advance(5 * MINUTE)
    assert (await setting.store.balance())[0].delivered == 475 + 60
    await setting.run.stop(within=1_000)
