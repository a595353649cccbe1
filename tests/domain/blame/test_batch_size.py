"""The size of the next batch."""

import pytest
from blamed_pixel import BAD, DELIVERED, FAILED, LARGE, alike, group_of

from twite.domain.blame.batch_size import BatchSize, bytes_too_large
from twite.domain.delivery import MOST_BYTES, MOST_CONVERSIONS
from twite.domain.outcome import RejectionScope
from twite.x import spec

MANY = alike(LARGE, scope=RejectionScope.COUNT)


def test_first_batch_has_the_size_that_x_allows():
    assert BatchSize() == BatchSize(most=500, most_bytes=MOST_BYTES, max_by_x=500)
    assert MOST_CONVERSIONS == spec.MAX_CONVERSIONS


@pytest.mark.parametrize(
    ("outcome", "many", "most", "max_by_x"),
    [
        (FAILED, 80, 10, 500), (FAILED, 7, 1, 500), (MANY, 80, 40, 40), (MANY, 1, 1, 1),
        (LARGE, 80, 500, 500), (BAD, 80, 500, 500), (DELIVERED, 80, 500, 500),
    ],
)  # fmt: skip
def test_failure_or_too_large_a_batch_makes_the_next_one_smaller(outcome, many, most, max_by_x):
    size = BatchSize().too_many(group_of(*range(many)), outcome)

    assert (size.most, size.max_by_x) == (most, max_by_x)


def test_failure_never_makes_the_next_batch_larger():
    assert BatchSize(most=3).too_many(group_of(*range(80)), FAILED).most == 3


def test_batch_size_grows_with_each_acceptance_up_to_xs_limit():
    sizes, size = [], BatchSize(most=1, max_by_x=5)
    for _ in range(4):
        size = size.landed()
        sizes.append(size.most)

    assert sizes == [2, 4, 5, 5]


@pytest.mark.parametrize(("many", "most"), [(500, 250), (3, 1), (1, 1)])
def test_bisection_beyond_the_rate_limit_halves_the_batch_size(many, most):
    assert BatchSize().limited(many) == BatchSize(most=most)


@pytest.mark.parametrize(
    ("smallest", "most_bytes"), [(None, 900), (1_600, 800), (1_900, 900), (10, 50)]
)
def test_request_that_x_refuses_for_its_bytes_halves_their_limit(smallest, most_bytes):
    size = BatchSize(most_bytes=900_000).too_large(smallest and smallest * 1_000)

    assert size == BatchSize(most_bytes=most_bytes * 1_000)


@pytest.mark.parametrize(
    ("outcome", "size"), [(LARGE, 6), (MANY, None), (BAD, None), (FAILED, None)]
)
def test_only_a_refusal_for_the_size_shows_that_a_request_is_too_large(outcome, size):
    assert bytes_too_large(group_of(1, 2, 3), outcome) == size
