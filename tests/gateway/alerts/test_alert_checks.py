import msgspec
import pytest

from twite.domain.alert import ALERTS_OF_PAUSES, AlertKind
from twite.domain.delivery import State
from twite.domain.history import ConversionCounts
from twite.domain.pause import Cause, Pause
from twite.domain.stats.backlog import Forecast
from twite.domain.stats.traffic import Silence
from twite.domain.times import DAY, HOUR, MINUTE
from twite.gateway.alerts.checks import (
    DEADLINE_NEAR,
    CheckContext,
    Thresholds,
    of_accounts,
    of_clock,
    of_forecasts,
    of_pauses,
    of_rate_limits,
    of_silences,
    of_space,
)
from twite.gateway.ports.machine import DiskSpace
from twite.gateway.ports.state import RateLimitWindow

LIMITS = Thresholds(dead_letters=10, disk_free=1_000 << 20)
NOW = 1_795_600_000_000
CONTEXT = CheckContext(now=NOW, pixels=["p"], sources=["s", "t", "u", "v"], thresholds=LIMITS)


def failures(readings):
    return {(reading.kind, reading.subject): reading.reason for reading in readings if reading.bad}


def pauses(cause, reason="no", event=""):
    pause = Pause(pixel="p", since=1, cause=cause, reason=reason, event=event)
    return {("p", event): pause}


def test_every_cause_of_a_pause_has_an_alert():
    assert set(ALERTS_OF_PAUSES) == set(Cause)


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (Cause.CREDENTIALS_REFUSED, AlertKind.CREDENTIALS_REFUSED),
        (Cause.USER, AlertKind.PAUSED_BY_USER),
        (Cause.PIXEL_REFUSED, AlertKind.PIXEL_PAUSED),
    ],
)
def test_paused_pixel_has_one_alert_by_its_cause(cause, kind):
    assert set(failures(of_pauses(["p", "q"], pauses(cause)))) == {(kind, "p")}


def test_paused_event_opens_an_alert_without_its_pixel():
    readings = of_pauses(["p"], pauses(Cause.EVENT_REFUSED, event="o8z6k"))

    assert failures(readings) == {(AlertKind.EVENT_PAUSED, "p"): "o8z6k: no"}


def test_paused_events_have_one_alert_for_each_cause():
    causes = (Cause.EVENT_REFUSED, Cause.EVENT_FAILED, Cause.EVENT_LIMITED, Cause.EVENT_LIMITED)
    paused = [
        Pause(pixel="p", since=1, cause=cause, reason="no", event=f"e{number}")
        for number, cause in enumerate(causes)
    ]

    readings = of_pauses(["p"], {("p", pause.event): pause for pause in paused})

    assert failures(readings) == {
        (AlertKind.EVENT_PAUSED, "p"): "e0: no",
        (AlertKind.EVENT_FAILING, "p"): "e1: no",
        (AlertKind.EVENT_LIMITED, "p"): "e2: no; e3: no",
    }


def test_removed_pixel_opens_no_alert():
    assert list(of_pauses([], pauses(Cause.USER))) == []


@pytest.mark.parametrize(
    ("left", "bad"),
    [(2 * HOUR, True), (30 * MINUTE + 1, True), (30 * MINUTE, None), (1, None), (0, False)],
)
def test_only_a_wait_beyond_the_usual_windows_of_x_opens_an_alert(left, bad):
    window = RateLimitWindow(pixel="p", until=NOW + left, reason='429 got "shopper@example.com"')

    (found,) = of_rate_limits([window], CONTEXT)

    assert (found.kind, found.subject, found.bad) == (AlertKind.ACCOUNT_LIMITED, "p", bad)
    assert found.reason.endswith("Z: 429 got …")


def test_pixel_without_a_stored_wait_has_no_alert():
    other = RateLimitWindow(pixel="gone", until=NOW + DAY, reason="429")

    assert [(each.subject, each.bad) for each in of_rate_limits([other], CONTEXT)] == [("p", False)]


def test_values_in_xs_message_are_masked_in_an_alert():
    reason = 'Expected Email, got "shopper@example.com"'

    readings = of_pauses(["p"], pauses(Cause.PIXEL_REFUSED, reason))

    assert failures(readings) == {(AlertKind.PIXEL_PAUSED, "p"): "Reason: Expected Email, got …"}


@pytest.mark.parametrize(
    ("dead", "verdict"), [(0, False), (5, False), (6, None), (9, None), (10, True)]
)
def test_alert_of_dead_letters_resolves_below_a_lower_threshold(dead, verdict):
    account = ConversionCounts(source="s", pixel="p", received=dead, dead=dead)

    readings = {of_account.kind: of_account for of_account in of_accounts([account], CONTEXT)}

    assert readings[AlertKind.DEAD_LETTERS].bad is verdict


def test_dead_letters_of_all_sources_count_for_the_pixel():
    accounts = [ConversionCounts(source=name, pixel="p", received=5, dead=5) for name in ("s", "t")]

    assert (AlertKind.DEAD_LETTERS, "p") in failures(of_accounts(accounts, CONTEXT))


def test_deliveries_in_muted_problems_open_no_alert():
    account = ConversionCounts(source="s", pixel="p", received=13, dead=12, held=1)
    muted = {("p", State.DEAD): 3, ("p", State.HELD): 1}
    context = msgspec.structs.replace(CONTEXT, muted=muted)

    assert failures(of_accounts([account], context)) == {}


def test_one_held_conversion_opens_an_alert():
    account = ConversionCounts(source="s", pixel="p", received=1, held=1)

    assert set(failures(of_accounts([account], CONTEXT))) == {(AlertKind.CONVERSIONS_HELD, "p")}
    (held,) = [
        result
        for result in of_accounts([account], CONTEXT)
        if result.kind is AlertKind.CONVERSIONS_HELD
    ]
    assert held.reason == "1 conversion is held until a user decides whether to send"


def test_balance_other_than_0_is_reported_by_source_and_pixel():
    accounts = [
        ConversionCounts(source="s", pixel="p", received=3, delivered=1),
        ConversionCounts(source="s", pixel="", received=1, delivered=2),
    ]

    assert failures(of_accounts(accounts, CONTEXT)) == {
        (AlertKind.BALANCE_RESIDUE, "s/p"): "2 of 3 conversions are unaccounted for",
        (AlertKind.BALANCE_RESIDUE, "s/none"): "-1 of 1 conversions are unaccounted for",
    }


def a_forecast(**more):
    values = {"pixel": "p", "pending": 9, "oldest": NOW - HOUR, "rate": 1, "drained_at": NOW}
    return Forecast(**(values | more))


def test_backlog_that_is_sent_in_time_opens_no_alert():
    assert failures(of_forecasts([a_forecast(next_deadline=NOW + 1)], CONTEXT)) == {}


def test_deadlines_that_will_be_missed_open_an_alert():
    found = failures(of_forecasts([a_forecast(misses=4, late=1)], CONTEXT))

    assert found == {
        (AlertKind.DEADLINE_RISK, "p"): (
            "4 of 9 pending conversions will miss the 48-hour deadline, and 1 already have"
        )
    }


@pytest.mark.parametrize(("left", "at_risk"), [(DEADLINE_NEAR, False), (DEADLINE_NEAR - 1, True)])
def test_stalled_pixel_opens_an_alert_twelve_hours_before_the_deadline(left, at_risk):
    found = failures(of_forecasts([a_forecast(drained_at=None, next_deadline=NOW + left)], CONTEXT))

    assert bool(found) is at_risk


@pytest.mark.parametrize(
    ("free", "verdict"), [(999, True), (1_000, None), (1_249, None), (1_250, False)]
)
def test_disk_alert_resolves_above_a_higher_threshold(free, verdict):
    (reading,) = of_space(DiskSpace(free=free << 20, files={}), CONTEXT)

    assert reading.bad is verdict


@pytest.mark.parametrize(
    ("offset", "verdict"),
    [(0, False), (14_999, False), (15_000, None), (29_999, None), (30_000, True), (-30_000, True)],
)
def test_clock_alert_resolves_below_a_lower_threshold(offset, verdict):
    assert of_clock(offset).bad is verdict


def test_alert_of_a_wrong_clock_states_the_direction():
    assert [of_clock(offset).reason for offset in (90_000, -90_000)] == [
        "This machine's clock is 90 s behind X's",
        "This machine's clock is 90 s ahead of X's",
    ]


def test_alert_of_a_silent_source_states_its_usual_silence():
    long = Silence(source="s", lasts=26 * HOUR + 5 * MINUTE, usual=16 * HOUR, expected=0)
    missed = Silence(source="t", lasts=70 * MINUTE, usual=16 * HOUR, expected=120)
    usual = Silence(source="u", lasts=MINUTE, usual=HOUR, expected=0)

    readings = list(of_silences([long, missed, usual, None], CONTEXT))

    assert [(reading.subject, reading.bad) for reading in readings] == [
        ("s", True),
        ("t", True),
        ("u", False),
        ("v", None),
    ]
    assert readings[0].reason == "No conversions for 26 h 5 min; gaps of up to 16 h 0 min are usual"
    assert readings[1].reason == (
        "No conversions for 1 h 10 min; gaps of up to 16 h 0 min are usual. A week ago, 120 "
        "conversions arrived in the same hours"
    )
