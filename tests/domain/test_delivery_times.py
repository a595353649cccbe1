"""Delivery times, counted in slots."""

import pytest

from twite.domain.stats.tally import DeliveryTimes, first_of, quantile, slot_of, together


@pytest.mark.parametrize("ms", [0, 1, 3, 4, 7, 8, 9, 100, 1_499, 1_500, 172_800_000])
def test_slot_of_a_delivery_time_contains_it(ms):
    slot = slot_of(ms)

    assert first_of(slot) <= ms < first_of(slot + 1)


def test_negative_delivery_time_counts_as_0():
    assert slot_of(-5) == 0


@pytest.mark.parametrize("part", [0.5, 0.9, 0.99])
def test_quantile_of_delivery_times_is_exact_to_an_eighth(part):
    times = [17 * number for number in range(1, 2_001)]
    slots: dict[int, int] = {}
    for time in times:
        slots[slot_of(time)] = slots.get(slot_of(time), 0) + 1

    found = quantile(slots, part)

    assert found == pytest.approx(times[int(part * len(times))], rel=1 / 8)


def test_no_delivery_times_have_no_quantile():
    assert quantile({}, 0.5) is None


def test_delivery_times_of_several_periods_add_up():
    assert together(
        [DeliveryTimes(at=0, slots={1: 2}), DeliveryTimes(at=60_000, slots={1: 3, 4: 1})]
    ) == {
        1: 5,
        4: 1,
    }
