"""The steps of a bisect: which deliveries are sent next, and when it is over."""

import pytest
from blamed_pixel import BAD, DELIVERED, FAILED, LARGE, NOT_YOU, PAGE, alike, group_of

from changing import Changing
from twite.domain.blame.bisect import (
    ALIKE,
    ALIKE_UNEXPLAINED,
    BUDGET,
    CONTROLS,
    STUCK,
    Bisect,
)
from twite.domain.delivery import Delivery, ids_of
from twite.domain.outcome import XComplaint


def bisecting(why, many):
    return Changing(Bisect.of(group_of(*range(many)), why))


def answer_all(bisect, outcome):
    """Give one outcome to all groups; return how many were sent."""
    tries = 0
    while not bisect.is_over:
        bisect.answered(bisect.next(), outcome)
        tries += 1
    return tries


@pytest.mark.parametrize(
    ("many", "sizes"),
    [(25, [1] * 25), (26, [5, 5, 5, 5, 5, 1]), (100, [10] * 10), (110, [10] * 11)],
)
def test_failed_batch_is_cut_into_groups_or_single_deliveries(many, sizes):
    bisect = bisecting(FAILED, many)

    groups = [bisect.next() for _ in sizes]

    assert [len(group) for group in groups] == sizes
    assert [id_ for group in groups for id_ in ids_of(group)] == [*range(many)]
    assert bisect.is_over


def test_bisect_of_a_failure_ends_after_ten_failed_groups_in_a_row():
    bisect = bisecting(FAILED, 25)
    for _ in range(STUCK - 1):
        bisect.answered(bisect.next(), FAILED)
    bisect.answered(bisect.next(), DELIVERED)

    assert answer_all(bisect, FAILED) == STUCK


def test_both_deliveries_of_a_failed_pair_are_sent_alone():
    bisect = Changing(alike(bisecting(FAILED, 2).value, stack=(group_of(1, 2),)))

    bisect.answered(bisect.next(), FAILED)

    assert [ids_of(bisect.next()), ids_of(bisect.next())] == [(1,), (2,)]
    assert bisect.is_over


def test_bisect_of_a_failed_batch_may_send_more_requests_than_one_of_a_refused_batch():
    bisect = bisecting(FAILED, 100)
    while not bisect.is_over:
        group = bisect.next()
        bisect.answered(group, FAILED if len(group) > 1 else DELIVERED)

    assert (bisect.tries, bisect.taken) == (110, 100)


def test_delivery_that_fails_alone_is_not_sent_again():
    bisect = bisecting(FAILED, 3)

    assert answer_all(bisect, FAILED) == 3
    assert (bisect.failed_alone, bisect.rest) == (3, ())


def test_group_that_probably_fails_is_sent_one_by_one():
    bisect = bisecting(FAILED, 100)
    bisect.answered(bisect.next(), FAILED)
    for number in range(10):
        bisect.answered(bisect.next(), FAILED if number % 2 else DELIVERED)

    assert len(bisect.next()) == 1


@pytest.mark.parametrize(("failed", "size"), [(0, 10), (1, 1)])
def test_group_probably_fails_if_one_of_its_ten_deliveries_in_ten_did(failed, size):
    bisect = bisecting(FAILED, 100)
    bisect.answered(bisect.next(), FAILED)
    for number in range(10):
        bisect.answered(bisect.next(), FAILED if number < failed else DELIVERED)

    assert len(bisect.next()) == size


def test_one_failure_among_many_results_does_not_make_a_group_fail():
    bisect = Changing(alike(bisecting(FAILED, 100).value, taken=99, failed_alone=1))

    assert len(bisect.next()) == 10


def test_few_results_say_nothing_about_a_group():
    bisect = Changing(alike(bisecting(FAILED, 100).value, taken=6, failed_alone=1))
    assert len(bisect.next()) == 10
    bisect = Changing(alike(bisecting(FAILED, 100).value, taken=6, failed_alone=2))
    assert len(bisect.next()) == 1


@pytest.mark.parametrize(
    ("why", "tries"),
    [(BAD, ALIKE + CONTROLS), (NOT_YOU, 2 * ALIKE_UNEXPLAINED), (PAGE, 2 * ALIKE_UNEXPLAINED)],
)
def test_account_is_at_fault_after_many_equal_refusals_in_a_row(why, tries):
    bisect = bisecting(why, 500)

    answer_all(bisect, why)

    assert (bisect.is_the_account, len(bisect.refused)) == (True, tries)


def test_all_deliveries_are_controls_if_few_are_left():
    last, *row = group_of(*range(100, 100 + ALIKE))
    refused = tuple((delivery, BAD) for delivery in row)
    rest = group_of(*range(CONTROLS))
    bisect = Changing(alike(bisecting(BAD, 0).value, stack=(rest,), row=refused))

    bisect.answered((last,), BAD)

    assert [len(bisect.next()) for _ in range(CONTROLS)] == [1] * CONTROLS


@pytest.mark.parametrize(("why", "is_the_account"), [(BAD, True), (PAGE, False)])
def test_acceptance_excludes_the_account_only_if_the_refusal_has_no_cause(why, is_the_account):
    bisect = Changing(alike(bisecting(why, 60).value, taken=1))

    answer_all(bisect, why)

    assert bisect.is_the_account is is_the_account


def test_refusals_of_different_kinds_blame_no_account():
    bisect = bisecting(BAD, 40)
    number = 0
    while not bisect.is_over:
        number += 1
        complaint = XComplaint(code=str(number % 2), message="m")
        bisect.answered(bisect.next(), alike(BAD, complaints=(complaint,)))

    assert not bisect.is_the_account
    assert bisect.tries <= BUDGET


@pytest.mark.parametrize(("outcomes", "too_large"), [((LARGE,), 4), ((LARGE, BAD), None), ((), 8)])
def test_smallest_request_that_is_too_large_counts_unless_a_conversion_is_bad(outcomes, too_large):
    bisect = bisecting(LARGE, 4)
    for outcome in outcomes:
        bisect.answered(bisect.next(), outcome)
        if outcome is LARGE:
            bisect.next()
    if BAD in outcomes:
        bisect.answered(group_of(1), BAD)

    assert bisect.too_large == too_large


def test_size_of_a_group_that_is_refused_for_its_content_does_not_count():
    bisect = bisecting(LARGE, 4)
    bisect.answered(bisect.next(), BAD)

    assert bisect.too_large == 8


def with_values(many, values):
    return tuple(
        Delivery(
            id=id_,
            conversion_id=f"c{id_}",
            body=b'{"value":"%d"}' % (20 if id_ in values else 1),
            received_at=0,
        )
        for id_ in range(many)
    )


def echoing(*complaints):
    return alike(
        BAD,
        complaints=tuple(
            XComplaint(code="C", message="m", parameter=parameter, echoed=echoed)
            for parameter, echoed in complaints
        ),
    )


@pytest.mark.parametrize(
    ("many", "values", "complaints", "first"),
    [
        (16, {3}, [("value", "20")], 15),
        (16, {3, 9}, [("value", "20")], 14),
        (16, {3, 9, 12}, [("value", "20")], 8),
        (7, {3}, [("value", "20")], 6),
        (7, {3, 4}, [("value", "20")], 3),
        (2, {1}, [("value", "20")], 1),
        (16, {3}, [("value", None)], 8),
        (16, {3}, [("", "20")], 8),
        (16, {3}, [("value", "30")], 8),
        (16, {3}, [("value", "20"), ("value", "30")], 8),
        (16, {3}, [], 8),
    ],
)
def test_delivery_whose_value_x_repeats_is_sent_alone(many, values, complaints, first):
    bisect = Changing(Bisect.of(with_values(many, values), echoing(*complaints)))

    assert len(bisect.next()) == first


@pytest.mark.parametrize(
    ("taken", "bad", "sizes"),
    [(17, 7, [4]), (16, 7, [1]), (7, 3, [4]), (1, 7, [1]), (0, 7, [4])],
)
def test_mostly_bad_batch_is_sent_one_by_one(taken, bad, sizes):
    refused = tuple((delivery, BAD) for delivery in group_of(*range(100, 100 + bad)))
    bisect = Changing(alike(Bisect.of(group_of(*range(16)), BAD), taken=taken, refused=refused))
    bisect.answered(bisect.next(), BAD)

    assert [len(bisect.next()) for _ in sizes] == sizes
