"""If the time is over before all is read, what-if compares a part, and says which."""

import pytest
from past_histories import WINDOW, PastCall, beginning
from real_runs import RealRun, what_if_over

from builders import a_destination, a_source
from fakes import SeededRandomness
from twite.domain.times import DAY, HOUR, MINUTE, spelled
from twite.gateway.ports.store import StoreOptions
from twite.gateway.what_if.intake_settings import IntakeSettings
from twite.stores.sqlite import SQLiteStore

BEGAN = beginning(0)
SINCE = BEGAN + 12 * HOUR
SETTINGS = IntakeSettings.of(
    sources=(a_source("shop"),), destinations=(a_destination(),), dedup_window=WINDOW
)


def order(name, at):
    body = {"event": "purchase", "conversion_id": name, "email": "shopper@example.com"}
    return PastCall(at=at, kind="native", body=body)


CALLS = (
    order("first", BEGAN),
    order("second", BEGAN + HOUR),
    order("first", SINCE + MINUTE),
    order("second", SINCE + HOUR),
    order("third", SINCE + 2 * HOUR),
)


@pytest.fixture
async def store(tmp_path):
    store = await SQLiteStore.open(str(tmp_path / "a.db"), StoreOptions(dedup_window=WINDOW))
    await RealRun(store, SeededRandomness(0)).replay(SETTINGS, CALLS)
    yield store
    await store.close()


async def report_of(store, *, half_over, over=None):
    asked = {"half": iter(half_over), "all": iter(over or ())}
    what_if = what_if_over(
        store,
        SETTINGS,
        now=lambda: BEGAN + DAY,
        is_half_over=lambda: next(asked["half"]),
        is_over=lambda: next(asked["all"], False),
    )
    return await what_if.run(since=SINCE, until=BEGAN + DAY)


async def test_range_is_compared_if_the_window_before_it_takes_half_of_the_time(store):
    report = await report_of(store, half_over=[False, True])

    assert report.conversions == 3
    assert report.skipped_from == spelled(BEGAN + HOUR)
    # The first order was read, the second was not.
    assert report.after == {"duplicate": 1, "sent": 1, "unknown": 1}
    assert list(report.unknown) == ["copy_unknown"]


async def test_nothing_is_compared_twice_if_both_halves_of_the_time_are_over(store):
    report = await report_of(store, half_over=[True], over=[False, True])

    assert (report.conversions, report.is_cut) == (1, True)
    assert report.until == spelled(SINCE + HOUR)


async def test_report_is_silent_if_everything_was_read(store):
    report = await report_of(store, half_over=[False, False])

    assert report.after == {"duplicate": 2, "sent": 1}
    assert (report.skipped_from, report.is_cut, report.unchanged) == (None, False, 3)
