"""Ready deliveries are read together, or one by one if one of them is damaged."""

import json

import msgspec
import pytest

from twite.domain.delivery import Delivery, NewDeliveries
from twite.stores.sql.claimable import claimable
from twite.stores.sql.database import checksum

QUEUE, SEED, PLACE = 3, 7, (5, 6)
SOUND = object()


class Damage(Exception):
    """The engine's error for a damaged row."""


class Rows(list):
    def fetchone(self):
        return self[0] if self else None


class Book:
    """A session that answers from rows in memory, and fails where the test says so."""

    def __init__(self, *deliveries, totals=None, largest_body=0, failing=None):
        self.deliveries = deliveries
        self.totals = totals or {}
        self.largest_body = largest_body
        self.failing = failing or {}
        self.seeds = {QUEUE: SEED}
        self.names = []
        self.missing = set()
        self.everything = []

    def is_row_damage(self, error):
        return isinstance(error, Damage)

    def run(self, name, /, **values):
        self.names.append(name)
        if name in self.failing:
            raise self.failing[name]
        return Rows(getattr(self, name)(**values))

    def ready_sizes(self, *, limit, **_):
        return [(json.dumps([len(each.body) for each in self.deliveries[:limit]]),)]

    def claimable(self, *, limit, rank, after, everything, crashes, ambiguous_after, **_):
        assert (rank, after) == PLACE
        self.everything.append(everything)
        ready = [
            each
            for each in self.deliveries
            if everything
            or (each.crashes < crashes and (each.ambiguous_since or 1 << 62) >= ambiguous_after)
        ][:limit]
        columns = [
            [each.id for each in ready],
            [each.conversion_id for each in ready],
            [len(each.body) for each in ready],
            [each.received_at for each in ready],
            [self.total(each) for each in ready],
            [
                (each.id, each.attempts, each.ambiguous_since, each.crashes)
                for each in ready
                if each.attempts
            ],
        ]
        return [(json.dumps(columns), b",".join(each.body for each in ready))]

    def ready_ids(self, *, limit, **_):
        return [(each.id,) for each in self.deliveries[:limit]]

    def ready_one(self, *, delivery):
        return [
            (
                each.conversion_id.encode(), each.body, each.received_at, each.attempts,
                each.ambiguous_since, each.crashes, self.total(each),
            )
            for each in self.deliveries
            if each.id == delivery and delivery not in self.missing
        ]  # fmt: skip

    def total(self, delivery):
        total = self.totals.get(delivery.id, SOUND)
        if total is not SOUND:
            return total
        return checksum(
            SEED,
            delivery=delivery.id,
            received_at=delivery.received_at,
            conversion_id=delivery.conversion_id.encode(),
            body=delivery.body,
        )


def a_delivery(id_, size=10):
    return Delivery(
        id=id_,
        conversion_id=f"order-{id_}",
        body=b"%d" % (id_ % 10) * size,
        received_at=100 + id_,
        attempts=id_,
        ambiguous_since=id_ * 5 if id_ % 2 else None,
        crashes=id_ % 3,
    )


FIRST, SECOND, THIRD = a_delivery(1), a_delivery(2, 4), a_delivery(3)
TOGETHER = ["claimable"]
ONE_BY_ONE = ["ready_sizes", "ready_ids", "ready_one", "ready_one", "ready_one"]


def read(book, *, limit=10, most_bytes=1_000, crashes=3, passing="[]", ambiguous_after=0):
    found, damaged = claimable(
        book,
        queue=QUEUE,
        place=PLACE,
        ambiguous_after=ambiguous_after,
        crashes=crashes,
        passing=passing,
        limit=limit,
        most_bytes=most_bytes,
    )
    book.is_new = isinstance(found, NewDeliveries)
    return list(found), damaged


def test_intact_deliveries_are_read_together():
    book = Book(FIRST, SECOND, THIRD)

    assert read(book) == ([FIRST, SECOND, THIRD], [])
    assert (book.names, book.largest_body) == (TOGETHER, 10)


@pytest.mark.parametrize("given", [{"crashes": 2}, {"ambiguous_after": 6}])
def test_skipped_deliveries_are_left_out_of_a_second_reading(given):
    skipped = SECOND if "crashes" in given else FIRST
    book = Book(FIRST, SECOND, THIRD)

    assert read(book, **given) == ([each for each in (FIRST, SECOND, THIRD) if each != skipped], [])
    assert book.everything == [True, False]


@pytest.mark.parametrize(
    ("given", "is_new"), [({}, True), ({"passing": "[9]"}, False), ({"most_bytes": 15}, False)]
)
def test_new_deliveries_are_returned_as_columns(given, is_new):
    """After such a claim, a store may remember how far it has claimed."""
    new = [Delivery(id=id_, conversion_id="c", body=b"x" * 10, received_at=0) for id_ in (1, 2)]
    book = Book(*new)

    found, _ = read(book, **given)

    assert (found, book.is_new) == (new[: 1 if "most_bytes" in given else 2], is_new)
    assert book.everything == ["passing" not in given]


def test_nothing_is_read_if_no_delivery_is_ready():
    book = Book(largest_body=10)

    assert read(book) == ([], [])
    assert (book.names, book.largest_body) == ([*TOGETHER, "ready_sizes", "ready_ids"], 10)


@pytest.mark.parametrize(
    ("most_bytes", "many"), [(24, 3), (23, 2), (14, 2), (13, 1), (10, 1), (1, 1)]
)
def test_bodies_are_limited_after_a_claim_of_small_ones(most_bytes, many):
    book = Book(FIRST, SECOND, THIRD)

    assert read(book, most_bytes=most_bytes) == ([FIRST, SECOND, THIRD][:many], [])
    assert book.names == TOGETHER


@pytest.mark.parametrize(("limit", "names"), [(5, []), (6, ["ready_sizes"])])
def test_sizes_are_read_first_if_bodies_may_be_too_large(limit, names):
    book = Book(*(a_delivery(id_) for id_ in range(9)), largest_body=4)

    found, _ = read(book, limit=limit, most_bytes=20)

    assert [delivery.id for delivery in found] == [0, 1]
    assert book.names == [*names, *TOGETHER]


@pytest.mark.parametrize("total", [5, None])
def test_damaged_delivery_does_not_affect_the_others(total):
    book = Book(FIRST, SECOND, THIRD, totals={2: total})

    assert read(book) == ([FIRST, THIRD], [2])
    assert book.names == [*TOGETHER, *ONE_BY_ONE]


def test_delivery_with_an_incomplete_row_is_damaged():
    broken = msgspec.structs.replace(SECOND, received_at="x")
    book = Book(FIRST, broken, THIRD, totals={2: 0})
    book.missing = {3}

    assert read(book) == ([FIRST], [2, 3])


@pytest.mark.parametrize(
    "damage", [Damage(), msgspec.DecodeError(), UnicodeDecodeError("utf-8", b"", 0, 1, "x")]
)
def test_damage_at_the_first_reading_leads_to_single_readings(damage):
    book = Book(FIRST, SECOND, THIRD, failing={"claimable": damage, "ready_sizes": damage})

    assert read(book) == ([FIRST, SECOND, THIRD], [])
    assert book.names == [*TOGETHER, *ONE_BY_ONE]


@pytest.mark.parametrize("failing", ["claimable", "ready_sizes"])
def test_other_error_is_not_taken_for_damage(failing):
    error = OSError("the disk is full")
    book = Book(FIRST, totals={1: 5}, failing={failing: error})

    with pytest.raises(OSError, match="the disk is full"):
        read(book)


def test_single_readings_are_limited_too():
    book = Book(FIRST, SECOND, THIRD, totals={1: 5})

    assert read(book, most_bytes=14) == ([SECOND], [1])
    assert read(book, limit=1) == ([], [1])
