"""A clock that differs from X's is reported in the log and as a metric."""

import json

import pytest

from twite.gateway.ports.events import Misdated
from twite.observers.log import LineLogger, Log
from twite.observers.metrics import Metrics


@pytest.mark.parametrize(
    ("offset", "level", "words"),
    [
        (3_600_000, "error", "the system clock is wrong"),
        (-31_000, "error", "the system clock is wrong"),
        (29_000, "info", "the system clock agrees with X"),
        (0, "info", "the system clock agrees with X"),
    ],
)
def test_clock_that_is_wrong_by_half_a_minute_is_logged_as_an_error(offset, level, words, capsys):
    log = Log(LineLogger(level="info", as_json=True))

    log.see(Misdated(offset=offset))

    line = json.loads(capsys.readouterr().err)
    assert (line["level"], line["event"]) == (level, words)


def test_difference_of_the_clock_is_a_metric_in_seconds():
    metrics = Metrics()

    metrics.see(Misdated(offset=-90_500))

    assert b"twite_clock_offset_seconds -90.5\n" in metrics.rendered([])
