"""A conversion or event that X refuses, or that makes X fail, does not block others."""

import os
from itertools import product

import pytest
from answers_of_x import ALONE, ANSWERS, BAD, GOOD, x_with

from builders import a_conversion, a_submission, an_entry
from fakes import conversions_of, refused, taken
from twite.domain.cause import DeliveryCause
from twite.domain.consent import person_keys
from twite.domain.pause import Pause
from twite.domain.times import HOUR, MINUTE, SECOND
from twite.gateway.delivery.worker import WorkerConfig
from twite.gateway.ports.events import Paused
from twite.gateway.ports.queries import ByConversionId
from twite.gateway.ports.transport import NoResponse
from worker_bench import Setting, rare_looks

DENIED = "consent_denied: ad_storage"
LONG = os.environ.get("TWITE_TRIAL") == "1"
MANY_BAD, MANY_GOOD = (1_000, 60) if LONG else (300, 20)
# The answer to one conversion, and whether others arrive meanwhile; the long form tests all pairs.
FAILURES = [*product(["500", "hang"], [True, False])] if LONG else [("500", True), ("hang", False)]


@pytest.mark.parametrize("answer", ANSWERS)
async def test_event_that_fails_does_not_stop_another(answer):
    setting = Setting()
    x_with(setting, lambda conversion: conversion["event_id"] == BAD, ANSWERS[answer])
    await setting.record(*[f"bad{n}" for n in range(MANY_BAD)], event=BAD)
    await setting.run.start()
    waits = []

    for n in range(MANY_GOOD):
        await setting.record(f"good{n}", event=GOOD)
        for second in range(200):
            await setting.clock.advance(SECOND)
            if await setting.state(f"good{n}", event=GOOD) == "delivered":
                waits.append(second)
                break

    # Only until the culprit is known do others wait: for at most two probes, or two missing
    # responses.
    assert len(waits) == MANY_GOOD
    assert max(waits[5:]) <= 5
    assert sum(waits) <= 200
    assert not await setting.store.load(Pause) or {
        pause.event for pause in await setting.store.load(Pause)
    } == {BAD}
    account = (await setting.store.balance())[0]
    assert (account.dead, account.delivered, account.balance) == (0, MANY_GOOD, 0)
    await setting.run.stop(within=1_000)


async def test_paused_event_is_probed_once_a_minute_with_another_delivery():
    setting = Setting()
    x_with(setting, lambda conversion: conversion["event_id"] == BAD, ANSWERS["400"])
    await setting.record(*[f"bad{n}" for n in range(100)], event=BAD)
    await setting.run.start()
    await setting.clock.advance(30 * SECOND)
    before = len(setting.transport.sent)

    for _ in range(10):
        await setting.clock.advance(MINUTE)

    probes = setting.sent()[before:]
    assert {len(ids) for ids in probes} == {1}
    assert 9 <= len({ids[0] for ids in probes}) == len(probes) <= 10
    assert {(pause.pixel, pause.event) for pause in await setting.store.load(Pause)} == {
        ("o8z6j", BAD)
    }
    await setting.run.stop(within=1_000)


async def test_paused_event_resumes_with_all_held_deliveries_once_x_accepts_one():
    setting = Setting()
    wrong = [True]
    x_with(setting, lambda conversion: wrong[0] and conversion["event_id"] == BAD, ANSWERS["400"])
    await setting.record(*[f"bad{n}" for n in range(100)], event=BAD)
    await setting.run.start()
    await setting.clock.advance(5 * MINUTE)

    wrong[0] = False
    await setting.clock.advance(3 * MINUTE)

    account = (await setting.store.balance())[0]
    assert (account.delivered, account.pending, account.held) == (100, 0, 0)
    assert await setting.store.load(Pause) == []
    await setting.run.stop(within=1_000)


@pytest.mark.parametrize("answer", ALONE)
async def test_refused_conversion_is_dead_and_its_batch_is_delivered(answer):
    setting = Setting()
    x_with(setting, lambda conversion: conversion["conversion_id"] == "c317", ANSWERS[answer])
    await setting.record(*[f"c{n}" for n in range(500)])
    await setting.run.start()

    for n in range(60):
        await setting.record(f"later{n}")
        await setting.clock.advance(30 * SECOND)

    account = (await setting.store.balance())[0]
    (history,) = await setting.store.find(
        ByConversionId(pixel="o8z6j", events=[GOOD], conversion_id="c317")
    )
    assert (account.delivered, account.dead, account.balance) == (559, 1, 0)
    assert history.state == "dead"
    assert (history.reason or "").startswith(answer[:3])
    assert await setting.store.load(Pause) == []
    await setting.run.stop(within=1_000)


async def test_html_refusal_of_one_conversion_pauses_no_pixel():
    setting = Setting()
    x_with(setting, lambda conversion: conversion["conversion_id"] == "bad", ANSWERS["403 in HTML"])
    await setting.run.start()

    await setting.record("bad")
    await setting.record("good", event=BAD)
    await setting.clock.advance(20 * SECOND)

    assert await setting.state("good", event=BAD) == "delivered"
    assert [notice for notice in setting.seen.notices if isinstance(notice, Paused)] == []
    await setting.run.stop(within=1_000)


@pytest.mark.parametrize(("answer", "others"), FAILURES)
async def test_conversion_that_makes_x_fail_is_found_and_held_after_forty_hours(answer, others):
    setting = Setting()
    x_with(setting, lambda conversion: conversion["conversion_id"] == "c317", ANSWERS[answer])
    await setting.record(*[f"c{n}" for n in range(500)])
    await setting.run.start()
    for n in range(60):
        if others:
            await setting.record(f"later{n}")
        await setting.clock.advance(30 * SECOND)
    account = (await setting.store.balance())[0]
    after_half_an_hour = account.delivered, account.pending

    with rare_looks():
        await setting.clock.advance(41 * HOUR)

    account = (await setting.store.balance())[0]
    many = 500 + 60 * others
    assert after_half_an_hour == (many - 1, 1)
    assert (account.delivered, account.held, account.pending, account.dead) == (many - 1, 1, 0, 0)
    assert await setting.state("c317") == "held"
    bodies = {outbound.body for outbound in setting.transport.sent if b'"c317"' in outbound.body}
    (body,) = {body[body.find(b'"c317"') :][:40] for body in bodies}
    assert body
    await setting.run.stop(within=1_000)


async def test_batches_do_not_grow_after_a_timeout():
    setting = Setting(replies=[NoResponse(reason="no answer in time", left=True)] * 12)
    await setting.record(*[f"c{n}" for n in range(500)])

    await setting.run.start()
    await setting.clock.advance(2 * HOUR)

    sizes = [len(ids) for ids in setting.sent()]
    failed = sizes[:12]
    assert failed == sorted(failed, reverse=True)
    account = (await setting.store.balance())[0]
    assert (account.delivered, account.pending) == (500, 0)
    await setting.run.stop(within=1_000)


async def test_conversion_too_large_for_a_proxy_is_found_and_the_others_sent():
    setting = Setting()
    big = refused(status=413)
    x_with(setting, lambda conversion: conversion["conversion_id"] == "c317", big)
    await setting.record(*[f"c{n}" for n in range(500)])
    await setting.run.start()

    await setting.clock.advance(MINUTE)
    await setting.record(*[f"later{n}" for n in range(400)])
    await setting.clock.advance(MINUTE)

    account = (await setting.store.balance())[0]
    assert (account.delivered, account.dead, account.balance) == (899, 1, 0)
    # A conversion that is too large alone does not shrink other batches.
    assert max(len(ids) for ids in setting.sent()[-4:]) >= 200
    await setting.run.stop(within=1_000)


async def test_bisection_never_uses_all_slots_of_a_pixel():
    setting = Setting(worker_config=WorkerConfig(batch=20, in_flight=4, linger=0))
    x_with(
        setting,
        lambda conversion: str(conversion["conversion_id"])[-1] in "13579",
        ANSWERS["400"],
        took=300,
    )
    flying = []
    for event in ("o8z6a", "o8z6b", "o8z6c", "o8z6d", "o8z6e"):
        await setting.record(*[f"{event}-{n}" for n in range(100)], event=event)
    await setting.run.start()
    waits = []

    for n in range(0, 40, 2):
        await setting.record(f"good{n}", event=GOOD)
        for second in range(60):
            await setting.clock.advance(SECOND)
            if await setting.state(f"good{n}", event=GOOD) == "delivered":
                waits.append(second)
                break

    assert not flying
    assert len(waits) == 20
    assert max(waits) <= 3
    await setting.run.stop(within=1_000)


@pytest.mark.parametrize("answer", ALONE)
async def test_many_isolated_conversions_neither_pause_the_pixel_nor_delay_others(answer):
    setting = Setting()
    bad = {f"c{n}" for n in range(500) if n % 20 == 7}

    async def post(outbound):
        setting.transport.sent.append(outbound)
        await setting.clock.sleep(50)
        is_bad = any(sent["conversion_id"] in bad for sent in conversions_of(outbound))
        return ANSWERS[answer] if is_bad else taken(outbound)

    setting.transport.post = post
    await setting.record(*[f"c{n}" for n in range(500)])
    await setting.run.start()
    await setting.clock.advance(4 * MINUTE)
    waits = []

    for n in range(MANY_GOOD):
        await setting.record(f"good{n}")
        for second in range(300):
            await setting.clock.advance(SECOND)
            if await setting.state(f"good{n}") == "delivered":
                waits.append(second)
                break

    account = (await setting.store.balance())[0]
    assert (account.delivered, account.balance) == (475 + MANY_GOOD, 0)
    assert len(waits) == MANY_GOOD
    assert max(waits) <= 3
    await setting.run.stop(within=1_000)


@pytest.mark.parametrize("opts_out", [True, False], ids=["opt-out", "denial"])
@pytest.mark.parametrize("answer", ["400", "401", "403 in HTML", "500"])
async def test_conversion_denied_during_a_bisection_is_not_sent_again(answer, opts_out):
    setting = Setting()
    denied_at = []

    async def deny():
        denied_at.append(len(setting.transport.sent))
        if opts_out:
            # All conversions from the builders belong to the same person.
            person = a_conversion().identifiers
            keys = person_keys(person, pixel="o8z6j", salt=setting.store.salt)
            await setting.store.revoke(keys, now=setting.steady.now())
        else:
            entry = an_entry("c450", suppressed=DENIED, cause=DeliveryCause.CONSENT_DENIED)
            await setting.store.record(a_submission(entry, receipt="denial"))

    async def post(outbound):
        setting.transport.sent.append(outbound)
        await setting.clock.sleep(50)
        ids = {sent["conversion_id"] for sent in conversions_of(outbound)}
        if not denied_at and "c0" in ids and len(ids) < 100:
            await deny()
        return ANSWERS[answer] if "c3" in ids else taken(outbound)

    setting.transport.post = post
    await setting.record(*[f"c{n}" for n in range(500)])
    await setting.run.start()
    for n in range(20):
        await setting.record(f"later{n}")
        await setting.clock.advance(MINUTE)

    (sent_before,) = denied_at
    later = setting.sent()[sent_before:]
    assert [ids for ids in later if opts_out or "c450" in ids] == []
    assert bool(later) is not opts_out
    assert await setting.state("c450") == "suppressed"
    await setting.run.stop(within=1_000)
