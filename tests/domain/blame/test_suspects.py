"""Suspects of one pixel: which deliveries are at fault, and which are sent alone."""

import pytest
from suspects_of_pixel import EVENT, OTHER, Pixel, delivery, group

from twite.domain.blame import suspects as module
from twite.domain.blame.circuit_breaker import PROBE_EVERY
from twite.domain.delivery import Batch
from twite.domain.outcome import (
    Delivered,
    Errored,
    Rejected,
    RejectionScope,
    XComplaint,
    is_failure,
    is_unexplained,
)


def batch(lease, *ids):
    return Batch(lease=lease, pixel="p", event=EVENT, deliveries=group(*ids))


def refusal(status=400, *codes, reason="no"):
    complaints = tuple(XComplaint(code=code, message="m") for code in codes)
    return Rejected(
        scope=RejectionScope.UNCLEAR, reason=reason, status=status, complaints=complaints
    )


def test_there_are_no_suspects_at_first():
    assert Pixel().known() == frozenset()


def test_deliveries_of_a_bad_request_are_suspects_once_x_accepts_others():
    pixel = Pixel()
    pixel.note(group(1, 2), event=EVENT)
    before = pixel.known(), pixel.explain(group(1))

    pixel.accepts_another()

    assert before == (frozenset(), False)
    assert pixel.known() == {1, 2}
    assert pixel.explain(group(3, 1))
    assert not pixel.explain(group(3, 4))


def test_deliveries_of_a_later_bad_request_are_not_yet_suspects():
    pixel = Pixel()
    pixel.accepts_another()
    pixel.note(group(1), event=EVENT)

    assert pixel.known() == frozenset()
    assert not pixel.explain(group(1))


def test_second_bad_request_does_not_clear_a_suspect():
    pixel = Pixel()
    pixel.note(group(1), event=EVENT)
    pixel.accepts_another()
    pixel.note(group(1), event=EVENT)

    assert pixel.known() == {1}


def test_delivery_that_x_accepts_is_not_a_suspect():
    pixel = Pixel()
    pixel.note(group(1, 2), event=EVENT)
    pixel.took(group(1), event=EVENT)

    assert pixel.known() == {2}


def test_isolated_delivery_that_x_accepts_is_no_longer_isolated():
    pixel = Pixel()
    pixel.isolates(1, 2)
    pixel.took(group(1), event=EVENT)

    assert (pixel.is_isolated(delivery(1)), pixel.is_isolated(delivery(2))) == (False, True)
    assert pixel.known() == {2}


def test_deliveries_of_a_request_without_a_response_are_suspects_at_once():
    pixel = Pixel()
    pixel.hung(group(1, 2))

    assert pixel.known() == {1, 2}
    assert pixel.explain(group(2))


@pytest.mark.parametrize(
    ("bad", "needed"),  # 1 - 0.9 ** bad is the share of bad requests
    [(0, 5), (2, 5), (3, 6), (7, 11)],
)
def test_isolation_needs_more_refusals_if_x_refuses_more_at_random(bad, needed):
    pixel = Pixel()
    for n in range(bad):
        pixel.note(group(n), event=EVENT)

    assert [pixel.is_certain(proven) for proven in (needed - 1, needed)] == [False, True]


def test_isolation_needs_fewer_refusals_after_acceptances():
    pixel = Pixel()
    for n in range(3):
        pixel.note(group(n), event=EVENT)
    pixel.accepts_another()

    assert pixel.is_certain(5)


def test_refusals_are_counted_with_acceptances_between():
    pixel, bad = Pixel(), delivery(1)
    found = [pixel.finds(bad, refusal(), event=EVENT)]
    for _ in range(2):
        pixel.accepts_another()
        found += [pixel.finds(bad, refusal(), event=EVENT) for _ in range(2)]
    found.append(pixel.finds(bad, event=EVENT))

    assert found == [(0, 1), (1, 2), (1, 3), (2, 4), (2, 5), (0, 6)]


def test_two_refusals_with_an_acceptance_between_are_about_conversions():
    pixel, bad = Pixel(), delivery(1)
    shown = []
    for _ in range(2):
        pixel.accepts_another()
        pixel.finds(bad, refusal(400, "A", "B"), event=EVENT)
        shown.append(pixel.is_shown(refusal(400, "B", "A", reason="never")))

    assert shown == [False, True]
    assert not pixel.is_shown(refusal(401, "A", "B"))
    assert not pixel.is_shown(refusal(400, "A"))


def test_failures_do_not_show_what_a_refusal_is_about():
    pixel = Pixel()
    for _ in range(3):
        pixel.accepts_another()
        pixel.finds(delivery(1), event=EVENT)

    assert pixel.known() == {1}


def test_refusal_that_is_about_the_pixel_is_not_about_conversions():
    pixel = Pixel()
    for _ in range(2):
        pixel.accepts_another()
        pixel.finds(delivery(1), refusal(), event=EVENT)
    before = pixel.is_shown(refusal())

    pixel.blamed(refusal())
    pixel.blamed(refusal(401))

    assert (before, pixel.is_shown(refusal())) == (True, False)


def test_refusal_of_a_delivery_sent_alone_is_remembered():
    pixel, bad = Pixel(), delivery(1)
    was_refused = [pixel.was_refused_alone(bad)]
    for answer in (None, refusal(), None):
        pixel.finds(bad, answer, event=EVENT)
        was_refused.append(pixel.was_refused_alone(bad))

    assert was_refused == [False, False, True, True]


def test_isolated_deliveries_are_known_by_event():
    pixel = Pixel()
    pixel.isolates(1, 2)
    pixel.isolates(3, event=OTHER)

    assert pixel.isolated_of({EVENT}) == {1, 2}
    assert pixel.isolated_of({EVENT, OTHER}) == {1, 2, 3}
    assert pixel.isolated_of(()) == frozenset()


def test_isolated_delivery_waits_until_x_accepts_another():
    pixel = Pixel()
    pixel.isolates(1)
    before = pixel.skips()
    pixel.accepts_another()

    assert (before, pixel.skips()) == ({1}, frozenset())


def test_isolated_deliveries_are_tried_in_turn_after_a_minute():
    pixel = Pixel()
    pixel.isolates(1, 2)
    pixel.elapsed += PROBE_EVERY - 1
    before = pixel.skips()
    pixel.elapsed += 1

    assert before == {1, 2}
    assert [pixel.skips() for _ in range(3)] == [{2}, {1}, {2}]


def test_ten_isolated_deliveries_are_sent_at_a_time():
    pixel = Pixel()
    pixel.isolates(*range(12))
    pixel.accepts_another()
    pixel.elapsed += PROBE_EVERY

    assert [pixel.skips() for _ in range(2)] == [{10, 11}, {8, 9}]


def test_discarded_isolated_delivery_does_not_block_others():
    pixel = Pixel()
    pixel.isolates(1, 2, 3)
    pixel.accepts_another()
    pixel.isolates(2, 3)
    pixel.elapsed += PROBE_EVERY

    # A user has discarded the first.
    assert [pixel.skips() for _ in range(2)] == [{3}, {2}]


def test_isolated_delivery_that_failed_again_waits_for_the_next_acceptance():
    pixel = Pixel()
    pixel.isolates(1, 2)
    pixel.accepts_another()
    pixel.isolates(1)

    assert pixel.skips() == {1}


def test_suspects_and_isolated_deliveries_take_turns():
    pixel = Pixel()
    pixel.note(group(1, 2), event=EVENT)
    pixel.isolates(3)
    pixel.accepts_another()

    assert [pixel.skips() for _ in range(4)] == [{3}, frozenset(), {3}, frozenset()]


def test_one_batch_with_suspects_is_in_flight_at_a_time():
    pixel = Pixel()
    pixel.hung(group(1, 2))
    pixel.began(batch(6, 7))
    without = pixel.skips()
    pixel.began(batch(7, 8, 1))
    during = pixel.skips()
    pixel.ended(batch(6, 7))
    later = pixel.skips()
    pixel.ended(batch(7, 8, 1))

    assert (without, during, later) == (frozenset(), {1, 2}, {1, 2})
    assert pixel.skips() == frozenset()


def test_batch_of_suspects_without_a_response_does_not_stop_the_next():
    pixel = Pixel()
    pixel.hung(group(1, 2))
    pixel.began(batch(7, 1))

    assert (pixel.skips(), pixel.skips(is_hanging=True)) == ({1, 2}, frozenset())


def test_batch_is_split_into_unsuspected_suspects_and_isolated():
    pixel = Pixel()
    pixel.hung(group(1, 2))
    pixel.isolates(2, 3)

    assert pixel.split(group(1, 2, 3, 4)) == (group(4), group(1), group(2, 3))


def test_batch_without_suspects_stays_whole():
    pixel, whole = Pixel(), group(1, 2)
    pixel.note(group(1), event=EVENT)

    unsuspected, *others = pixel.split(whole)

    assert unsuspected is whole
    assert others == [(), ()]


def test_oldest_suspects_are_forgotten(monkeypatch):
    monkeypatch.setattr(module, "MOST", 3)
    pixel = Pixel()
    pixel.note(group(1, 2), event=EVENT)
    pixel.note(group(3, 4), event=EVENT)
    pixel.accepts_another()
    suspects = pixel.known()
    pixel.took(group(2, 3, 4), event=EVENT)
    pixel.isolates(5, 6, 7, 8, 9)

    assert (suspects, pixel.known()) == ({2, 3, 4}, {7, 8, 9})


@pytest.mark.parametrize(
    ("outcome", "refused", "failed"),
    [
        *(
            (Rejected(scope=scope, reason="no"), scope.value in {"pixel", "unclear"}, False)
            for scope in RejectionScope
        ),
        (Errored(reason="no", ambiguous=True), False, True),
        (Errored(reason="no", ambiguous=False), False, False),
        (Errored(reason="no", ambiguous=True, limited=True), False, False),
        (Delivered(debug_id=""), False, False),
    ],
)
def test_refusals_without_a_cause_and_failures_make_suspects(outcome, refused, failed):
    assert (is_unexplained(outcome), is_failure(outcome)) == (refused, failed)
