"""Charts read the delivery times of ended spans once, and those of the latest spans each time."""

import pytest

from twite.console.delivery_times import MOST_KEPT, SETTLES, DeliveryTimesReader
from twite.domain.stats.tally import DeliveryTimes
from twite.domain.times import HOUR, MINUTE
from twite.gateway.ports.listing import QueryScope
from twite.gateway.ports.queries import WaitsQuery

pytestmark = pytest.mark.asyncio
SPANS = 24


class CountingStore:
    """Answers with the deliveries of each hour, and notes since when it was asked."""

    def __init__(self):
        self.deliveries = dict.fromkeys(range(0, 100 * HOUR, HOUR), 1)
        self.asked = []

    async def answer(self, query):
        self.asked.append(query.since)
        return [
            DeliveryTimes(at=at, slots={7: many})
            for at, many in self.deliveries.items()
            if at >= query.since
        ]


def a_query(now, **scope):
    since = now // HOUR * HOUR - (SPANS - 1) * HOUR
    return WaitsQuery(scope=QueryScope(**scope), span=HOUR, since=since)


async def test_ended_spans_are_read_once():
    store, now = CountingStore(), 50 * HOUR + SETTLES
    reader = DeliveryTimesReader(store)

    for later in (0, MINUTE, HOUR):
        query = a_query(now + later)
        found = await reader.read(query, now=now + later)
        assert found == await CountingStore().answer(query)

    assert store.asked == [27 * HOUR, 50 * HOUR, 50 * HOUR]


async def test_deliveries_of_the_latest_span_and_late_ones_of_the_one_before_are_shown():
    store, now = CountingStore(), 50 * HOUR + SETTLES - 1
    reader = DeliveryTimesReader(store)
    await reader.read(a_query(now), now=now)
    store.deliveries |= {49 * HOUR: 5, 50 * HOUR: 9}

    found = await reader.read(a_query(now), now=now)

    slots = {wait.at: wait.slots[7] for wait in found}
    assert (slots[48 * HOUR], slots[49 * HOUR], slots[50 * HOUR]) == (1, 5, 9)


async def test_each_scope_has_its_own_and_the_least_recent_is_dropped():
    store, now = CountingStore(), 50 * HOUR
    reader = DeliveryTimesReader(store)
    for number in range(MOST_KEPT + 1):
        await reader.read(a_query(now, pixel=f"p{number}"), now=now)
    assert set(store.asked) == {27 * HOUR}
    store.asked.clear()

    await reader.read(a_query(now, pixel=f"p{MOST_KEPT}"), now=now)
    await reader.read(a_query(now, pixel="p0"), now=now)

    assert store.asked == [49 * HOUR, 27 * HOUR]


async def test_clock_that_was_set_back_reads_all_again():
    store, now = CountingStore(), 50 * HOUR
    reader = DeliveryTimesReader(store)
    await reader.read(a_query(now), now=now)

    earlier = now - 5 * HOUR
    found = await reader.read(a_query(earlier), now=earlier)

    assert found == await CountingStore().answer(a_query(earlier))
