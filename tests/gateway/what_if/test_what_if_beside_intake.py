"""What-if lets others go first while intake receives something, and does not wait otherwise."""

from itertools import chain, repeat

import pytest
from past_histories import WINDOW, PastCall, beginning
from real_runs import RealRun, what_if_over

from builders import a_destination, a_source
from fakes import SeededRandomness
from twite.domain.times import DAY, HOUR, SECOND
from twite.gateway.ports.store import StoreOptions
from twite.gateway.what_if import run
from twite.gateway.what_if.intake_settings import IntakeSettings
from twite.stores.sqlite import SQLiteStore

BEGAN = beginning(0)
LAST = BEGAN + 2 * HOUR
ORDERS = 5
SETTINGS = IntakeSettings.of(
    sources=(a_source("shop"),), destinations=(a_destination(),), dedup_window=WINDOW
)


def order(number):
    body = {"event": "purchase", "conversion_id": f"order-{number}", "email": "a@shop.example"}
    return PastCall(at=LAST - (ORDERS - 1 - number) * SECOND, kind="native", body=body)


@pytest.fixture
async def store(tmp_path):
    store = await SQLiteStore.open(str(tmp_path / "a.db"), StoreOptions(dedup_window=WINDOW))
    await RealRun(store, SeededRandomness(0)).replay(SETTINGS, list(map(order, range(ORDERS))))
    yield store
    await store.close()


async def pauses_of(store, *times):
    """Return how often the readers and the first process let others go first.

    `times` are those at which the run looks for new requests; the last one repeats.
    """
    reading, deciding = [], []
    clock = chain(times, repeat(times[-1]))
    what_if = what_if_over(
        store,
        SETTINGS,
        breathe_reading=lambda: reading.append(1),
        now=lambda: next(clock),
        breathe=lambda: deciding.append(1),
    )
    report = await what_if.run(since=BEGAN, until=BEGAN + DAY)
    assert report.conversions == ORDERS
    return len(reading), len(deciding)


async def test_processes_let_others_go_first_if_something_was_received_lately(store):
    assert await pauses_of(store, LAST + 50 * SECOND) == (ORDERS, ORDERS)


async def test_processes_do_not_wait_if_nothing_was_received_for_a_minute(store):
    assert await pauses_of(store, LAST + 70 * SECOND) == (0, 0)


async def test_intake_that_begins_during_the_run_is_noticed(store, monkeypatch):
    monkeypatch.setattr(run, "AT_ONCE", 1)
    monkeypatch.setattr(run, "_AT_ONCE_ALONE", 1)
    monkeypatch.setattr(run, "PARTS_PER_LOOK", 2)

    quiet, busy = LAST + 70 * SECOND, LAST + 1 * SECOND
    reading, deciding = await pauses_of(store, quiet, busy)

    # The first two orders were read before the second look, and decided with the others after it,
    # because that sorts them by time of receipt.
    assert (reading, deciding) == (ORDERS - 2, ORDERS)
