"""Invalid conversions in batches of five hundred: no valid conversion is given up."""

import os
from collections import defaultdict
from random import Random

import pytest

from builders import a_destination
from fakes import conversions_of, refused, taken
from twite.domain.times import HOUR, MINUTE
from twite.gateway.ports.transport import NoResponse, Response
from worker_bench import Setting, rare_looks

LONG = os.environ.get("TWITE_TRIAL") == "1"
SEEDS = 100 if LONG else 1
KINDS = 10 if LONG else 1
NO_IDENTIFIER = ("INVALID_PARAMETER", "At least one user identifier must be provided", "")


class AllOrNothing:
    """X's rule: one bad conversion makes it refuse the whole request, without naming an index."""

    def __init__(self, bad):
        self.bad = bad
        self.requests = 0
        self.taken = set()

    async def post(self, outbound):
        self.requests += 1
        ids = {str(conversion["conversion_id"]) for conversion in conversions_of(outbound)}
        if ids & self.bad:
            return refused(NO_IDENTIFIER)
        self.taken |= ids
        return taken(outbound)


async def isolated(bad, *, minutes):
    """Send five hundred, and return (requests, balance, X) when nothing is pending."""
    x = AllOrNothing(bad)
    setting = Setting()
    setting.transport.post = x.post
    await setting.record(*[f"c{n}" for n in range(500)])
    await setting.run.start()
    for _ in range(minutes):
        await setting.clock.advance(MINUTE)
        account = (await setting.store.balance())[0]
        if not account.pending:
            break
    await setting.run.stop(within=1_000)
    return x.requests, account, x


# With nearly all bad, hundreds of minutes of probes are simulated for each seed.
@pytest.mark.timeout(3_600 if LONG else 300)
@pytest.mark.parametrize("count", [1, 2, 5, 10, 50, 250, 499] if LONG else [1, 50])
async def test_no_valid_conversion_is_given_up_and_no_invalid_one_delivered(count, figure):
    requests = []
    for seed in range(SEEDS):
        bad = {f"c{n}" for n in Random(f"{count} {seed}").sample(range(500), count)}

        # If nearly all are bad, the account may be at fault, so there is only one probe a minute.
        # Each time X accepted a good conversion earlier, the rest of its batch waits two minutes
        # for other deliveries.
        asked, account, x = await isolated(bad, minutes=1_000)

        assert not x.taken & bad
        assert (account.delivered, account.balance, account.pending) == (500 - count, 0, 0)
        assert account.dead + account.held == count
        requests.append(asked)
    mean, most = sum(requests) / len(requests), max(requests)
    figure(
        f"{count} bad in a batch of 500",
        f"{SEEDS} seeds, 0 good given up, 0 bad delivered; {mean:.0f} requests, {most} at most",
    )
    assert most <= {1: 20, 2: 38, 5: 86}.get(count, 1_300)


async def test_batch_of_invalid_conversions_gives_up_none(figure):
    asked, account, _ = await isolated({f"c{n}" for n in range(500)}, minutes=30)

    assert (account.delivered, account.dead, account.balance) == (0, 0, 0)
    assert account.held + account.pending == 500
    figure("500 bad in a batch of 500", f"0 given up; {asked} requests in 30 minutes")


async def test_batch_with_an_invalid_conversion_does_not_delay_another_pixel():
    delays = {}
    for poisoned in (False, True):
        setting = Setting(destinations=[a_destination("o8z6j"), a_destination("p2")])
        x = AllOrNothing({f"c{n}" for n in range(0, 500, 2)} if poisoned else set())
        landed = defaultdict(int)

        async def post(outbound, setting=setting, x=x, landed=landed):
            await setting.clock.sleep(50)
            answer = await x.post(outbound)
            if "p2" in outbound.url:
                landed[setting.clock.elapsed()] += len(conversions_of(outbound))
            return answer

        setting.transport.post = post
        await setting.record(*[f"c{n}" for n in range(500)])
        await setting.run.start()
        for second in range(30):
            await setting.record(f"g{second}", pixel="p2")
            await setting.clock.advance(1_000)
        await setting.run.stop(within=10_000)
        delays[poisoned] = landed

    assert delays[True] == delays[False]


HANG = "no answer"
ANSWERS = {
    "400": refused(NO_IDENTIFIER),
    "401": refused(("UNAUTHORIZED_ACCESS", "no", ""), status=401),
    "403": refused(("UNAUTHORIZED_CLIENT_APPLICATION", "no", ""), status=403),
    "403 in HTML": Response(status=403, headers={}, body=b"<html>no</html>"),
    "404": refused(("ROUTE_NOT_FOUND", "no", ""), status=404),
    "500": refused(("INTERNAL_ERROR", "no", ""), status=500),
    HANG: NoResponse(reason="no answer in time", left=True),
    "413": Response(status=413, headers={}, body=b"<html>no</html>"),
}
FAILS = {"500", HANG}
# The maximum minutes and requests until a batch's good ones are sent, by number of bad ones.
LONGEST = {1: 4, 3: 5, 25: 6, 40: 6}
LONGEST_OF_NO_ANSWER = {1: 8, 3: 10, 25: 30, 40: 40}
MOST_REQUESTS = {1: 120, 3: 200, 25: 700, 40: 800}


def x_that_answers(setting, kind, is_bad):
    """Make X give this answer to each request with a bad conversion; return X."""
    x = AllOrNothing(set())

    async def post(outbound):
        ids = {str(conversion["conversion_id"]) for conversion in conversions_of(outbound)}
        x.bad = {id_ for id_ in ids if is_bad(id_)}
        bad = bool(x.bad)
        answer = await x.post(outbound)
        await setting.clock.sleep(30_000 if bad and kind == HANG else 100)
        return ANSWERS[kind] if bad else answer

    setting.transport.post = post
    return x


@pytest.mark.parametrize("count", [1, 3, 25, 40] if LONG else [40])
@pytest.mark.parametrize("kind", ANSWERS if LONG else ["401", "500", HANG])
async def test_valid_conversions_are_delivered_beside_invalid_ones(kind, count, figure):
    requests, lasted = [], []
    for seed in range(KINDS):
        bad = {f"c{n}" for n in Random(f"{kind} {count} {seed}").sample(range(500), count)}
        setting = Setting()
        x = x_that_answers(setting, kind, bad.__contains__)
        await setting.record(*[f"c{n}" for n in range(500)])
        await setting.run.start()
        minutes = 0
        while len(x.taken) < 500 + minutes - count:
            assert minutes < 60
            await setting.record(f"later{minutes}")
            await setting.clock.advance(MINUTE)
            minutes += 1
        requests.append(x.requests)
        lasted.append(minutes)
        # Conversions that make X fail are held after 40 hours; all others are decided long before.
        fails = kind in FAILS
        with rare_looks():
            for hour in range(0 if fails and not LONG else 42 if fails else 8):
                await setting.record(f"hourly{hour}")
                await setting.clock.advance(HOUR)
        (account,) = await setting.store.balance()
        await setting.run.stop(within=1_000)

        assert not x.taken & bad
        assert (account.delivered, account.balance) == (account.received - count, 0)
        assert account.dead + account.held == (0 if fails and not LONG else count)
    figure(
        f"{count} of 500 that X answers with {kind}",
        f"{KINDS} seeds, 0 good given up, 0 bad delivered; all good ones delivered within "
        f"{max(lasted)} minutes and {max(requests)} requests",
    )
    assert max(lasted) <= (LONGEST_OF_NO_ANSWER if kind == HANG else LONGEST)[count]
    assert max(requests) <= MOST_REQUESTS[count]


@pytest.mark.parametrize("kind", ANSWERS if LONG else ["401"])
async def test_steady_tenth_of_invalid_conversions_builds_no_backlog(kind, figure):
    """With twenty per minute, the backlog after each quarter is at most a few minutes' worth."""
    setting, randomness = Setting(), Random(1)
    x = x_that_answers(setting, kind, lambda id_: id_.startswith("bad"))
    await setting.run.start()
    good, waiting = 0, []
    quarter = 20 * (60 if LONG else 10)

    for number in range(4 * quarter):
        is_bad = randomness.random() < 0.1
        good += not is_bad
        await setting.record(f"{'bad' if is_bad else 'good'}{number}")
        await setting.clock.advance(MINUTE // 20)
        if number % quarter == quarter - 1:
            waiting.append(good - len(x.taken))
    requests = x.requests
    minutes = 0
    while len(x.taken) < good and minutes < 180:
        await setting.clock.advance(MINUTE)
        minutes += 1
    await setting.run.stop(within=1_000)

    figure(
        f"20 a minute, a tenth of which X answers with {kind}",
        f"{4 * quarter:,} conversions; good ones that waited at the end of each quarter: "
        f"{', '.join(map(str, waiting))}; {requests} requests; the last good one delivered "
        f"{minutes} minutes after the end; 0 good given up",
    )
    assert len(x.taken) == good
    assert max(waiting) <= 100
    assert waiting[-1] <= max(waiting[:-1], default=0) + 40
