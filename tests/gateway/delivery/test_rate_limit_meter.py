"""The meter of a rate limit: how many conversions may be sent now."""

from hypothesis import given
from hypothesis import strategies as st

from twite.domain.destination import LONGEST_X_WAIT
from twite.gateway.delivery.rate_limit import Meter

WINDOW = 900


def test_new_meter_allows_the_whole_rate_limit():
    assert Meter(limit=100, window=WINDOW).allowance(0) == 100


def test_used_allowance_returns_after_the_window():
    meter = Meter(limit=100, window=WINDOW)
    meter.spend(0, 60)
    meter.spend(10, 40)

    assert meter.allowance(WINDOW - 1) == 0
    assert meter.next_change(WINDOW - 1) == WINDOW
    assert meter.allowance(WINDOW) == 60
    assert meter.allowance(WINDOW + 10) == 100


def test_conversions_sent_before_the_start_count_towards_the_rate_limit():
    meter = Meter(limit=100, window=WINDOW, past=[(500, 30), (100, 50)])

    assert meter.allowance(600) == 20
    assert meter.allowance(1_000) == 70


def test_meter_with_more_than_the_limit_in_the_past_allows_nothing():
    assert Meter(limit=100, window=WINDOW, past=[(0, 250)]).allowance(1) == 0


def test_stricter_rate_limit_of_x_is_used():
    meter = Meter(limit=100, window=WINDOW)
    meter.obey(left=5, reset=300)

    assert meter.allowance(0) == 5
    meter.spend(0, 5)
    assert meter.allowance(1) == 0
    assert meter.next_change(1) == 300
    assert meter.allowance(300) == 95


def test_each_amount_returns_after_its_own_window():
    meter = Meter(limit=100, window=WINDOW)
    meter.spend(0, 10)
    meter.spend(10, 5)
    meter.spend(10, 5)

    assert [meter.allowance(at) for at in (10, WINDOW, WINDOW + 9, WINDOW + 10)] == [
        80,
        90,
        90,
        100,
    ]


def test_unused_allowance_of_x_does_not_delay_the_next_change():
    meter = Meter(limit=10, window=WINDOW)
    meter.spend(0, 10)
    meter.obey(left=1, reset=WINDOW + 500)

    assert meter.next_change(0) == WINDOW
    assert meter.allowance(WINDOW) == 1


def test_reset_time_is_used_up_to_the_longest_wait():
    meter = Meter(limit=100, window=WINDOW)
    meter.obey(left=0, reset=LONGEST_X_WAIT)

    assert (meter.allowance(-1), meter.allowance(0), meter.allowance(1)) == (100, 0, 0)


def test_rate_limit_of_x_does_not_raise_the_configured_one():
    meter = Meter(limit=100, window=WINDOW)
    meter.obey(left=1_000, reset=300)

    assert meter.allowance(0) == 100


def test_negative_number_of_remaining_conversions_allows_nothing():
    meter = Meter(limit=100, window=WINDOW)
    meter.obey(left=-3, reset=300)

    assert meter.allowance(0) == 0


def test_reset_time_in_the_past_is_ignored():
    meter = Meter(limit=100, window=WINDOW)
    meter.obey(left=0, reset=50)

    assert meter.allowance(100) == 100


def test_reset_time_in_the_year_2100_does_not_stop_the_pixel():
    meter = Meter(limit=100, window=WINDOW)
    meter.obey(left=0, reset=4_102_444_800_000)

    assert meter.allowance(100) == 100


def test_clock_set_back_by_a_day_delays_by_one_window_at_most():
    meter = Meter(limit=100, window=WINDOW)
    meter.spend(100_000, 100)

    assert meter.allowance(13_600) == 0
    assert meter.next_change(13_600) == 13_600 + WINDOW
    assert meter.allowance(13_600 + WINDOW) == 100


def test_past_amounts_dated_in_the_future_count_as_sent_now():
    meter = Meter(limit=100, window=WINDOW, past=[(10**9, 100)])

    assert meter.allowance(0) == 0
    assert meter.allowance(WINDOW) == 100


def test_amount_dated_in_the_future_does_not_delay_earlier_ones():
    meter = Meter(limit=100, window=WINDOW, past=[(10**9, 30)])

    meter.spend(0, 10)

    assert [meter.allowance(at) for at in (0, WINDOW)] == [60, 100]


@given(
    st.integers(1, 50),
    st.lists(st.tuples(st.integers(0, 400), st.integers(1, 60)), max_size=60),
)
def test_no_window_exceeds_the_rate_limit(limit, wishes):
    meter, now, sent = Meter(limit=limit, window=WINDOW), 0, []
    for wait, wish in wishes:
        now += wait
        count = min(wish, meter.allowance(now))
        if count:
            meter.spend(now, count)
            sent.append((now, count))

    for end, _ in sent:
        assert sum(count for at, count in sent if end - WINDOW < at <= end) <= limit


@given(
    st.integers(1, 50),
    st.lists(st.tuples(st.integers(0, 400), st.integers(1, 60)), min_size=1, max_size=40),
)
def test_sending_is_allowed_at_the_next_change(limit, wishes):
    meter, now = Meter(limit=limit, window=WINDOW), 0
    for wait, wish in wishes:
        now += wait
        if count := min(wish, meter.allowance(now)):
            meter.spend(now, count)

    assert meter.allowance(max(now, meter.next_change(now))) > 0
