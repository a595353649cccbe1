"""Limits and revoked tokens: no request before X's reset, one probe a minute, nothing given up."""

import os
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from bench_of_lanes import Setting

from twite.domain.times import MINUTE, SECOND
from twite.gateway.dispatch import Pace
from twite.gateway.notices import Paused
from twite.gateway.ports import Answer
from twite.testing.transport import refused, taken

LONG = os.environ.get("TWITE_TRIAL") == "1"
LIMITS = 1_000 if LONG else 100
REVOCATIONS = 50 if LONG else 8
REVOKED = ("UNAUTHORIZED_ACCESS", "This request is not properly authenticated", "")


class Limiting:
    """X, which answers each other request with a 429 and its reset."""

    def __init__(self, setting):
        self.setting = setting
        self.limits = self.early = self.late = 0
        self.reset = 0

    async def post(self, parcel):
        now = self.setting.clock.now()
        self.early += now < self.reset
        self.late = max(self.late, now - self.reset if self.reset else 0)
        self.setting.transport.sent.append(parcel)
        if self.limits < LIMITS and len(self.setting.transport.sent) % 2:
            self.limits += 1
            self.reset = (now + (7 + 13 * self.limits % 880) * SECOND) // SECOND * SECOND
            date = format_datetime(datetime.fromtimestamp(now // SECOND, UTC), usegmt=True)
            headers = {"x-rate-limit-reset": str(self.reset // SECOND), "date": date}
            return Answer(status=429, headers=headers, body=b"{}")
        return taken(parcel)


@pytest.mark.parametrize("restarts", [False, True], ids=["one process", "restarted in each wait"])
async def test_a_thousand_limits_are_obeyed_to_the_second(restarts):
    setting = Setting(pace=Pace(in_flight=4))
    x = Limiting(setting)
    setting.transport.post = x.post
    await setting.run.start()
    number = 0
    while x.limits < LIMITS:
        number += 1
        await setting.record(f"c{number}", f"d{number}")
        await setting.clock.advance(5 * SECOND)
        if restarts:
            await setting.run.stop(within=1_000)
            await setting.store.restart()
            setting.run = setting.new_run()
            await setting.run.start()
        await setting.clock.advance(900 * SECOND)
    for _ in range(30):
        await setting.clock.advance(MINUTE)

    account = (await setting.store.accounts())[0]
    assert (x.limits, x.early) == (LIMITS, 0)
    assert (account.delivered, account.pending, account.balance) == (2 * number, 0, 0)
    print(f"\n{x.limits} forced 429s, {len(setting.transport.sent)} requests, {x.early} early")
    await setting.run.stop(within=1_000)


class Revoking:
    """X, which knows the token or does not."""

    def __init__(self, setting):
        self.setting = setting
        self.knows = True
        self.probes = []

    async def post(self, parcel):
        await self.setting.clock.sleep(50)
        if self.knows:
            return taken(parcel)
        self.probes.append(self.setting.clock.elapsed())
        return refused(REVOKED, status=401)


async def test_a_token_revoked_under_load_costs_delay_and_nothing_else():
    setting = Setting(pace=Pace(batch=20, in_flight=4))
    x = Revoking(setting)
    setting.transport.post = x.post
    await setting.run.start()
    number, alerts, gaps = 0, [], []
    for _ in range(REVOCATIONS):
        x.knows, x.probes = True, []
        for second in range(240):
            if second == 60:
                x.knows, revoked_at = False, setting.clock.elapsed()
                told = len(setting.seen.notices)
            await setting.record(*[f"c{number + i}" for i in range(10)])
            number += 10
            await setting.clock.advance(SECOND)
        # Those that flew together when it was revoked are one answer.
        alone = [one for one in x.probes if one > revoked_at + SECOND]
        gaps += [later - one for one, later in zip(alone, alone[1:], strict=False)]
        paused = [one for one in setting.seen.notices[told:] if isinstance(one, Paused)]
        alerts.append(len(paused))
        assert x.probes[0] - revoked_at < MINUTE
        x.knows = True
        await setting.clock.advance(3 * MINUTE)
    account = (await setting.store.accounts())[0]

    assert (account.dead, account.held, account.balance) == (0, 0, 0)
    assert (account.delivered, account.pending) == (number, 0)
    assert min(gaps) >= MINUTE
    assert set(alerts) == {1}
    print(f"\n{REVOCATIONS} revocations, {number} conversions, shortest gap of probes {min(gaps)} ms")
    await setting.run.stop(within=1_000)
