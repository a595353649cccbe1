import asyncio
import json
import time

import pytest
from command_stage import settings_in

from builders import a_submission, an_entry
from twite.domain.delivery import Attempt, Settlement, Transition, Trigger
from twite.domain.times import spelled
from twite.gateway.ports.outbox import Claim
from twite.stores.sqlite import SQLiteStore

WHY = (
    "X accepted nothing in the last 5 minutes (1 request); after each failure, Twite tries again "
    "within 60 seconds"
)


async def outage(path: str, now: int, due_at: int | None) -> None:
    """Store two orders. X has answered the first with 503."""
    store = await SQLiteStore.open(path)
    try:
        for order in ("order-1", "order-2"):
            await store.record(
                a_submission(an_entry(order), receipt=f"r-{order}", received_at=now - 9_000)
            )
        batch = await store.claim(
            Claim(pixel="o8z6j", now=now, lease_until=now + 60_000, limit=1, ambiguous_after=0)
        )
        assert batch is not None
        ids = tuple(delivery.id for delivery in batch.deliveries)
        await store.settle(
            Settlement(
                lease=batch.lease,
                attempt=Attempt(
                    at=now - 1_000,
                    pixel="o8z6j",
                    event="o8z6k",
                    outcome="errored",
                    deliveries=ids,
                    status=503,
                    answer="",
                ),
                transitions=(Transition(trigger=Trigger.POSTPONED, deliveries=ids, due_at=due_at),),
                lease_until=now + 60_000,
            )
        )
    finally:
        await store.close()


@pytest.fixture
def now():
    return time.time_ns() // 1_000_000


@pytest.mark.parametrize("order", ["order-1", "order-2"])
def test_show_of_a_queued_conversion_says_that_the_pixel_is_paused(command, tmp_path, now, order):
    asyncio.run(outage(f"{tmp_path}/twite.db", now, None))
    config = ("--config", str(settings_in(tmp_path)))

    _, out, _ = command("show", order, *config)
    (shown,) = json.loads(command("show", order, "--json", *config)[1])["conversions"]

    assert f"  waits        {WHY}\n" in out
    assert shown["waiting"] == WHY


def test_show_of_a_rescheduled_conversion_prints_the_time_of_the_retry(command, tmp_path, now):
    due_at = now + 3_600_000
    asyncio.run(outage(f"{tmp_path}/twite.db", now, due_at))

    _, out, _ = command("show", "order-1", "--config", str(settings_in(tmp_path)))

    assert f"  waits        the next attempt is at {spelled(due_at)}\n" in out
    assert f"  next attempt {spelled(due_at)}\n" in out
