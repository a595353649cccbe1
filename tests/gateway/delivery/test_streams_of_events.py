"""Two events of a pixel: whatever X answers to one event, the other is delivered.

The bad event's conversions arrive all the time, so that they compete for every free slot.
"""

import os

import pytest
from answers_of_x import BAD, GOOD
from event_streams import EVERY, LIMIT_IN_WORDS, LONGEST, X, p99, stream

from builders import a_destination
from fakes import taken
from twite.domain.pause import Pause
from twite.domain.times import MINUTE, SECOND
from twite.gateway.delivery.requests_in_flight import MOST_AT_ONCE
from twite.gateway.delivery.worker import WorkerConfig
from twite.gateway.ports.state import RateLimitWindow
from twite.gateway.ports.transport import Response
from worker_bench import Setting

LONG = os.environ.get("TWITE_TRIAL") == "1"
SECONDS = 170 if LONG else 30
RATES = (1, 5, 10, 20)
CASES = [
    (answer, rate) for answer in EVERY for rate in (RATES if LONG or answer == "hang" else (10,))
]


def limited(setting, *, seconds, remaining="0"):
    """Return a 429 that names the reset of the user's rate limit."""
    headers = {
        "x-rate-limit-limit": "60000",
        "x-rate-limit-remaining": remaining,
        "x-rate-limit-reset": str(setting.steady.now() // SECOND + seconds),
    }
    return Response(status=429, headers=headers, body=LIMIT_IN_WORDS)


@pytest.mark.parametrize(("answer", "rate"), CASES)
async def test_event_with_bad_responses_does_not_delay_another(answer, rate, figure):
    setting = Setting()
    x = X(setting, answer)
    await setting.run.start()

    born = await stream(setting, rate=rate, seconds=SECONDS)
    await setting.clock.advance(10 * SECOND)

    (account,) = await setting.store.balance()
    figure(
        f"one event beside {rate} conversions a second of one that X answers with {answer}",
        f"p99 {p99(x, born)} ms; {len(x.asked_for(BAD))} requests of the bad one in {SECONDS} s, "
        f"at most {x.most_in_flight} requests in flight",
    )
    assert p99(x, born) <= LONGEST
    assert x.accepted == dict.fromkeys(born, 1)
    assert (account.delivered, account.dead, account.balance) == (len(born), 0, 0)
    assert x.most_in_flight <= MOST_AT_ONCE // 2
    await setting.run.stop(within=1_000)


@pytest.mark.parametrize("answer", ["hang", "401", "403 in HTML", "500"])
@pytest.mark.parametrize(("slots", "took"), [(1, 100), (1, 1_000), (2, 100), (4, 1_000)], ids=str)
async def test_event_with_bad_responses_does_not_delay_another_with_few_slots(answer, slots, took):
    setting = Setting(worker_config=WorkerConfig(in_flight=slots))
    x = X(setting, answer, took=took)
    await setting.run.start()

    born = await stream(setting, rate=10, seconds=SECONDS)
    await setting.clock.advance(10 * SECOND)

    assert p99(x, born) <= LONGEST + 2 * took
    await setting.run.stop(within=1_000)


class PartlyBadX(X):
    """An X that answers badly only to a third of the bad event's conversions."""

    def is_bad(self, ids):
        return any(int(id_.rpartition("-")[2]) // 50 % 3 == 0 for id_ in ids)


@pytest.mark.parametrize("answer", ["400", "413", "401", "403 in HTML", "500", "hang"])
@pytest.mark.parametrize(("slots", "took"), [(1, 50), (1, 100), (1, 1_000), (2, 100)], ids=str)
async def test_event_with_invalid_conversions_does_not_delay_another(answer, slots, took, figure):
    setting = Setting(worker_config=WorkerConfig(in_flight=slots))
    x = PartlyBadX(setting, answer, took=took)
    await setting.run.start()

    born = await stream(setting, rate=10, seconds=SECONDS)
    await setting.clock.advance(10 * SECOND)

    figure(
        f"one event beside one of which X answers a third with {answer}, in_flight {slots}, "
        f"{took} ms a response",
        f"p99 {p99(x, born)} ms",
    )
    assert p99(x, born) <= LONGEST + (took if took > 100 else 0)
    await setting.run.stop(within=1_000)


@pytest.mark.parametrize("many", [5, 12, 24])
async def test_events_without_responses_do_not_delay_another(many, figure):
    setting = Setting()
    events = [f"o8zb{number}" for number in range(many)]
    x = X(setting, "hang", bad=events)
    await setting.run.start()

    born = await stream(setting, rate=1, seconds=SECONDS, bad=events)
    await setting.clock.advance(10 * SECOND)

    figure(f"one event beside {many} that hang", f"p99 {p99(x, born)} ms")
    assert p99(x, born) <= LONGEST
    assert x.most_in_flight <= MOST_AT_ONCE
    await setting.run.stop(within=1_000)


@pytest.mark.parametrize("answer", ["hang", "401", "403 in HTML", "500", "429"])
async def test_new_event_is_sent_at_once_beside_a_failing_one(answer):
    setting = Setting()
    x = X(setting, answer)
    await setting.run.start()
    for second in range(30):
        await setting.record(f"bad{second}", event=BAD)
        await setting.clock.advance(SECOND)

    await setting.record("good", event=GOOD)
    await setting.clock.advance(5 * SECOND)

    assert x.accepted == {"good": 1}
    await setting.run.stop(within=1_000)


@pytest.mark.parametrize("answer", ["401", "403 in HTML", "404"])
async def test_revoked_credentials_of_several_events_are_probed_once_a_minute(answer):
    events = [f"o8zb{number}" for number in range(5)]
    setting = Setting()
    x = X(setting, answer, bad=events)
    await setting.run.start()
    await stream(setting, rate=5, seconds=10, bad=events[1:], good=events[0])
    first = len(x.asked)
    await stream(setting, rate=2, seconds=300, bad=events[1:], good=events[0])

    probes = [ids for _, at, ids in x.asked if at >= 10 * SECOND]
    pauses = await setting.store.load(Pause)
    x.bad = ()
    await setting.clock.advance(2 * MINUTE)

    # Each event shows once that the refusals are not about another event.
    assert first <= 2 * len(events) + 4
    assert 4 <= len(probes) <= 6
    assert len({tuple(ids) for ids in probes}) == len(probes)
    assert [pause.event for pause in pauses] == [""]
    (account,) = await setting.store.balance()
    assert (account.dead, account.held, account.pending) == (0, 0, 0)
    await setting.run.stop(within=1_000)


@pytest.mark.parametrize("answer", ["500", "hang", "reset"])
async def test_unavailable_x_gets_few_requests_for_several_events(answer):
    events = [f"o8zb{number}" for number in range(5)]
    setting = Setting()
    x = X(setting, answer, bad=events)
    await setting.run.start()

    await stream(setting, rate=2, seconds=180, bad=events[1:], good=events[0])

    assert len(x.asked) <= 60
    assert x.most_in_flight <= 8 + len(events)
    x.bad = ()
    await setting.clock.advance(10 * MINUTE)
    (account,) = await setting.store.balance()
    assert (account.dead, account.held, account.pending) == (0, 0, 0)
    await setting.run.stop(within=1_000)


class LimitingX(X):
    """An X that limits the bad event, or everything, until a reset that it names."""

    def __init__(self, setting, *, bad=(BAD,), seconds=300, remaining="0", says=True):
        super().__init__(setting, "429", bad=bad)
        self.seconds = seconds
        self.remaining = remaining
        self.says = says

    def refuse(self):
        return limited(self.setting, seconds=self.seconds, remaining=self.remaining)

    def accept(self, outbound):
        left = {
            "x-rate-limit-remaining": "58000",
            "x-rate-limit-reset": str(self.setting.steady.now() // SECOND + 600),
        }
        response = taken(outbound)
        return Response(status=200, headers=left if self.says else {}, body=response.body)


async def after_an_acceptance(setting, x):
    await setting.run.start()
    await setting.record("first", event=GOOD)
    await setting.clock.advance(SECOND)
    assert x.accepted == {"first": 1}


async def test_rate_limit_that_other_responses_contradict_pauses_only_its_event():
    setting = Setting()
    x = LimitingX(setting)
    await after_an_acceptance(setting, x)

    born = await stream(setting, rate=10, seconds=60)
    await setting.clock.advance(10 * SECOND)

    assert p99(x, born) <= LONGEST
    assert len(x.asked_for(BAD)) == 1
    (pause,) = await setting.store.load(Pause)
    assert (pause.event, pause.reason[:24]) == (BAD, "X limits only this event")
    assert await setting.store.load(RateLimitWindow) == []
    # The event's next request is a probe after the reset.
    x.bad = ()
    await setting.clock.advance(300 * SECOND)
    assert x.asked_for(BAD)[1] >= 300 * SECOND
    assert await setting.store.load(Pause) == []
    await setting.run.stop(within=1_000)


async def test_rate_limit_with_a_rest_pauses_only_its_event():
    setting = Setting()
    x = LimitingX(setting, remaining="57000", says=False)
    await setting.run.start()

    born = await stream(setting, rate=10, seconds=20)
    await setting.clock.advance(10 * SECOND)

    assert p99(x, born) <= LONGEST
    assert len(x.asked_for(BAD)) == 1
    await setting.run.stop(within=1_000)


@pytest.mark.parametrize("says", [True, False])
async def test_exhausted_rate_limit_closes_the_account(says):
    setting = Setting()
    x = LimitingX(setting, says=says)
    await after_an_acceptance(setting, x)
    await setting.clock.advance(2 * MINUTE if says else 0)
    limited_at = setting.clock.elapsed()

    born = await stream(setting, rate=10, seconds=60)

    early = len(x.asked) - 1
    x.bad = ()
    await setting.clock.advance(300 * SECOND)
    # Requests that were in flight together with the limited one do not count.
    assert early <= 2
    assert not [at for _, at, _ in x.asked if limited_at + SECOND < at < limited_at + 299 * SECOND]
    assert born.keys() <= x.accepted.keys()
    await setting.run.stop(within=1_000)


@pytest.mark.parametrize("answer", ["429", "429 with Retry-After"])
async def test_account_is_closed_when_x_limits_a_second_event(answer):
    other = "o8zb1"
    setting = Setting(destinations=[a_destination()])
    x = X(setting, answer, bad=(BAD, other))
    await after_an_acceptance(setting, x)
    await setting.record("bad", event=BAD)
    await setting.clock.advance(SECOND)
    await setting.record("good", event=GOOD)
    await setting.clock.advance(SECOND)
    before = dict(x.accepted)

    await setting.record("other", event=other)
    await setting.clock.advance(SECOND)
    for second in range(50):
        await setting.record(f"later{second}", event=GOOD)
        await setting.clock.advance(SECOND)

    assert before == {"first": 1, "good": 1}
    assert x.accepted == before
    (window,) = await setting.store.load(RateLimitWindow)
    assert window.pixel == "o8z6j"
    await setting.run.stop(within=1_000)
