import pytest
from hypothesis import given
from hypothesis import strategies as st

from twite.domain.delivery import FIRST_CEILING, LAST_CEILING, backoff
from twite.domain.times import MINUTE, SECOND


@pytest.mark.parametrize(
    ("attempts", "ceiling"),
    [(0, 5), (1, 5), (2, 10), (3, 20), (4, 40), (5, 80), (6, 160), (7, 320), (8, 600), (9, 600)],
)
def test_longest_wait_doubles_from_five_seconds_to_ten_minutes(attempts, ceiling):
    assert backoff(attempts=attempts, randomness=0.5) == ceiling * SECOND // 2


@given(st.integers(0, 10**9), st.floats(0, 1, exclude_max=True))
def test_wait_before_a_retry_is_between_zero_and_ten_minutes(attempts, randomness):
    assert 0 <= backoff(attempts=attempts, randomness=randomness) < LAST_CEILING


def test_wait_before_a_retry_is_random_up_to_the_longest_wait():
    waits = [backoff(attempts=20, randomness=n / 100) for n in range(100)]

    assert waits[0] == 0
    assert waits[-1] > 0.98 * LAST_CEILING
    assert len(set(waits)) == 100


def test_waits_are_those_of_the_docs():
    assert (FIRST_CEILING, LAST_CEILING) == (5 * SECOND, 10 * MINUTE)
