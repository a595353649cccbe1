"""Refusals of one event: is the event at fault, and how large may its batches be?"""

import pytest
from blamed_pixel import group_of

from changing import Changing
from twite.domain.blame.rejection_stats import RUN, SMALL, RejectionStats
from twite.domain.outcome import Rejected, RejectionScope, XComplaint


def refusal(code="C", parameter="", message="m"):
    complaint = XComplaint(code=code, message=message, parameter=parameter)
    return Rejected(scope=RejectionScope.CONVERSION, reason="400", complaints=(complaint,))


def after(*ids, why=None):
    stats = Changing(RejectionStats())
    for id_ in ids:
        stats.refuse(*group_of(id_), why or refusal())
    return stats


@pytest.mark.parametrize(("many", "doubts"), [(RUN - 1, False), (RUN, True)])
def test_event_may_be_at_fault_after_five_refusals_in_a_row(many, doubts):
    stats = after(*range(many))

    assert (stats.doubts, stats.run) == (doubts, tuple(range(many)))


@pytest.mark.parametrize(
    ("other", "run"),
    [
        (refusal(message="another value"), (1, 2, 3)),
        (refusal("D"), (3,)),
        (refusal(parameter="p"), (3,)),
    ],
)
def test_refusal_with_another_reason_begins_a_new_row(other, run):
    stats = after(1, 2)

    stats.refuse(*group_of(3), other)

    assert stats.run == run


def test_delivery_refused_twice_counts_once():
    assert after(1, 2, 1, 2, 2).run == (1, 2)
    # Only the last five are compared.
    assert after(1, 2, 3, 4, 5, 6, 1).run == (1, 2, 3, 4, 5, 6, 1)
    assert after(1, 2, 3, 4, 5, 1).run == (1, 2, 3, 4, 5)


def test_length_of_a_row_of_refusals_is_limited(monkeypatch):
    monkeypatch.setattr("twite.domain.blame.rejection_stats._LONGEST_RUN", 3)

    assert after(1, 2, 3, 4).run == (1, 2, 3)


def test_acceptance_ends_a_row_of_refusals_and_forgets_unsent_ones():
    stats = after(*range(RUN))
    stats.not_sent([7, 8])
    stats.not_sent([9])

    assert stats.took() is True
    assert (stats.run, stats.unsent, stats.doubts) == ((), frozenset(), False)
    assert stats.cleared == {*range(RUN), 7, 8, 9}
    # Refused again, they are at fault.
    stats.refuse(*group_of(7), refusal())
    assert stats.run == ()


def test_acceptance_does_not_end_a_short_row_of_refusals():
    stats = after(*range(RUN - 1))
    stats.not_sent([7])
    stats.took()

    assert (stats.cleared, stats.run, stats.unsent) == (frozenset(), (), frozenset())


def test_held_deliveries_are_recalled_at_an_acceptance():
    stats = Changing(RejectionStats())
    recalls = [stats.took(), stats.took()]
    for id_ in range(RUN):
        stats.refuse(*group_of(id_), refusal())
    recalls += [stats.took(), stats.took()]
    stats.recall_later()
    recalls += [stats.took(), stats.took()]
    stats.refuse(*group_of(9), refusal())
    recalls += [stats.took()]

    assert recalls == [True, False, True, False, True, False, False]
    assert stats.run == ()


def test_batch_size_grows_with_each_full_success():
    stats = Changing(RejectionStats())
    stats.landed(taken=0, refused=9)
    sizes = []

    for _ in range(12):
        stats.landed(taken=stats.size, refused=0)
        sizes.append(stats.size)

    assert sizes == [100, 150, 200, 250, 300, 350, 400, 450, 500, 500, 500, 500]


def test_older_results_count_less():
    stats = Changing(RejectionStats())
    stats.landed(taken=0, refused=20)
    stats.landed(taken=500, refused=0)
    half = stats.refused, stats.taken
    stats.landed(taken=1_000, refused=0)

    assert (half, stats.refused, stats.taken) == ((10, 500), 0, 1_000)


def test_batch_that_was_not_full_does_not_make_the_next_larger():
    stats = after()
    stats.landed(taken=0, refused=20)
    stats.landed(taken=SMALL - 1, refused=0)

    assert stats.size == SMALL


def test_event_with_over_1_percent_refusals_has_small_batches():
    stats = Changing(RejectionStats())

    stats.landed(taken=495, refused=5)
    few = stats.size
    stats.landed(taken=490, refused=10)

    assert (few, stats.size) == (500, SMALL)
