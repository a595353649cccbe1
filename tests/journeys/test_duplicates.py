"""30 % of submissions are duplicates, on many connections, across restarts: none is sent twice.

The emulator of X counts how often each conversion id reached it.
"""

import asyncio
import os
import random
import time

import aiohttp
import msgspec
import pytest
from gateway_processes import KEY, BalanceWatch, Gateway, command, wait_for

from twite_emulator.process import running_emulator

TRIAL = bool(os.environ.get("TWITE_TRIAL"))
SUBMITTED = 1_000_000 if TRIAL else 12_000
RESTARTS = 20 if TRIAL else 2
CONNECTIONS = 64
EACH = 20
DUPLICATES = 0.3
SOURCES = ("shop", "till", "app", "warehouse")
MORE_SOURCES = "".join(
    f'[[source]]\nname = "{name}"\nkey = "{KEY}-{name}"\npixel = "o8z6j"\n' for name in SOURCES[1:]
)


class ClosedConnections:
    """Many connections that post new ids and now and then repeat one.

    A request without a response is posted again unchanged until it gets one.
    """

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.submitted = 0
        self.made = 0
        self.accepted = 0
        self.duplicates = 0
        self.unanswered = 0
        self.problems: list[str] = []
        self._randomness = random.Random(20261125)

    @property
    def done(self) -> bool:
        return self.submitted >= SUBMITTED

    async def post_on(self, number: int) -> None:
        key = KEY if number % 4 == 0 else f"{KEY}-{SOURCES[number % 4]}"
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=1),
            timeout=aiohttp.ClientTimeout(total=20),
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        ) as session:
            # Half of the connections send single conversions; one in eight, chunked batches, which
            # the gateway handles in a task.
            each = EACH if number % 8 < 4 else 1
            is_chunked = number % 8 == 3
            while not self.done:
                ids = [self._next_id() for _ in range(each)]
                self.submitted += each
                await self._post_until_answered(session, ids, is_chunked=is_chunked)

    def _next_id(self) -> str:
        if self.made and self._randomness.random() < DUPLICATES:
            # Most clients repeat recent conversions; some, any earlier one.
            span = self.made if self._randomness.random() < 0.2 else min(self.made, 2_000)
            return f"o-{self.made - self._randomness.randrange(span)}"
        self.made += 1
        return f"o-{self.made}"

    async def _post_until_answered(
        self, session: aiohttp.ClientSession, ids: list[str], *, is_chunked: bool
    ) -> None:
        while not await self._post(session, ids, is_chunked=is_chunked):  # noqa: ASYNC110  # there is no event when it is back
            await asyncio.sleep(0.05)

    async def _post(
        self, session: aiohttp.ClientSession, ids: list[str], *, is_chunked: bool
    ) -> bool:
        body = msgspec.json.encode(
            {
                "conversions": [
                    {"event": "purchase", "conversion_id": id_, "email": f"{id_}@example.com"}
                    for id_ in ids
                ]
            }
        )
        try:
            async with session.post(
                f"{self.gateway.url}/v1/conversions", data=body, chunked=is_chunked or None
            ) as answer:
                said = msgspec.json.decode(await answer.read())
        except (aiohttp.ClientError, TimeoutError, msgspec.DecodeError):
            self.unanswered += 1
            return False
        if answer.status == 202:
            self.accepted += said["accepted"]
            self.duplicates += said["duplicates"]
            return True
        if answer.status not in {429, 503}:
            self.problems.append(f"{answer.status}: {said}")
        return answer.status not in {429, 503}


async def submit_all(crowd: ClosedConnections) -> int:
    """Post from all connections, with restarts during the run; return the number of restarts."""
    posting = [asyncio.create_task(crowd.post_on(number)) for number in range(CONNECTIONS)]
    restarts = 0
    while not crowd.done:
        await asyncio.sleep(0.05)
        if crowd.submitted >= SUBMITTED * (restarts + 1) / (RESTARTS + 1) and restarts < RESTARTS:
            assert await asyncio.to_thread(crowd.gateway.stop) == 0
            await asyncio.to_thread(crowd.gateway.start)
            restarts += 1
    await asyncio.gather(*posting)
    return restarts


def drained(gateway: Gateway) -> dict[str, int]:
    """Wait until nothing of any source is pending, and return the whole balance."""
    found: dict[str, int] = {}

    def read() -> bool:
        found.update(msgspec.json.decode(command(gateway, "accounting", "--json").stdout))
        return found["pending"] == 0

    wait_for(read, seconds=300)
    return found


@pytest.mark.journey
@pytest.mark.timeout(3_000 if TRIAL else 200)
async def test_no_duplicate_reaches_x_from_many_connections_over_restarts(tmp_path, figure):
    switches = ("rate_limit=1000000000", "dedup_scope=all", "log_bodies=0")
    began = time.monotonic()
    with running_emulator(*switches) as x:
        gateway = Gateway(tmp_path, x.url)
        with gateway.config.open("a") as config:
            config.write(MORE_SOURCES)
        with gateway:
            crowd = ClosedConnections(gateway)
            with BalanceWatch(gateway) as watch:
                restarts = await submit_all(crowd)
            balance = await asyncio.to_thread(drained, gateway)
            conversions = x.counted()["pixels"]["o8z6j"]["events"]["o8z6k"]["ids"]

    assert crowd.problems == []
    assert watch.residues == []
    assert {many["api"] for many in conversions.values()} == {1}
    assert len(conversions) == crowd.made
    assert balance["balance"] == 0
    assert balance["delivered"] == crowd.made
    assert crowd.accepted <= crowd.made
    figure(
        "duplicates never sent twice",
        f"{crowd.submitted:,} conversions submitted by {CONNECTIONS} connections of "
        f"{len(SOURCES)} sources, {balance['duplicate']:,} duplicates, {restarts} restarts, "
        f"{crowd.unanswered:,} requests posted again for want of an answer: "
        f"0 sent twice, 0 lost, balance 0 at each of {watch.samples} looks "
        f"({time.monotonic() - began:.0f} s)",
    )
