"""The pixel of a request in X's format is not stored if all its conversions were copies."""

import pytest
from msgspec.structs import replace
from past_histories import CLICKS, WINDOW, PastCall, beginning
from real_runs import RealRun, what_if_over

from builders import a_destination, a_source
from fakes import SeededRandomness
from twite.domain.times import DAY, HOUR
from twite.gateway.ports.store import StoreOptions
from twite.gateway.what_if.intake_settings import IntakeSettings
from twite.stores.sqlite import SQLiteStore

BEGAN = beginning(0)
EVENTS = {"purchase": "o1"}
OTHER_EVENTS = {"purchase": "o2"}


def order(at, pixel="p"):
    body = {
        "event": "purchase", "conversion_id": "order-1", "twclid": CLICKS[0], "pixel": pixel,
    }  # fmt: skip
    return PastCall(at=at, kind="native", body=body)


def copy_in_x_format(at):
    conversion = {
        "conversion_time": "2026-11-24T10:00:00.000Z",
        "event_id": "o1",
        "conversion_id": "order-1",
        "identifiers": [{"twclid": CLICKS[0]}],
    }
    return PastCall(at=at, kind="x", body={"conversions": [conversion]}, pixel="p")


def settings_with(window=WINDOW, **events):
    return IntakeSettings.of(
        sources=(replace(a_source("shop"), pixel="p", pixels=frozenset({"p", "q"})),),
        destinations=tuple(
            replace(a_destination(pixel), events=events.get(pixel, EVENTS)) for pixel in "pq"
        ),
        dedup_window=window,
    )


@pytest.fixture
async def store(tmp_path):
    store = await SQLiteStore.open(str(tmp_path / "a.db"), StoreOptions(dedup_window=WINDOW))
    yield store
    await store.close()


async def verdicts_of(store, calls, new_settings, *, since):
    """Return the numbers of outcomes, and the reasons of unknown ones, from a time on."""
    settings = settings_with()
    await RealRun(store, SeededRandomness(0)).replay(settings, calls)
    what_if = what_if_over(store, new_settings, settings, now=lambda: BEGAN + 10 * DAY)
    report = await what_if.run(since=since, until=BEGAN + 10 * DAY)
    return report.after, list(report.unknown)


async def test_copy_is_sent_if_the_conversion_has_another_event_now(store):
    calls = [order(BEGAN), copy_in_x_format(BEGAN + HOUR)]

    found = await verdicts_of(store, calls, settings_with(p=OTHER_EVENTS), since=BEGAN)

    assert found == ({"sent": 2}, [])


async def test_copy_is_unknown_if_it_may_be_one_of_another_pixel(store):
    calls = [order(BEGAN), order(BEGAN + 1, "q"), copy_in_x_format(BEGAN + HOUR)]

    found = await verdicts_of(store, calls, settings_with(p=OTHER_EVENTS), since=BEGAN)

    assert found == ({"sent": 2, "unknown": 1}, ["pixel_not_stored"])


async def test_copy_is_a_duplicate_if_it_is_one_for_each_pixel(store):
    calls = [order(BEGAN), order(BEGAN + 1, "q"), copy_in_x_format(BEGAN + HOUR)]

    found = await verdicts_of(store, calls, settings_with(), since=BEGAN)

    assert found == ({"sent": 2, "duplicate": 1}, [])


async def test_later_copy_is_unknown_if_an_unknown_one_may_have_its_key(store):
    calls = [
        order(BEGAN),
        order(BEGAN + 1, "q"),
        copy_in_x_format(BEGAN + HOUR),
        copy_in_x_format(BEGAN + 2 * HOUR),
    ]

    found = await verdicts_of(store, calls, settings_with(p=OTHER_EVENTS), since=BEGAN)

    assert found[0] == {"sent": 2, "unknown": 2}


async def test_conversion_before_a_shorter_window_tells_the_pixel_of_its_copy(store):
    copy = copy_in_x_format(BEGAN + 3 * DAY)

    found = await verdicts_of(
        store, [order(BEGAN), copy], settings_with(window=DAY), since=copy.at - HOUR
    )

    assert found == ({"sent": 1}, [])


async def test_copy_is_rejected_if_its_pixel_is_not_in_the_settings_now(store):
    both = settings_with()
    without = replace(
        both,
        destinations={"q": both.destinations["q"]},
        sources={"shop": replace(both.sources["shop"], pixel="q", pixels=frozenset({"q"}))},
    )
    calls = [order(BEGAN), copy_in_x_format(BEGAN + HOUR)]

    found = await verdicts_of(store, calls, without, since=BEGAN + HOUR)

    assert found == ({"rejected": 1}, [])
