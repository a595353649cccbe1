"""How long workers wait for fuller batches: longer if many workers wait, and if the process is
busy.
"""

import pytest

from twite.domain.times import SECOND
from twite.gateway.delivery.worker import LONGEST_LINGER, LingeringWorkers


def lingering(count, *lates):
    """Return this number of workers, after timers were late by these times, one a second."""
    workers = LingeringWorkers()
    workers.count += count
    for number, late in enumerate(lates, 1):
        workers.record(late, now=number * SECOND)
    return workers


@pytest.mark.parametrize(
    ("count", "wait"), [(1, 200), (200, 200), (201, 201), (1_999, 1_999), (5_000, LONGEST_LINGER)]
)
def test_worker_waits_a_millisecond_for_each_waiting_worker(count, wait):
    assert lingering(count).wait(200) == wait


def test_first_late_timer_after_a_second_counts_fully():
    assert lingering(500, 15).wait(200) == 1_500


def test_lateness_of_timers_is_the_mean_of_about_a_second():
    workers = lingering(300, 5, 25)
    whole = workers.wait(200)
    workers.record(5, now=2 * SECOND + SECOND // 4)

    # A quarter of a second counts a quarter: 25 - 20 / 4 = 20 milliseconds.
    assert (whole, workers.wait(200)) == (1_200, 1_200)
    workers.record(0, now=2 * SECOND + SECOND // 2)
    assert workers.wait(200) == 900
    workers.record(5, now=9 * SECOND)
    assert workers.wait(200) == 300
