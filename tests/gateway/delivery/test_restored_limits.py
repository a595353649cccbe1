"""After a start, earlier conversions and stored windows count towards rate limits."""

import pytest

from builders import a_destination
from fakes import MovingClock
from memory_store.store import MemoryStore
from twite.domain.destination import RATE_WINDOW
from twite.domain.times import DAY, MINUTE
from twite.gateway.delivery.rate_limit import GatewayStart, RateLimit, restored_limits
from twite.gateway.ports.state import RateLimitWindow

NOW = 1_795_600_000_000


def test_first_start_of_a_store_follows_no_downtime():
    assert GatewayStart.after(0, now=NOW) == GatewayStart(at=NOW, away=0)


@pytest.mark.parametrize(("last", "away"), [(NOW - DAY, DAY), (NOW + 5, 0)])
def test_downtime_is_the_time_since_the_last_record(last, away):
    assert GatewayStart.after(last, now=NOW) == GatewayStart(at=NOW, away=away)


def test_only_conversions_sent_before_the_start_are_counted_again():
    start = GatewayStart(at=NOW, away=MINUTE)

    assert start.later(NOW - 7) == NOW - 7 + MINUTE
    assert start.later(NOW + 7) == NOW + 7


@pytest.mark.parametrize(
    ("until", "end"),
    [
        (NOW + 5, NOW + 5 + MINUTE),
        (NOW + 2 * RATE_WINDOW - 5, NOW + 2 * RATE_WINDOW),
        (NOW + 3 * RATE_WINDOW, NOW + 3 * RATE_WINDOW),
    ],
)
def test_stored_window_ends_later_but_stays_plausible(until, end):
    assert GatewayStart(at=NOW, away=MINUTE).end(until) == end


async def test_restored_window_closes_the_account_and_is_not_stored_again():
    clock, store = MovingClock(), MemoryStore()
    await store.put([RateLimitWindow(pixel="p2", until=clock.now() + 5 * MINUTE, reason="429")])

    limits = await restored_limits(
        store, clock, [a_destination("p2")], start=GatewayStart(at=clock.now())
    )

    (rate_limit,) = limits.values()
    assert (rate_limit.is_closed_by_x, rate_limit.wait()) == (True, 5 * MINUTE)
    assert rate_limit.unnoted() is None


def test_added_pixel_shares_the_rate_limit_of_its_account():
    rate_limit = RateLimit(limit=100, clock=MovingClock(), past=(), pixels=["p1"])

    rate_limit.share(["p1", "p2"])
    rate_limit.share(["p3", "p2"])

    assert rate_limit.pixels == ["p1", "p2", "p3"]
