"""Deliveries stored as columns are treated like a list of delivery objects."""

import pytest

from builders import an_entry
from twite.domain.delivery import Delivery, NewDeliveries, ambiguous_of, ids_of, received_of
from twite.gateway.delivery.x_client import body_of

BODIES = [b'{"a":1}', b"", b'{"a":[1,2],"b":","}', an_entry("order-4").body]
DELIVERIES = tuple(
    Delivery(id=7 - n, conversion_id=f"order-{n}", body=body, received_at=1_000 + n)
    for n, body in enumerate(BODIES)
)


def columns() -> NewDeliveries:
    return NewDeliveries(
        ids=tuple(delivery.id for delivery in DELIVERIES),
        conversion_ids=[delivery.conversion_id for delivery in DELIVERIES],
        received_at=[delivery.received_at for delivery in DELIVERIES],
        sizes=[len(body) for body in BODIES],
        bodies=b",".join(BODIES),
    )


def test_columns_are_a_sequence_of_the_deliveries():
    group = columns()

    assert (len(group), tuple(group)) == (4, DELIVERIES)
    assert (group[0], group[-1], group[1:3]) == (DELIVERIES[0], DELIVERIES[-1], DELIVERIES[1:3])
    assert DELIVERIES[2] in group


@pytest.mark.parametrize("of", [ids_of, body_of, received_of, ambiguous_of])
def test_functions_accept_columns_as_deliveries(of):
    assert list(of(columns())) == list(of(DELIVERIES))


@pytest.mark.parametrize("of", [ids_of, body_of, received_of, ambiguous_of, len])
def test_typical_batch_builds_no_delivery_objects(of, monkeypatch):
    monkeypatch.delattr(NewDeliveries, "_all")

    of(columns())


def test_columns_list_since_when_their_deliveries_are_ambiguous():
    again = Delivery(
        id=9, conversion_id="order-9", body=b"{}", received_at=1_000, ambiguous_since=1_500
    )

    assert ambiguous_of((*DELIVERIES, again)) == [1_500]
