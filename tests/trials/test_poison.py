"""Bad conversions in batches of five hundred: none of the good ones is given up, whoever is bad."""

import os
from collections import defaultdict
from random import Random

import pytest
from bench_of_lanes import Setting

from twite.domain.times import MINUTE
from twite.testing.builders import a_destination
from twite.testing.transport import conversions_of, refused, taken

LONG = os.environ.get("TWITE_TRIAL") == "1"
SEEDS = 100 if LONG else 3
NO_IDENTIFIER = ("INVALID_PARAMETER", "At least one user identifier must be provided", "")


class AllOrNothing:
    """X's rule: one bad conversion refuses a whole request, and no index is named."""

    def __init__(self, bad):
        self.bad = bad
        self.requests = 0
        self.taken = set()

    async def post(self, parcel):
        self.requests += 1
        ids = {str(one["conversion_id"]) for one in conversions_of(parcel)}
        if ids & self.bad:
            return refused(NO_IDENTIFIER)
        self.taken |= ids
        return taken(parcel)


async def isolated(bad, *, minutes):
    """Send five hundred, and return (requests, the account, X) when nothing is pending."""
    x = AllOrNothing(bad)
    setting = Setting()
    setting.transport.post = x.post
    await setting.record(*[f"c{n}" for n in range(500)])
    await setting.run.start()
    for _ in range(minutes):
        await setting.clock.advance(MINUTE)
        account = (await setting.store.accounts())[0]
        if not account.pending:
            break
    await setting.run.stop(within=1_000)
    return x.requests, account, x


@pytest.mark.parametrize("count", [1, 2, 5, 10, 50, 250, 499])
async def test_no_good_one_is_given_up_and_no_bad_one_delivered(count, figure):
    requests = []
    for seed in range(SEEDS):
        bad = {f"c{n}" for n in Random(f"{count} {seed}").sample(range(500), count)}

        # One good among so many bad is one probe a minute away.
        asked, account, x = await isolated(bad, minutes=700)

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


async def test_when_all_are_bad_none_is_given_up_since_it_may_be_the_account(figure):
    asked, account, _ = await isolated({f"c{n}" for n in range(500)}, minutes=30)

    assert (account.delivered, account.dead, account.balance) == (0, 0, 0)
    assert account.held + account.pending == 500
    figure("500 bad in a batch of 500", f"0 given up; {asked} requests in 30 minutes")


async def test_a_bad_batch_of_one_pixel_does_not_delay_another():
    delays = {}
    for poisoned in (False, True):
        setting = Setting(destinations=[a_destination("o8z6j"), a_destination("p2")])
        x = AllOrNothing({f"c{n}" for n in range(0, 500, 2)} if poisoned else set())
        landed = defaultdict(int)

        async def post(parcel, setting=setting, x=x, landed=landed):
            await setting.clock.sleep(50)
            answer = await x.post(parcel)
            if "p2" in parcel.url:
                landed[setting.clock.elapsed()] += len(conversions_of(parcel))
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
