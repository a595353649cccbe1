"""Which deliveries are sent in one request, and in which order."""

import pytest

from twite.domain.delivery import Delivery, NewDeliveries, fitting, rank, split_bodies, together
from twite.domain.times import HOUR


def a_delivery(id_, crashes=0):
    return Delivery(id=id_, conversion_id=f"order-{id_}", body=b"x", received_at=5, crashes=crashes)


@pytest.mark.parametrize(
    ("ambiguous_since", "place"),
    [
        (None, 100 * HOUR),
        (101 * HOUR, 93 * HOUR),  # 40 hours after it may have arrived
        (108 * HOUR, 100 * HOUR),
        (109 * HOUR, 100 * HOUR),  # 48 hours after receipt
    ],
)
def test_rank_of_a_delivery_is_its_earlier_deadline(ambiguous_since, place):
    assert rank(received_at=100 * HOUR, ambiguous_since=ambiguous_since) == place


@pytest.mark.parametrize(
    ("crashes", "many"), [([0, 1, 1], 3), ([0, 1, 2, 0], 2), ([2, 0], 1), ([5], 1), ([], 0)]
)
def test_deliveries_that_were_being_sent_at_a_crash_are_sent_alone(crashes, many):
    deliveries = [a_delivery(id_, times) for id_, times in enumerate(crashes)]

    assert together(deliveries) == deliveries[:many]


@pytest.mark.parametrize(
    ("sizes", "many"),
    [([], 0), ([11], 1), ([11, 1], 1), ([4, 6], 2), ([4, 7], 1), ([4, 6, 1], 2), ([1] * 9, 9)],
)
def test_request_has_at_most_ten_bytes_unless_it_has_one_delivery(sizes, many):
    assert fitting(sizes, 10) == many


def test_bodies_joined_in_one_column_are_split():
    assert split_bodies(b"ab,c,,def", [2, 1, 0, 3]) == [b"ab", b"c", b"", b"def"]


def test_deliveries_are_built_from_columns():
    new = NewDeliveries(
        ids=(7, 8), conversion_ids=["a", "b"], received_at=[5, 6], sizes=[3, 1], bodies=b"xyz,w"
    )
    built = [
        Delivery(id=7, conversion_id="a", body=b"xyz", received_at=5),
        Delivery(id=8, conversion_id="b", body=b"w", received_at=6),
    ]

    assert (len(new), [*new], new[1], [*new[:1]]) == (2, built, built[1], built[:1])
    assert new[0] is new[0]


def test_columns_of_different_lengths_are_refused():
    new = NewDeliveries(
        ids=(7,), conversion_ids=["a", "b"], received_at=[5, 6], sizes=[3, 1], bodies=b"xyz,w"
    )

    with pytest.raises(ValueError, match="longer"):
        list(new)
