"""The clock of rate limit windows: what changes it, and what does not."""

import pytest

from fakes import MovingClock
from twite.domain.times import DAY, HOUR, MINUTE, SECOND
from twite.gateway.delivery.monotonic_clock import MonotonicClock


def reported(clock, ahead, times=3, *, took=100):
    """Report X's time `times` times; X is `ahead` of the clock with which the machine started."""
    for _ in range(times):
        clock.observe((START + ahead) // SECOND * SECOND, took=took)


START = MovingClock().now()


@pytest.mark.parametrize("by", [DAY, -DAY, HOUR, -5 * MINUTE])
async def test_jumps_of_the_wall_clock_do_not_change_the_monotonic_clock(by):
    moving = MovingClock()
    steady = MonotonicClock(moving)

    moving.jump(by)
    await moving.advance(MINUTE)

    assert steady.now() == START + MINUTE


def test_date_header_of_one_response_sets_the_time_of_x():
    steady = MonotonicClock(MovingClock())

    reported(steady, HOUR, 1)

    assert abs(steady.theirs() - START - HOUR) <= SECOND
    assert steady.now() == START


@pytest.mark.parametrize("ahead", [4 * SECOND, -4 * SECOND, 0])
def test_difference_of_a_few_seconds_is_ignored(ahead):
    steady = MonotonicClock(MovingClock())

    reported(steady, ahead)

    assert (steady.theirs(), steady.offset) == (START, 0)


def test_single_response_with_another_date_is_ignored():
    steady = MonotonicClock(MovingClock())
    reported(steady, 0, 5)

    reported(steady, DAY, 1)

    assert steady.theirs() == START


def test_date_header_of_a_slow_response_is_ignored():
    steady = MonotonicClock(MovingClock())

    reported(steady, HOUR, took=20 * SECOND)

    assert steady.theirs() == START


def test_constantly_wrong_clock_is_kept_because_ages_are_differences():
    steady = MonotonicClock(MovingClock())

    reported(steady, HOUR)

    assert steady.now() == START
    assert abs(steady.ahead - HOUR) <= SECOND


def test_clock_changed_between_two_processes_continues():
    moving = MovingClock()
    moving.jump(DAY)
    steady = MonotonicClock(moving)
    steady.resume(latest=START - MINUTE, ahead=0)

    reported(steady, 0)

    assert abs(steady.now() - START) <= SECOND


def test_clock_corrected_by_x_is_trusted():
    steady = MonotonicClock(MovingClock())
    steady.resume(latest=START - HOUR, ahead=HOUR)

    reported(steady, 0)

    assert (steady.now(), steady.ahead) == (START, 0)


def test_clock_is_never_before_the_latest_record():
    moving = MovingClock()
    moving.jump(-DAY)
    steady = MonotonicClock(moving)

    steady.resume(latest=START, ahead=None)

    assert steady.now() == START


async def test_clock_is_trusted_after_a_response_or_minutes_of_silence():
    moving = MovingClock()
    answered, silent = MonotonicClock(moving), MonotonicClock(moving)
    reported(answered, 0, 1)

    at_first = (answered.is_trusted, silent.is_trusted)
    await moving.advance(5 * MINUTE)

    assert (at_first, silent.is_trusted) == ((True, False), True)


async def test_only_x_can_confirm_a_clock_after_a_jump_of_days():
    moving = MovingClock()
    steady = MonotonicClock(moving)
    steady.resume(latest=START - 2 * DAY, ahead=None)
    await moving.advance(HOUR)

    alone = steady.is_trusted
    reported(steady, 0)

    assert (alone, steady.is_trusted) == (False, True)


async def test_single_date_of_x_against_a_jumping_clock_expires_no_delivery():
    moving = MovingClock()
    moving.jump(100 * 365 * DAY)
    steady = MonotonicClock(moving)
    steady.resume(latest=START - MINUTE, ahead=0)

    reported(steady, 0, 2)
    before = (steady.is_trusted, steady.vouched())
    reported(steady, 0, 1)

    assert before == (False, None)
    assert steady.is_trusted
    assert abs(steady.vouched() - START) <= SECOND
