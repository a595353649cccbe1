"""What-if reads one dedup window before its range: the holder of an earlier key is not read."""

import pytest
from msgspec.structs import replace
from past_histories import WINDOW, PastCall, beginning
from real_runs import RealRun, what_if_over

from builders import a_destination, a_source
from fakes import SeededRandomness
from twite.domain.consent import ConsentAction, ConsentPolicy
from twite.domain.times import DAY, HOUR
from twite.gateway.ports.store import StoreOptions
from twite.gateway.what_if.intake_settings import IntakeSettings
from twite.stores.sqlite import SQLiteStore

BEGAN = beginning(0)
ENDED = BEGAN + 10 * DAY


def order(at, **given):
    return PastCall(
        at=at, kind="native", body={"event": "purchase", "email": "a@shop.example"} | given
    )


def settings_with(*pixels, window=WINDOW, test_until=None):
    """Return settings whose source sends to the first of some pixels, and holds what is denied."""
    source = replace(
        a_source("shop"),
        pixel=pixels[0],
        pixels=frozenset(pixels),
        consent=ConsentPolicy(user_data_denied=ConsentAction.HOLD),
        test_until=test_until,
    )
    return IntakeSettings.of(
        sources=(source,),
        destinations=tuple(map(a_destination, pixels)),
        dedup_window=window,
    )


@pytest.fixture
async def store(tmp_path):
    store = await SQLiteStore.open(str(tmp_path / "a.db"), StoreOptions(dedup_window=WINDOW))
    yield store
    await store.close()


async def verdicts_of(store, calls, new_settings, *, since):
    settings = settings_with("p")
    await RealRun(store, SeededRandomness(0)).replay(settings, calls)
    what_if = what_if_over(store, new_settings, settings, now=lambda: ENDED)
    report = await what_if.run(since=since, until=ENDED)
    return report.after, list(report.unknown)


async def test_copy_is_unknown_if_a_copy_of_an_unread_conversion_may_have_its_key(store):
    calls = [order(BEGAN + days * DAY, conversion_id="1") for days in (0, 6, 8)]

    # The first one was received more than a window before the range. The second one was a copy.
    found = await verdicts_of(store, calls, settings_with("p"), since=calls[2].at - HOUR)

    assert found == ({"unknown": 1}, ["copy_unknown"])


async def test_copy_of_an_unread_conversion_that_is_held_is_unknown(store):
    denied = {"ad_user_data": "denied"}
    calls = [order(BEGAN + days * DAY, conversion_id="1", consent=denied) for days in (0, 8)]

    found = await verdicts_of(store, calls, settings_with("p"), since=calls[1].at - HOUR)

    assert found == ({"unknown": 1}, ["copy_unknown"])


async def test_copy_is_sent_if_a_shorter_window_is_over(store):
    calls = [order(BEGAN + days * DAY, conversion_id="1") for days in (0, 4)]

    found = await verdicts_of(
        store, calls, settings_with("p", window=3 * DAY), since=calls[1].at - HOUR
    )

    assert found == ({"sent": 1}, [])


async def test_conversion_is_a_duplicate_if_a_longer_window_is_not_over(store):
    calls = [order(BEGAN + days * DAY, conversion_id="1") for days in (0, 8)]

    found = await verdicts_of(
        store, calls, settings_with("p", window=9 * DAY), since=calls[1].at - HOUR
    )

    assert found == ({"duplicate": 1}, [])


async def test_repeat_without_an_id_may_move_to_a_new_pixel(store):
    calls = [order(BEGAN), order(BEGAN + HOUR)]

    found = await verdicts_of(store, calls, settings_with("new", "p"), since=BEGAN)

    assert found == ({"sent": 1, "duplicate": 1}, [])


async def test_repeat_without_an_id_is_unknown_if_the_first_one_moves_to_tests(store):
    calls = [replace(order(BEGAN + days * DAY), key="retry") for days in (0, 2)]
    new_settings = settings_with("p", test_until=BEGAN + DAY)

    found = await verdicts_of(store, calls, new_settings, since=BEGAN)

    assert found == ({"test": 1, "unknown": 1}, ["id_not_stored"])


async def test_repeat_without_an_id_is_unknown_if_a_shorter_window_is_over(store):
    calls = [replace(order(BEGAN + days * DAY), key="retry") for days in (0, 4)]

    found = await verdicts_of(store, calls, settings_with("p", window=3 * DAY), since=BEGAN)

    assert found == ({"sent": 1, "unknown": 1}, ["id_not_stored"])
