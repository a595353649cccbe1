"""The clock of rate-limit windows: what moves it, and what does not."""

import pytest

from fakes import MovingClock
from twite.domain.times import DAY, HOUR, MINUTE, SECOND
from twite.gateway.delivery.monotonic_clock import MonotonicClock


def told(clock, ahead, times=3, *, took=100):
    """Make X report this many times how far it is ahead of the machine's initial clock."""
    for _ in range(times):
        clock.hear((START + ahead) // SECOND * SECOND, took=took)


START = MovingClock().now()


@pytest.mark.parametrize("by", [DAY, -DAY, HOUR, -5 * MINUTE])
async def test_a_wall_clock_that_jumps_does_not_move_it(by):
    moving = MovingClock()
    steady = MonotonicClock(moving)

    moving.jump(by)
    await moving.advance(MINUTE)

    assert steady.now() == START + MINUTE


def test_what_x_says_in_one_answer_is_what_it_takes_for_now():
    steady = MonotonicClock(MovingClock())

    told(steady, HOUR, 1)

    assert abs(steady.theirs() - START - HOUR) <= SECOND
    assert steady.now() == START


@pytest.mark.parametrize("ahead", [4 * SECOND, -4 * SECOND, 0])
def test_a_few_seconds_are_noise(ahead):
    steady = MonotonicClock(MovingClock())

    told(steady, ahead)

    assert (steady.theirs(), steady.offset) == (START, 0)


def test_one_answer_with_another_date_among_many_is_not_believed():
    steady = MonotonicClock(MovingClock())
    told(steady, 0, 5)

    told(steady, DAY, 1)

    assert steady.theirs() == START


def test_an_answer_that_was_long_on_its_way_says_nothing():
    steady = MonotonicClock(MovingClock())

    told(steady, HOUR, took=20 * SECOND)

    assert steady.theirs() == START


def test_a_clock_that_is_always_wrong_stays_as_wrong_since_ages_are_differences():
    steady = MonotonicClock(MovingClock())

    told(steady, HOUR)

    assert steady.now() == START
    assert abs(steady.ahead - HOUR) <= SECOND


def test_a_clock_that_was_moved_between_two_processes_goes_on_where_it_was():
    moving = MovingClock()
    moving.jump(DAY)
    steady = MonotonicClock(moving)
    steady.resume(latest=START - MINUTE, ahead=0)

    told(steady, 0)

    assert abs(steady.now() - START) <= SECOND


def test_a_clock_that_was_mended_is_taken_at_its_word():
    steady = MonotonicClock(MovingClock())
    steady.resume(latest=START - HOUR, ahead=HOUR)

    told(steady, 0)

    assert (steady.now(), steady.ahead) == (START, 0)


def test_it_is_never_before_what_is_on_record():
    moving = MovingClock()
    moving.jump(-DAY)
    steady = MonotonicClock(moving)

    steady.resume(latest=START, ahead=None)

    assert steady.now() == START


async def test_it_is_trusted_once_x_was_heard_or_has_been_silent_for_minutes():
    moving = MovingClock()
    heard, silent = MonotonicClock(moving), MonotonicClock(moving)
    told(heard, 0, 1)

    at_first = (heard.is_trusted, silent.is_trusted)
    await moving.advance(5 * MINUTE)

    assert (at_first, silent.is_trusted) == ((True, False), True)


async def test_after_a_leap_of_days_only_x_can_vouch_for_it():
    moving = MovingClock()
    steady = MonotonicClock(moving)
    steady.resume(latest=START - 2 * DAY, ahead=None)
    await moving.advance(HOUR)

    alone = steady.is_trusted
    told(steady, 0)

    assert (alone, steady.is_trusted) == (False, True)


async def test_one_answer_that_says_otherwise_than_a_leaping_clock_lets_nothing_be_old():
    moving = MovingClock()
    moving.jump(100 * 365 * DAY)
    steady = MonotonicClock(moving)
    steady.resume(latest=START - MINUTE, ahead=0)

    told(steady, 0, 2)
    before = (steady.is_trusted, steady.vouched())
    told(steady, 0, 1)

    assert before == (False, None)
    assert steady.is_trusted
    assert abs(steady.vouched() - START) <= SECOND
