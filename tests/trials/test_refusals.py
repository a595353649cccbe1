"""Rate limits and revoked tokens: no request before X's reset, one probe a minute, nothing given
up.
"""

import os
from datetime import UTC, datetime
from email.utils import format_datetime
from itertools import pairwise

import pytest

from fakes import refused, taken
from twite.domain.times import MINUTE, SECOND
from twite.gateway.delivery.worker import WorkerConfig
from twite.gateway.ports.events import Paused
from twite.gateway.ports.transport import Response
from worker_bench import Setting

LONG = os.environ.get("TWITE_TRIAL") == "1"
LIMITS = 1_000 if LONG else 50
EACH = 25
EACH_SECOND = 10
REVOCATIONS = 50 if LONG else 1
REVOKED = ("UNAUTHORIZED_ACCESS", "This request is not properly authenticated", "")


class Limiting:
    """An X that answers every other request with a 429 and a reset time.

    `first` returns random resets.
    """

    def __init__(self, setting, first):
        self.setting = setting
        self.first = first
        self.limits = self.early = 0
        self.reset = 0

    async def post(self, outbound):
        now = self.setting.clock.now()
        self.early += now < self.reset
        self.setting.transport.sent.append(outbound)
        if self.limits < EACH and len(self.setting.transport.sent) % 2:
            self.limits += 1
            wait = 7 + 13 * (self.first + self.limits) % 880
            self.reset = (now + wait * SECOND) // SECOND * SECOND
            date = format_datetime(datetime.fromtimestamp(now // SECOND, UTC), usegmt=True)
            headers = {"x-rate-limit-reset": str(self.reset // SECOND), "date": date}
            return Response(status=429, headers=headers, body=b"{}")
        return taken(outbound)


async def limited(first, *, restarts):
    """Return (requests, requests before a reset) for twenty-five consecutive limits."""
    setting = Setting(worker_config=WorkerConfig(in_flight=4))
    x = Limiting(setting, first)
    setting.transport.post = x.post
    await setting.run.start()
    number = 0
    while x.limits < EACH:
        number += 1
        await setting.record(f"c{number}", f"d{number}")
        await setting.clock.advance(5 * SECOND)
        if restarts:
            await setting.run.stop(within=1_000)
            await setting.store.restart()
            setting.run = setting.new_run()
            await setting.run.start()
        await setting.clock.advance(max(0, x.reset - setting.clock.now()) + 10 * SECOND)
    await setting.clock.advance(30 * MINUTE)
    account = (await setting.store.balance())[0]
    assert (account.delivered, account.pending, account.balance) == (2 * number, 0, 0)
    await setting.run.stop(within=1_000)
    return len(setting.transport.sent), x.early


@pytest.mark.parametrize("restarts", [False, True], ids=["one process", "restarted in each wait"])
async def test_no_request_is_sent_before_the_reset_of_a_rate_limit(restarts, figure):
    found = [await limited(first, restarts=restarts) for first in range(0, LIMITS, EACH)]

    asked, early = (sum(column) for column in zip(*found, strict=True))
    figure(
        "429 is obeyed" + (" by the next process" if restarts else ""),
        f"{LIMITS:,} forced, {asked:,} requests, {early} before a reset",
    )
    assert early == 0


class Revoking:
    """An X that accepts the token or not."""

    def __init__(self, setting):
        self.setting = setting
        self.knows = True
        self.probes = []

    async def post(self, outbound):
        await self.setting.clock.sleep(50)
        if self.knows:
            return taken(outbound)
        self.probes.append(self.setting.clock.elapsed())
        return refused(REVOKED, status=401)


async def revoked(number):
    """Return the intervals of probes while a token is revoked under load, then restored."""
    setting = Setting(worker_config=WorkerConfig(batch=20, in_flight=4))
    x = Revoking(setting)
    setting.transport.post = x.post
    await setting.run.start()
    for second in range(240):
        if second == 60:
            x.knows, revoked_at = False, setting.clock.elapsed()
        await setting.record(*[f"c{number}-{second}-{i}" for i in range(EACH_SECOND)])
        await setting.clock.advance(SECOND)
    x.knows = True
    await setting.clock.advance(3 * MINUTE)
    account = (await setting.store.balance())[0]
    paused = [notice for notice in setting.seen.notices if isinstance(notice, Paused)]
    await setting.run.stop(within=1_000)
    assert (account.dead, account.held, account.pending, account.balance) == (0, 0, 0, 0)
    assert account.delivered == 240 * EACH_SECOND
    assert len(paused) == 1
    assert x.probes[0] - revoked_at < MINUTE
    # Requests in flight together at the revocation count as one answer.
    alone = [probe for probe in x.probes if probe > revoked_at + SECOND]
    return [later - earlier for earlier, later in pairwise(alone)]


async def test_token_revoked_under_load_only_delays_deliveries(figure):
    gaps = [gap for number in range(REVOCATIONS) for gap in await revoked(number)]

    conversions = REVOCATIONS * 240 * EACH_SECOND
    figure(
        "a token revoked under load",
        f"{REVOCATIONS} times, {conversions:,} conversions, 0 given up; "
        f"probes {min(gaps) / SECOND:.0f} s apart or more",
    )
    assert min(gaps) >= MINUTE
