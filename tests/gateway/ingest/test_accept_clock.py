"""A jump of the wall clock affects only conversions that have no time of their own."""

import json

import pytest

from builders import a_destination, a_source
from fakes import MovingClock, SeededRandomness
from memory_store.store import MemoryStore
from twite.domain.times import DAY, HOUR, spelled
from twite.gateway.delivery.monotonic_clock import MonotonicClock
from twite.gateway.ingest.accept import Accept
from twite.gateway.ports.queries import ByConversionId


def a_purchase(conversion_id="order-1", **more):
    written = {"event": "purchase", "conversion_id": conversion_id, "email": "a@example.com"}
    return json.dumps(written | more).encode()


class AcceptClockStage:
    def __init__(self):
        self.wall = MovingClock()
        self.store = MemoryStore()
        self.accept = Accept(
            intake=self.store,
            clock=MonotonicClock(self.wall),
            wall_clock=self.wall,
            randomness=SeededRandomness(),
            destinations={"o8z6j": a_destination()},
            salt=b"s",
            wake=lambda _: None,
        )

    async def submit(self, **more):
        return await self.accept.native(source=a_source(), body=a_purchase(**more))

    async def history(self):
        (history,) = await self.store.find(
            ByConversionId(pixel="o8z6j", events=["o8z6k"], conversion_id="order-1")
        )
        return history


@pytest.mark.parametrize("by", [8 * DAY, 74 * 365 * DAY])
async def test_clock_set_forward_does_not_shorten_the_deduplication_window(by):
    stage = AcceptClockStage()
    await stage.submit()

    stage.wall.jump(by)
    receipt = await stage.submit()

    assert (receipt.accepted, receipt.duplicates) == (0, 1)


async def test_time_of_receipt_uses_the_monotonic_clock():
    stage = AcceptClockStage()
    began = stage.wall.now()

    stage.wall.jump(DAY)
    await stage.submit()

    assert (await stage.history()).received_at == began


async def test_conversion_without_a_time_gets_the_wall_clock_time():
    stage = AcceptClockStage()
    stage.wall.jump(HOUR)

    await stage.submit()

    sent = json.loads((await stage.history()).sent)
    assert sent["conversion_time"] == spelled(stage.wall.now())


async def test_given_conversion_time_is_never_changed():
    stage = AcceptClockStage()
    stage.wall.jump(-HOUR)

    await stage.submit(time="2026-11-24T10:00:00.250Z")

    assert json.loads((await stage.history()).sent)["conversion_time"] == "2026-11-24T10:00:00.250Z"
