"""Slots of time."""

import pytest

from twite.domain.stats.tally import DeliveryTimes, first_of, quantile, slot_of, together


@pytest.mark.parametrize("ms", [0, 1, 3, 4, 7, 8, 9, 100, 1_499, 1_500, 172_800_000])
def test_slot_contains_its_time(ms):
    slot = slot_of(ms)

    assert first_of(slot) <= ms < first_of(slot + 1)


def test_clock_set_back_counts_as_no_time():
    assert slot_of(-5) == 0


@pytest.mark.parametrize("part", [0.5, 0.9, 0.99])
def test_quantile_is_within_an_eighth_of_the_truth(part):
    times = [17 * number for number in range(1, 2_001)]
    slots: dict[int, int] = {}
    for time in times:
        slots[slot_of(time)] = slots.get(slot_of(time), 0) + 1

    found = quantile(slots, part)

    assert found == pytest.approx(times[int(part * len(times))], rel=1 / 8)


def test_empty_tally_has_no_quantile():
    assert quantile({}, 0.5) is None


def test_spans_add_up():
    assert together(
        [DeliveryTimes(at=0, slots={1: 2}), DeliveryTimes(at=60_000, slots={1: 3, 4: 1})]
    ) == {
        1: 5,
        4: 1,
    }
