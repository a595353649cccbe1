from builders import a_destination
from twite.domain.destination import RATE_WINDOW, Destination
from twite.domain.stats.backlog import BacklogHour, Forecast
from twite.domain.times import HOUR, MINUTE
from twite.gateway.alerts.forecast import forecasts

NOW = 500_000 * HOUR
PROMISED = 48 * HOUR


def waiting(ago, many, *, pixel="o8z6j"):
    """Pairs of (hours ago, conversions received in that hour)."""
    hour = NOW // HOUR - ago
    return BacklogHour(
        pixel=pixel, hour=hour, deliveries=many, first=hour * HOUR, oldest=hour * HOUR
    )


def sharing(pixel, account, rate=60_000):
    limited = a_destination(pixel, rate=rate)
    return Destination(
        pixel=pixel,
        credentials=limited.credentials,
        events=limited.events,
        account=account,
        rate=rate,
    )


def forecast(*backlog, delivered=(), paused=(), rate=60_000):
    [found] = forecasts(
        [a_destination(rate=rate)],
        backlog,
        {"o8z6j": delivered},
        now=NOW,
        paused=paused,
    )
    return found


def test_an_empty_outbox_is_drained_now_and_misses_nothing():
    assert forecast() == Forecast(pixel="o8z6j", drained_at=NOW)


def test_the_backlog_is_drained_at_the_rate_of_late():
    found = forecast(waiting(1, 6_000), delivered=[(NOW - MINUTE, 1_500)])

    assert (found.rate, found.drained_at) == (6_000, NOW + HOUR)


def test_the_limit_is_the_highest_rate_there_can_be():
    found = forecast(waiting(1, 400), delivered=[(NOW - MINUTE, 9_999)], rate=100)

    assert found.drained_at == NOW + 4 * RATE_WINDOW


def test_a_backlog_that_just_came_is_taken_to_go_at_the_limit():
    fresh = BacklogHour(
        pixel="o8z6j", hour=NOW // HOUR, deliveries=200, first=NOW - 59_000, oldest=NOW - 59_000
    )

    found = forecast(fresh, delivered=[(NOW - 1, 1)], rate=100)

    assert found.drained_at == NOW + 2 * RATE_WINDOW


def test_what_was_delivered_before_there_was_a_backlog_does_not_count():
    began = NOW - 5 * MINUTE
    some = BacklogHour(pixel="o8z6j", hour=began // HOUR, deliveries=100, first=began, oldest=began)

    found = forecast(some, delivered=[(began - MINUTE, 9_000), (NOW - MINUTE, 50)])

    assert found.rate == 600


def test_a_backlog_of_which_nothing_is_delivered_has_no_end():
    found = forecast(waiting(1, 10))

    assert (found.drained_at, found.stalled, found.rate) == (None, True, 0)


def test_a_paused_pixel_has_no_end_whatever_was_delivered_before():
    found = forecast(waiting(0, 10), delivered=[(NOW - MINUTE, 50)], paused=["o8z6j"])

    assert found.stalled


def test_what_is_sent_before_its_deadline_is_not_missed():
    found = forecast(waiting(40, 1_000), delivered=[(NOW - MINUTE, 1_000)])

    assert (found.misses, found.late) == (0, 0)


def test_what_will_be_sent_after_its_deadline_is_counted():
    # A thousand an hour; the last of them is due in eight hours and sent in ten.
    found = forecast(waiting(40, 10_000), delivered=[(NOW - MINUTE, 250)])

    # They are sent in hours 0 to 10 and due in hours 8 to 9: late from 8.89 hours on.
    assert (found.rate, found.misses, found.late) == (1_000, 1_111, 0)


def test_later_ones_wait_for_those_before_them():
    found = forecast(waiting(47, 900), waiting(46, 900), delivered=[(NOW - MINUTE, 125)])

    # 500 an hour: the first 900 are sent in time, within 1.8 hours. The next are sent until 3.6
    # hours, and due from 2 to 3: a quarter is in time.
    assert found.misses == 675


def test_what_is_late_already_is_missed_too():
    found = forecast(waiting(50, 100), waiting(1, 100), delivered=[(NOW - MINUTE, 1_000)])

    assert (found.late, found.misses) == (100, 100)


def test_of_an_hour_whose_deadlines_are_passing_a_part_is_late():
    half = NOW + HOUR // 2
    [found] = forecasts(
        [a_destination()], [waiting(48, 100)], {"o8z6j": [(half - 1, 60_000)]}, now=half
    )

    assert found.late == 50


def test_one_that_is_late_is_not_rounded_away():
    at = NOW - 48 * HOUR - 1
    hour = BacklogHour(pixel="o8z6j", hour=at // HOUR, deliveries=1, first=at, oldest=at)

    assert forecast(hour, delivered=[(NOW - 1, 50)]).late == 1


def test_what_a_standstill_will_cost_is_told_for_the_case_that_it_ends_now():
    found = forecast(waiting(40, 100))

    assert (found.misses, found.next_deadline) == (0, NOW + 8 * HOUR)


def test_the_next_deadline_is_not_one_that_has_passed():
    found = forecast(waiting(60, 5), waiting(10, 5))

    assert found.next_deadline == NOW + 38 * HOUR


def test_pixels_of_one_account_share_its_limit():
    backlog = [waiting(0, 300, pixel="p"), waiting(0, 100, pixel="q")]
    fresh = [
        BacklogHour(
            pixel=hour.pixel, hour=hour.hour, deliveries=hour.deliveries, first=NOW, oldest=NOW
        )
        for hour in backlog
    ]

    found = forecasts(
        [sharing("p", "account", rate=400), sharing("q", "account", rate=400)],
        fresh,
        {},
        now=NOW,
    )

    assert [pixel.drained_at for pixel in found] == [NOW + RATE_WINDOW] * 2


def test_the_deadline_of_what_x_may_have_is_the_nearer_one_and_its_age_its_own():
    doubtful = BacklogHour(
        pixel="o8z6j", hour=NOW // HOUR - 9, deliveries=1, first=NOW - 9 * HOUR, oldest=NOW - HOUR
    )

    found = forecast(doubtful)

    assert (found.next_deadline, found.oldest) == (NOW + 39 * HOUR, NOW - HOUR)


def test_a_pixel_that_is_not_configured_is_not_forecast():
    assert forecasts([], [waiting(1, 5)], {}, now=NOW) == []
