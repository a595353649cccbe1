"""Responses to a client with repeated refusals are delayed; others are not."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from http_stage import Stage, StoppedClock

from twite.http.limits import REFUSALS, RefusalThrottle

HERE, THERE = "203.0.113.7", "198.51.100.9"
Staged = Callable[..., Awaitable[Stage]]


class CountingClock(StoppedClock):
    def __init__(self) -> None:
        self.slept: list[int] = []

    async def sleep(self, ms: int) -> None:
        self.slept.append(ms)


def asked_from(address: str, *forwarded: str) -> dict[str, object]:
    headers = [(b"x-forwarded-for", address.encode()) for address in forwarded]
    return {"client": (address, 40_000), "headers": headers}


async def refused(patience: RefusalThrottle, times: int, *, status: int = 404, address: str = HERE):
    for _ in range(times):
        await patience.before(status, asked_from(address))


async def test_refusals_above_the_rate_are_delayed():
    clock = CountingClock()
    patience = RefusalThrottle(clock=clock, rate=3)

    await refused(patience, 3)
    assert clock.slept == []

    await refused(patience, 2)
    assert clock.slept == [1_000, 1_000]


async def test_refusals_of_other_addresses_are_not_delayed():
    clock = CountingClock()
    patience = RefusalThrottle(clock=clock, rate=1)

    await refused(patience, 1)
    await refused(patience, 1, address=THERE)

    assert clock.slept == []


@pytest.mark.parametrize("status", [200, 202, 400, 409, 413, 415, 422, 500])
async def test_responses_with_other_statuses_are_not_delayed(status: int):
    clock = CountingClock()
    patience = RefusalThrottle(clock=clock, rate=1)

    await refused(patience, 5, status=status)

    assert clock.slept == []


async def test_forwarded_address_is_ignored_without_a_trusted_proxy():
    clock = CountingClock()
    patience = RefusalThrottle(clock=clock, rate=1)

    await patience.before(404, asked_from(HERE, THERE))
    await patience.before(404, asked_from(HERE, "198.51.100.10"))

    assert clock.slept == [1_000]


@pytest.mark.parametrize(
    ("method", "path", "key"),
    [
        ("POST", "/v1/conversions", "a-wrong-key-of-length"),
        ("GET", "/v1/accounting", None),
        ("GET", "/no/such/route", None),
        ("PUT", "/v1/conversions", None),
        ("POST", "/12/measurement/conversions/o8z6j", None),
    ],
)
async def test_refusals_of_every_route_are_delayed(
    staged: Staged, monkeypatch: pytest.MonkeyPatch, method: str, path: str, key: str | None
):
    slept: list[int] = []

    async def sleep(_clock: StoppedClock, ms: int) -> None:
        slept.append(ms)

    monkeypatch.setattr(StoppedClock, "sleep", sleep)
    stage = await staged()

    async def once() -> None:
        response = await stage.ask(method, path, b"{}", key=key)
        assert response.status in {401, 404, 405}

    for _ in range(REFUSALS // 20):
        await asyncio.gather(*[once() for _ in range(20)])
    assert slept == []

    await once()
    assert slept == [1_000]
