"""Isolated conversions do not block others of their event, and no valid one is given up."""

from random import Random

import msgspec
import pytest

from builders import a_destination, a_submission, an_entry
from fakes import conversions_of, refused, taken
from twite.domain.cause import DeliveryCause
from twite.domain.destination import OAuthKeys
from twite.domain.pause import Pause
from twite.domain.secret import Secret
from twite.domain.times import MINUTE, SECOND
from twite.gateway.ports.transport import Response
from worker_bench import Setting

EVENT, OTHER = "o8z6m", "o8z6k"
ANSWERS = {
    "400": refused(("INVALID_PARAMETER", "At least one user identifier must be provided", "")),
    "401": refused(("UNAUTHORIZED_ACCESS", "no", ""), status=401),
    "403 in HTML": Response(status=403, headers={}, body=b"<html>no</html>"),
    "413": refused(status=413),
    "500": refused(("INTERNAL_ERROR", "no", ""), status=500),
}


class X:
    """An X that gives this answer to each request with a bad conversion, or to all requests."""

    def __init__(self, setting, bad, answer):
        self.setting = setting
        self.bad = set(bad)
        self.answer = answer
        self.refuses_all = False
        self.refuses_event = ""
        setting.transport.post = self.post

    async def post(self, outbound):
        self.setting.transport.sent.append(outbound)
        await self.setting.clock.sleep(100)
        sent = conversions_of(outbound)
        bad = self.bad.intersection(str(conversion["conversion_id"]) for conversion in sent)
        all_bad = self.refuses_all or sent[0]["event_id"] == self.refuses_event
        return self.answer if bad or all_bad else taken(outbound)


async def minutes(setting, many, ids, *, event, waits):
    """Record a conversion of the event every 15 seconds, and one of another event every second."""
    born = {}
    for second in range(60 * many):
        await setting.record(f"other{ids}{second}", event=OTHER)
        if second % 15 == 0:
            await setting.record(id_ := f"late{ids}{second}", event=event)
            born[id_] = second
        await setting.clock.advance(SECOND)
        for id_ in list(born):
            if await setting.state(id_, event=event) == "delivered":
                waits.append(second - born.pop(id_))
    assert not born


@pytest.mark.parametrize("answer", ["401", "500"])
@pytest.mark.parametrize("together", [True, False], ids=["first of all", "spread"])
async def test_isolated_conversions_do_not_stop_their_event(answer, together):
    setting, waits = Setting(), []
    bad = [f"c{n}" for n in (range(12) if together else range(7, 100, 8))]
    X(setting, bad, ANSWERS[answer])
    await setting.record(*[f"c{n}" for n in range(100)], event=EVENT)
    await setting.run.start()

    await minutes(setting, 6, "", event=EVENT, waits=waits)

    states = [await setting.state(f"c{n}", event=EVENT) for n in range(100)]
    assert states.count("delivered") == 100 - len(bad)
    assert len(waits) == 24
    # A conversion that shared a request with unknown culprits may wait for the next bisect.
    assert max(waits) <= 90
    assert sorted(waits)[-2] <= 10
    assert max(waits[8:]) <= 1
    assert await setting.store.load(Pause) == []
    await setting.run.stop(within=1_000)


@pytest.mark.parametrize("answer", ["401", "403 in HTML"])
@pytest.mark.parametrize("first", [0, 260], ids=["start", "end"])
async def test_adjacent_invalid_conversions_are_all_isolated(answer, first):
    setting, bad = Setting(), [f"c{n}" for n in range(300)]
    bad = bad[first : first + 40]
    X(setting, bad, ANSWERS[answer])
    await setting.record(*[f"c{n}" for n in range(300)])
    await setting.run.start()

    for n in range(60):
        await setting.record(f"later{n}")
        await setting.clock.advance(MINUTE)
        if n == 5:
            assert (await setting.store.balance())[0].delivered == 260 + 6
    account = (await setting.store.balance())[0]
    assert (account.delivered, account.dead, account.pending) == (320, 40, 0)
    assert len(setting.transport.sent) <= 600
    await setting.run.stop(within=1_000)


async def test_isolated_conversions_do_not_probe_their_paused_event():
    setting, waits = Setting(), []
    x = X(setting, [f"c{n}" for n in range(20)], ANSWERS["500"])
    await setting.record(*[f"c{n}" for n in range(20)], event=EVENT)
    await setting.run.start()
    for n in range(3 * 60):
        await setting.record(f"before{n}", event=OTHER)
        await setting.clock.advance(SECOND)
    x.refuses_event = EVENT
    for n in range(12 * 60):
        if n % 60 == 0:
            await setting.record(f"more{n}", event=EVENT)
        await setting.record(f"during{n}", event=OTHER)
        await setting.clock.advance(SECOND)
    pauses = await setting.store.load(Pause)

    x.refuses_event = ""
    await minutes(setting, 5, "", event=EVENT, waits=waits)

    assert [pause.event for pause in pauses] == [EVENT]
    assert max(waits) <= 2 * MINUTE // SECOND
    assert max(waits[8:]) <= 1
    assert await setting.store.load(Pause) == []
    await setting.run.stop(within=1_000)


@pytest.mark.parametrize("answer", ["400", "413"])
@pytest.mark.parametrize("after", [400, 500, 2_000])
async def test_no_valid_conversion_is_given_up_when_x_starts_to_refuse_everything(answer, after):
    setting = Setting()
    x = X(setting, ["c123"], ANSWERS[answer])
    await setting.run.start()
    await setting.record(*[f"c{n}" for n in range(500)])
    await setting.clock.advance(after)

    x.refuses_all = True
    for n in range(30):
        await setting.record(f"during{n}")
        await setting.clock.advance(MINUTE)
    during = (await setting.store.balance())[0]
    x.refuses_all = False
    for n in range(10):
        await setting.record(f"later{n}")
        await setting.clock.advance(MINUTE)

    account = (await setting.store.balance())[0]
    assert during.dead <= 1
    assert (account.delivered, account.dead, account.held) == (539, 1, 0)
    await setting.run.stop(within=1_000)


async def test_conversion_denied_meanwhile_is_not_sent_with_the_fallback_credentials():
    keys = OAuthKeys(
        consumer_key="c", consumer_secret=Secret("s"), token="1-t", token_secret=Secret("s")
    )
    setting = Setting(
        destinations=[msgspec.structs.replace(a_destination(), fallback=keys)],
    )

    async def post(outbound):
        setting.transport.sent.append(outbound)
        await setting.clock.sleep(100)
        if len(setting.transport.sent) > 1:
            return taken(outbound)
        denial = an_entry("c1", suppressed="no consent", cause=DeliveryCause.CONSENT_DENIED)
        await setting.store.record(a_submission(denial, receipt="denial"))
        return ANSWERS["401"]

    setting.transport.post = post
    await setting.record("c0", "c1", "c2")
    await setting.run.start()
    await setting.clock.advance(2 * MINUTE)

    first, *later = setting.sent()
    assert first == ["c0", "c1", "c2"]
    assert sorted(id_ for ids in later for id_ in ids) == ["c0", "c2"]
    assert await setting.state("c1") == "suppressed"
    await setting.run.stop(within=1_000)


@pytest.mark.parametrize("share", [0.5, 0.8])
async def test_random_refusals_give_up_and_hold_no_conversion(share):
    setting, random = Setting(), Random(6)
    page, refuses = Response(status=403, headers={}, body=b"<html>no</html>"), [True]

    async def post(outbound):
        await setting.clock.sleep(100)
        return page if refuses[0] and random.random() < share else taken(outbound)

    setting.transport.post = post
    await setting.run.start()
    for n in range(1_200):
        await setting.record(f"c{n}", event=random.choice([EVENT, OTHER]))
        await setting.clock.advance(SECOND // 2)
    during = (await setting.store.balance())[0]
    refuses[0] = False
    await setting.clock.advance(5 * MINUTE)

    account = (await setting.store.balance())[0]
    assert during.dead == 0
    assert (account.delivered, account.held, account.pending) == (1_200, 0, 0)
    await setting.run.stop(within=1_000)
