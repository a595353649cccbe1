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


def test_empty_queue_ends_now_and_misses_no_deadline():
    assert forecast() == Forecast(pixel="o8z6j", drained_at=NOW)


def test_backlog_is_sent_at_the_recent_rate():
    found = forecast(waiting(1, 6_000), delivered=[(NOW - MINUTE, 1_500)])

    assert (found.rate, found.drained_at) == (6_000, NOW + HOUR)


def test_forecast_uses_at_most_the_rate_limit():
    found = forecast(waiting(1, 400), delivered=[(NOW - MINUTE, 9_999)], rate=100)

    assert found.drained_at == NOW + 4 * RATE_WINDOW


def test_new_backlog_is_assumed_to_be_sent_at_the_rate_limit():
    fresh = BacklogHour(
        pixel="o8z6j", hour=NOW // HOUR, deliveries=200, first=NOW - 59_000, oldest=NOW - 59_000
    )

    found = forecast(fresh, delivered=[(NOW - 1, 1)], rate=100)

    assert found.drained_at == NOW + 2 * RATE_WINDOW


def test_deliveries_before_the_backlog_do_not_count_in_its_rate():
    began = NOW - 5 * MINUTE
    some = BacklogHour(pixel="o8z6j", hour=began // HOUR, deliveries=100, first=began, oldest=began)

    found = forecast(some, delivered=[(began - MINUTE, 9_000), (NOW - MINUTE, 50)])

    assert found.rate == 600


def new_backlog(age, many=200):
    at = NOW - age
    return BacklogHour(pixel="o8z6j", hour=at // HOUR, deliveries=many, first=at, oldest=at)


def test_new_backlog_without_deliveries_is_stalled():
    assert forecast(new_backlog(9_000)).rate > 0
    assert forecast(new_backlog(10_000)).stalled
    assert forecast(new_backlog(59_000)).stalled


def test_deliveries_in_the_minute_of_the_oldest_one_do_not_count():
    # The store sums the deliveries of a minute at its end: these may all precede the backlog.
    began = NOW - 5 * MINUTE - 20_000
    summed = (NOW - 5 * MINUTE - 1, 60_000)

    assert forecast(new_backlog(NOW - began), delivered=[summed]).stalled


def test_rate_of_a_new_backlog_is_that_of_its_full_minutes():
    summed = [(NOW - 2 * MINUTE - 1, 900), (NOW - MINUTE - 1, 50), (NOW - 1, 50)]

    assert forecast(new_backlog(2 * MINUTE + 20_000), delivered=summed).rate == 3_000


def test_backlog_without_deliveries_is_stalled():
    found = forecast(waiting(1, 10))

    assert (found.drained_at, found.stalled, found.rate) == (None, True, 0)


def test_backlog_of_a_paused_pixel_is_stalled():
    found = forecast(waiting(0, 10), delivered=[(NOW - MINUTE, 50)], paused=["o8z6j"])

    assert found.stalled


def test_delivery_sent_before_its_deadline_is_not_missed():
    found = forecast(waiting(40, 1_000), delivered=[(NOW - MINUTE, 1_000)])

    assert (found.misses, found.late) == (0, 0)


def test_delivery_sent_after_its_deadline_is_missed():
    # At a thousand an hour, the last one is due in eight hours but sent in ten.
    found = forecast(waiting(40, 10_000), delivered=[(NOW - MINUTE, 250)])

    # They are sent during hours 0 to 10 and due during hours 8 to 9, so those sent after 8.89 hours
    # are late.
    assert (found.rate, found.misses, found.late) == (1_000, 1_111, 0)


def test_later_deliveries_are_sent_after_earlier_ones():
    found = forecast(waiting(47, 900), waiting(46, 900), delivered=[(NOW - MINUTE, 125)])

    # 500 an hour: the first 900 are sent in time, within 1.8 hours. The others are sent by 3.6
    # hours and due from 2 to 3 hours: a quarter of them is in time.
    assert found.misses == 675


def test_overdue_deliveries_are_missed():
    found = forecast(waiting(50, 100), waiting(1, 100), delivered=[(NOW - MINUTE, 1_000)])

    assert (found.late, found.misses) == (100, 100)


def test_part_of_an_hour_with_ended_deadlines_is_missed():
    half = NOW + HOUR // 2
    [found] = forecasts(
        [a_destination()], [waiting(48, 100)], {"o8z6j": [(half - 1, 60_000)]}, now=half
    )

    assert found.late == 50


def test_one_missed_delivery_is_not_rounded_to_0():
    at = NOW - 48 * HOUR - 1
    hour = BacklogHour(pixel="o8z6j", hour=at // HOUR, deliveries=1, first=at, oldest=at)

    assert forecast(hour, delivered=[(NOW - 1, 50)]).late == 1


def test_stalled_backlog_is_forecast_as_if_it_continued_now():
    found = forecast(waiting(40, 100))

    assert (found.misses, found.next_deadline) == (0, NOW + 8 * HOUR)


def test_next_deadline_of_a_backlog_is_in_the_future():
    found = forecast(waiting(60, 5), waiting(10, 5))

    assert found.next_deadline == NOW + 38 * HOUR


def test_pixels_of_one_account_share_its_rate_limit():
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


def test_ambiguous_delivery_has_an_earlier_deadline_and_its_own_age():
    doubtful = BacklogHour(
        pixel="o8z6j", hour=NOW // HOUR - 9, deliveries=1, first=NOW - 9 * HOUR, oldest=NOW - HOUR
    )

    found = forecast(doubtful)

    assert (found.next_deadline, found.oldest) == (NOW + 39 * HOUR, NOW - HOUR)


def test_pixel_that_is_not_configured_has_no_forecast():
    assert forecasts([], [waiting(1, 5)], {}, now=NOW) == []
