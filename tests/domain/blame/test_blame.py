"""What is at fault after a bad response: the conversion, the event, the pixel or X."""

import pytest
from blamed_pixel import (
    BAD,
    DELIVERED,
    EVENT,
    FAILED,
    LARGE,
    LIMITED,
    NOT_YOU,
    OTHER,
    PAGE,
    UNSENT,
    WRONG_EVENT,
    Pixel,
    alike,
    group_of,
)

from fakes import refused
from twite.domain.blame.judge import MOST_IN_A_ROW
from twite.domain.pause import Cause, Pause
from twite.domain.times import MINUTE, SECOND
from worker_bench import Setting

NO_IDENTIFIER = ("INVALID_PARAMETER", "At least one user identifier must be provided", "")


async def test_probe_that_x_refuses_is_held_also_after_a_restart():
    setting = Setting(replies=[refused(NO_IDENTIFIER)] * 1_000)
    await setting.record(*[f"c{i}" for i in range(100)])
    await setting.run.start()
    await setting.clock.advance(SECOND)
    await setting.run.stop(within=1_000)

    setting.run = setting.new_run()
    await setting.run.start()
    await setting.clock.advance(3 * MINUTE)

    account = (await setting.store.balance())[0]
    assert (account.dead, account.delivered) == (0, 0)
    assert [pause.pixel for pause in await setting.store.load(Pause)] == ["o8z6j"]
    await setting.run.stop(within=1_000)


@pytest.mark.parametrize(
    ("outcome", "ids", "why", "is_open"),
    [
        (BAD, (1,), None, True),
        (LARGE, (1, 2), None, True),
        (DELIVERED, (1, 2), None, False),
        (WRONG_EVENT, (1, 2), None, False),
        (NOT_YOU, (1,), NOT_YOU, True),
        (NOT_YOU, (1,), FAILED, False),
        (NOT_YOU, (1, 2), None, False),
        (PAGE, (1, 2), None, True),
        (PAGE, (1,), None, False),
        (FAILED, (1, 2), None, False),
        (FAILED, (1, 2), FAILED, True),
        (FAILED, (1, 2), PAGE, False),
        (FAILED, (1,), FAILED, False),
        (UNSENT, (1, 2), FAILED, False),
        (LIMITED, (1, 2), FAILED, False),
    ],
)
def test_bisection_starts_if_a_delivery_may_be_at_fault(outcome, ids, why, is_open):
    assert Pixel().opens(outcome, *ids, why=why) is is_open


@pytest.mark.parametrize(("outcome", "ids"), [(NOT_YOU, (1,)), (FAILED, (1, 2))])
def test_bisection_starts_if_x_accepted_others_since(outcome, ids):
    pixel = Pixel()
    pixel.suspect(1)

    assert pixel.opens(outcome, *ids)
    assert not pixel.opens(outcome, *(10 + id_ for id_ in ids))


def test_refusals_of_a_paused_event_are_bisected():
    pixel = Pixel()
    pixel.trip(event=EVENT)

    assert pixel.opens(NOT_YOU, 1)


def test_refusal_of_a_paused_pixel_without_a_clear_scope_is_not_bisected():
    pixel = Pixel()
    pixel.trip("why")

    assert not pixel.opens(PAGE, 1, 2)


def test_refusal_that_is_known_to_be_about_conversions_is_bisected():
    pixel = Pixel()
    pixel.refuse_alone(7, NOT_YOU)

    assert (pixel.opens(NOT_YOU, 1, 2), pixel.opens(NOT_YOU, 1)) == (True, False)


def test_failures_of_a_cautious_pixel_are_not_bisected():
    assert not Pixel(cautious=True).opens(FAILED, 1, 2, why=FAILED)
    assert Pixel(cautious=True).opens(PAGE, 1, 2)


def test_failed_deliveries_are_remembered_until_x_accepts_one():
    pixel = Pixel()

    pixel.hears(FAILED, 1, 2)
    failed = dict(pixel.failed), pixel.breaker.probes, pixel.known(1)
    pixel.hears(DELIVERED, 3)

    assert failed == ({1: EVENT, 2: EVENT}, True, False)
    assert (pixel.failed, pixel.breaker.probes) == ({}, False)
    # X accepts other deliveries than those of the failed request.
    assert pixel.known(1)


def test_delivery_that_x_accepts_is_not_a_suspect():
    pixel = Pixel()
    pixel.suspect(1)

    pixel.hears(DELIVERED, 1)

    assert not pixel.known(1)


@pytest.mark.parametrize("outcome", [BAD, UNSENT, LIMITED])
def test_delivery_is_not_a_suspect_after_a_response_with_another_cause(outcome):
    pixel = Pixel()

    pixel.hears(outcome, 1)
    pixel.hears(DELIVERED, 99, event=OTHER)

    assert not pixel.known(1)


@pytest.mark.parametrize("outcome", [BAD, WRONG_EVENT])
def test_refusal_of_a_conversion_closes_the_breaker_and_ends_the_back_off(outcome):
    pixel = Pixel()
    pixel.trip("401")
    pixel.hears(FAILED, 1)

    pixel.hears(outcome, 2)

    assert (pixel.breaker.is_paused, pixel.breaker.probes) == (False, False)
    assert pixel.failed == {1: EVENT}


@pytest.mark.parametrize(
    ("outcome", "why", "counts"),
    [
        (FAILED, None, True), (FAILED, FAILED, False), (UNSENT, None, True), (UNSENT, FAILED, True),
        (LIMITED, None, False), (LIMITED, FAILED, False),
    ],
)  # fmt: skip
def test_back_off_counts_only_failures_of_x(outcome, why, counts):
    pixel = Pixel()

    pixel.hears(outcome, 1, 2, why=why)

    assert (pixel.breaker.probes, bool(pixel.failed)) == (counts, counts)


def test_rate_limit_does_not_end_the_back_off():
    pixel = Pixel()
    pixel.hears(FAILED, 1)

    pixel.hears(LIMITED, 2)

    assert pixel.breaker.probes


def test_failure_of_known_suspects_is_not_a_failure_of_x():
    pixel = Pixel()
    pixel.suspect(1)

    pixel.hears(FAILED, 1)

    assert (pixel.breaker.probes, pixel.failed) == (False, {})


def test_event_that_keeps_failing_is_paused():
    pixel = Pixel()
    pixel.blame_the_event()

    pixel.hears(UNSENT, 1)
    before = set(pixel.pauses)
    pixel.hears(FAILED, 1)

    assert (before, pixel.pauses[EVENT].pause.reason) == (set(), "all conversions failed: 503")


def test_event_that_keeps_being_refused_is_paused_without_its_pixel():
    pixel = Pixel()
    pixel.blame_the_event()

    pixel.hears(NOT_YOU, 1)

    assert pixel.pauses[EVENT].pause.reason == "all conversions refused alike: 401 refused"
    assert not pixel.breaker.is_paused


@pytest.mark.parametrize(
    ("outcome", "ids", "is_likely"),
    [(NOT_YOU, (1,), True), (NOT_YOU, (1, 2), True), (PAGE, (1,), False)],
)
def test_refusal_that_names_the_pixel_pauses_it(outcome, ids, is_likely):
    pixel = Pixel()

    pixel.hears(outcome, *ids)

    breaker = pixel.breaker
    assert (breaker.is_paused, breaker.pause is not None) == (True, is_likely)
    assert pixel.failed == dict.fromkeys(ids, EVENT)
    pixel.now += 2 * SECOND
    # A delivery that failed alone is not the next probe; one of a larger request may be.
    assert breaker.wants_another(pixel.now) == (len(ids) == 1)


def test_refusal_that_may_be_about_conversions_pauses_the_pixel_tentatively():
    pixel = Pixel()
    pixel.refuse_alone(7, NOT_YOU)

    pixel.hears(NOT_YOU, 1)

    assert (pixel.breaker.is_paused, pixel.breaker.pause) == (True, None)


def refused_in_a_row(pixel, many, *, first=1):
    for number in range(first, first + many):
        pixel.hears(NOT_YOU, number, why=NOT_YOU)


def test_twenty_different_deliveries_refused_in_a_row_pause_the_pixel():
    pixel = Pixel()

    refused_in_a_row(pixel, MOST_IN_A_ROW - 1)
    # Another failure of the same deliveries is no new evidence.
    refused_in_a_row(pixel, MOST_IN_A_ROW - 1)
    before = pixel.breaker.is_paused
    refused_in_a_row(pixel, 1, first=MOST_IN_A_ROW)

    assert (before, pixel.breaker.is_paused) == (False, True)


@pytest.mark.parametrize(
    ("outcome", "ends"), [(DELIVERED, True), (BAD, True), (FAILED, False), (LIMITED, False)]
)
def test_acceptance_or_another_response_ends_the_row_of_refusals(outcome, ends):
    pixel = Pixel()
    refused_in_a_row(pixel, MOST_IN_A_ROW - 1)

    pixel.hears(outcome, 99, event=OTHER, why=NOT_YOU)
    refused_in_a_row(pixel, 1, first=MOST_IN_A_ROW)

    assert pixel.breaker.is_paused == (not ends)


@pytest.mark.parametrize(("ids", "counts"), [((7,), False), ((7, 8), True), ((8,), True)])
def test_delivery_refused_alone_before_is_not_evidence(ids, counts):
    pixel = Pixel()
    pixel.refuse_alone(7, NOT_YOU)
    refused_in_a_row(pixel, MOST_IN_A_ROW - 1, first=20)

    pixel.hears(NOT_YOU, *ids, why=NOT_YOU)

    assert pixel.breaker.is_paused == counts


def test_refusals_of_a_paused_event_are_not_evidence():
    pixel = Pixel()
    pixel.trip(event=EVENT)

    refused_in_a_row(pixel, MOST_IN_A_ROW)

    assert not pixel.breaker.is_paused


def test_last_refusal_decides_about_deliveries_refused_one_by_one():
    pixel = Pixel()
    pixel.refuse_alone(7, NOT_YOU)
    first, last = group_of(1, 2)

    pixel.blames([(first, PAGE), (last, NOT_YOU)])

    assert not pixel.suspects.is_shown(NOT_YOU)
    assert pixel.breaker.pause.reason == "401 refused"
    assert pixel.failed == {1: EVENT, 2: EVENT}


def test_at_most_a_thousand_failed_deliveries_are_remembered():
    pixel = Pixel()

    pixel.hears(FAILED, *range(600))
    pixel.hears(FAILED, *range(600, 1_200))
    pixel.hears(FAILED, 1_200)

    assert list(pixel.failed) == list(range(1_000))


@pytest.mark.parametrize(("draw", "others"), [(0.0, {2, 3}), (0.49, {2, 3}), (0.5, {1, 3})])
def test_delivery_that_failed_with_others_is_retried_at_random(draw, others):
    pixel = Pixel()
    pixel.hears(FAILED, 1, 2)
    pixel.hears(FAILED, 3)
    pixel.draw = draw

    assert pixel.fail_but_one() == others


def test_any_delivery_may_be_retried_if_all_failed_alone():
    pixel = Pixel()
    pixel.hears(FAILED, 1)
    pixel.hears(FAILED, 2)

    assert (pixel.fail_but_one(), pixel.failed) == (set(), {})
    pixel.hears(FAILED, 1, 2)
    assert pixel.fail_but_one() == {2}


def test_acceptance_resets_which_deliveries_were_sent_alone():
    pixel = Pixel()
    pixel.hears(FAILED, 1)
    pixel.hears(DELIVERED, 3)
    pixel.hears(UNSENT, 1, 2)

    assert pixel.fail_but_one() == {2}


@pytest.mark.parametrize(
    ("accepted", "is_the_event"), [(OTHER, True), (EVENT, False), (None, False)]
)
def test_batch_refused_alike_beside_accepted_events_pauses_its_event(accepted, is_the_event):
    pixel, found = Pixel(), [(delivery, PAGE) for delivery in group_of(*range(1, 7))]
    pixel.hears(PAGE, *range(1, 7))
    if accepted is not None:
        pixel.hears(DELIVERED, 99, event=accepted)

    pixel.blames(found)

    assert (set(pixel.pauses) == {EVENT}) is is_the_event
    assert pixel.breaker.is_paused is not is_the_event


def test_refusal_of_an_event_that_often_fails_pauses_the_pixel_tentatively():
    pixel = Pixel()
    for number in range(2):
        pixel.accept_another()
        pixel.become(suspects=pixel.suspects.note(group_of(number), event=EVENT))

    pixel.hears(NOT_YOU, 7)

    assert (pixel.breaker.is_paused, pixel.breaker.pause) == (True, None)


def test_event_is_failing_until_x_accepts_or_refuses_one_of_its_deliveries():
    pixel = Pixel()
    pixel.hears(FAILED, 1)
    pixel.hears(NOT_YOU, 2, event=OTHER)

    before = set(pixel.failing)
    pixel.hears(BAD, 3, event="third")

    assert (before, pixel.failing) == ({EVENT, OTHER}, set())


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (401, Cause.CREDENTIALS_REFUSED),
        (403, Cause.CREDENTIALS_REFUSED),
        (404, Cause.PIXEL_REFUSED),
        (None, Cause.PIXEL_REFUSED),
    ],
)
def test_status_of_a_refusal_says_whether_the_credentials_are_refused(status, cause):
    pixel = Pixel()

    pixel.hears(alike(NOT_YOU, status=status), 1)

    assert pixel.breaker.pause.cause is cause
