import json

import pytest

from twite.domain.account import Account
from twite.gateway.notices import Accepted, Attempted, Moved, Paused, Resumed, Troubled
from twite.observers import Several
from twite.observers.log import Log, logger
from twite.observers.metrics import Metrics


def an_attempt(outcome="errored", **more):
    values = {
        "pixel": "o8z6j",
        "event": "o8z6k",
        "outcome": outcome,
        "status": 503,
        "conversions": 3,
        "took": 120,
        "reason": "503 SERVICE_UNAVAILABLE: ",
        "ambiguous": True,
    }
    return Attempted(**(values | more))


def a_door(**more):
    counts = {"accepted": 0, "duplicates": 0, "suppressed": 0, "rejected": 0}
    return Accepted(source="shop", **(counts | more))


def lines(capsys, *notices, level="info"):
    log = Log(logger(level=level, as_json=True))
    for notice in notices:
        log.see(notice)
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_an_attempt_that_failed_is_a_warning_with_its_reason(capsys):
    line = lines(capsys, an_attempt())[0]

    del line["timestamp"]
    assert line == {
        "event": "not delivered",
        "level": "warning",
        "pixel": "o8z6j",
        "x_event": "o8z6k",
        "outcome": "errored",
        "status": 503,
        "conversions": 3,
        "ambiguous": True,
        "reason": "503 SERVICE_UNAVAILABLE: ",
    }


@pytest.mark.parametrize(
    "notice",
    [
        a_door(accepted=1),
        an_attempt("delivered"),
        Moved(pixel="p", trigger="delivered", deliveries=1),
    ],
)
def test_what_goes_well_is_not_a_line_at_the_usual_level(capsys, notice):
    assert lines(capsys, notice) == []


@pytest.mark.parametrize(
    ("notice", "says", "level"),
    [
        (Paused(pixel="p", reason="401"), "pixel paused", "error"),
        (Resumed(pixel="p"), "pixel resumed", "info"),
        (Troubled(where="outbox", reason="disk full"), "trouble", "error"),
        (
            Moved(pixel="p", trigger="buried", deliveries=1, reason="r"),
            "deliveries buried",
            "warning",
        ),
        (a_door(rejected=2), "conversions rejected", "info"),
    ],
)
def test_what_an_operator_must_know_is_a_line(capsys, notice, says, level):
    line = lines(capsys, notice)[0]

    assert (line["event"], line["level"]) == (says, level)


def test_hostile_words_of_x_cannot_move_the_terminal_or_flood_the_log(capsys):
    line = lines(capsys, Paused(pixel="p", reason="\x1b[2J\r\n" + "x" * 10_000))[0]

    assert line["reason"].startswith("?[2J??")
    assert len(line["reason"]) == 200


@pytest.mark.parametrize(
    ("said", "logged"),
    [
        (
            "400 INVALID_PARAMETER: hashed_email (bob (at) example) is not a valid SHA-256 hash",
            "400 INVALID_PARAMETER: hashed_email … is not a valid SHA-256 hash",
        ),
        (
            'Expected Time, got "bob "the" one" for conversion_time',
            "Expected Time, got … for conversion_time",
        ),
        (f"what is {'0a' * 32} to you", "what is … to you"),
        ("bob@example.com is unknown", "… is unknown"),
    ],
)
def test_what_x_echoes_of_a_person_is_not_logged(capsys, said, logged):
    assert lines(capsys, an_attempt(reason=said))[0]["reason"] == logged


def test_metrics_count_what_is_seen():
    metrics = Metrics()
    both = Several((metrics, metrics))
    for notice in (
        a_door(accepted=2, duplicates=1, suppressed=3, rejected=4),
        an_attempt(),
        Moved(pixel="o8z6j", trigger="postponed", deliveries=3),
        Paused(pixel="o8z6j", reason="401"),
        Troubled(where="sweep", reason="r"),
    ):
        both.see(notice)

    page = metrics.rendered(
        [Account(source="shop", pixel="o8z6j", received=5, delivered=4)]
    ).decode()

    for line in (
        'twite_conversions_total{source="shop",verdict="accepted"} 4.0',
        'twite_conversions_total{source="shop",verdict="duplicates"} 2.0',
        'twite_conversions_total{source="shop",verdict="suppressed"} 6.0',
        'twite_conversions_total{source="shop",verdict="rejected"} 8.0',
        'twite_attempts_total{outcome="errored",pixel="o8z6j",status="503"} 2.0',
        'twite_sent_conversions_total{outcome="errored",pixel="o8z6j"} 6.0',
        'twite_ambiguous_conversions_total{pixel="o8z6j"} 6.0',
        'twite_deliveries_total{pixel="o8z6j",trigger="postponed"} 6.0',
        'twite_pixel_paused{pixel="o8z6j"} 1.0',
        'twite_troubles_total{where="sweep"} 2.0',
        'twite_balance_conversions{pixel="o8z6j",source="shop",state="received"} 5.0',
        'twite_balance_conversions{pixel="o8z6j",source="shop",state="balance"} 1.0',
    ):
        assert line in page.splitlines()


def test_a_pixel_that_is_sent_to_again_is_not_paused():
    metrics = Metrics()
    metrics.see(Paused(pixel="o8z6j", reason="401"))

    metrics.see(Resumed(pixel="o8z6j"))

    assert b'twite_pixel_paused{pixel="o8z6j"} 0.0' in metrics.rendered([])
