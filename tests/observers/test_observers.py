import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from notices import ALERT, an_accepted_notice, an_attempt

from twite.domain.alert import AlertKind, AlertPhase
from twite.domain.pause import Cause, Pause
from twite.gateway.ports.events import (
    Alerted,
    ClientSaid,
    ConditionChanged,
    GatewayEvent,
    MonitorChecked,
    Moved,
    Paused,
    ProblemSeen,
    Resumed,
    TagSaid,
    WebhookTried,
)
from twite.observers.log import LineLogger, Log
from twite.observers.metrics import Metrics

# Fields with a default, which `builds` would not vary.
EVERY_FIELD_OF = {
    Paused: {
        "pause": st.builds(
            Pause, event=st.sampled_from(["", "o8z6k"]), cause=st.sampled_from(Cause)
        )
    },
    Resumed: {"event": st.sampled_from(["", "o8z6k"])},
    Moved: {"reason": st.text()},
    TagSaid: {"own": st.booleans()},
    ClientSaid: {"own": st.booleans()},
    ConditionChanged: {"holds": st.booleans()},
}


def lines(capsys, *notices, level="info"):
    log = Log(LineLogger(level=level, as_json=True))
    for notice in notices:
        log.see(notice)
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_failed_attempt_is_logged_as_a_warning_with_its_reason(capsys):
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
        an_accepted_notice(accepted=1),
        an_attempt("delivered"),
        Moved(pixel="p", trigger="delivered", deliveries=1),
    ],
)
def test_successful_attempt_is_not_logged_at_the_default_level(capsys, notice):
    assert lines(capsys, notice) == []


@pytest.mark.parametrize(
    ("notice", "says", "level"),
    [
        (
            Paused(pause=Pause(since=1, pixel="p", cause=Cause.CREDENTIALS_REFUSED, reason="401")),
            "pixel paused",
            "error",
        ),
        (Resumed(pixel="p"), "pixel resumed", "info"),
        (ProblemSeen(where="outbox", reason="disk full"), "problem", "error"),
        (
            Moved(pixel="p", trigger="given_up", deliveries=1, reason="r"),
            "deliveries given up",
            "warning",
        ),
        (an_accepted_notice(rejected=2), "conversions rejected", "info"),
    ],
)
def test_important_notice_is_logged(capsys, notice, says, level):
    line = lines(capsys, notice)[0]

    assert (line["event"], line["level"]) == (says, level)


def test_log_line_of_a_template_names_the_tag_or_the_client(capsys):
    of_tag, of_client = lines(
        capsys, TagSaid(tag="tag:crm", text="a", own=True), ClientSaid(client="Orders", text="b")
    )

    assert (of_tag["event"], of_tag["tag"], of_tag["text"]) == ("sandbox message", "tag:crm", "a")
    assert (of_client["event"], of_client["client"]) == ("template message", "Orders")
    assert (of_client["text"], of_client["level"]) == ("b", "info")


def test_hostile_text_of_x_is_escaped_and_truncated_in_the_log(capsys):
    line = lines(
        capsys,
        Paused(
            pause=Pause(
                since=1, pixel="p", cause=Cause.PIXEL_REFUSED, reason="\x1b[2J\r\n" + "x" * 10_000
            )
        ),
    )[0]

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
def test_personal_data_in_a_response_of_x_is_not_logged(capsys, said, logged):
    assert lines(capsys, an_attempt(reason=said))[0]["reason"] == logged


def test_refusal_at_intake_is_logged_and_counted_with_the_reason(capsys):
    refused = an_accepted_notice(
        rejected=3, endpoint="beacon", codes={"event_unknown": 2, "wrong_type": 1}
    )
    metrics = Metrics()

    line = lines(capsys, refused)[0]
    metrics.see(refused)

    del line["timestamp"]
    assert line == {
        "event": "conversions rejected",
        "level": "info",
        "source": "shop",
        "endpoint": "beacon",
        "rejected": 3,
        "codes": {"event_unknown": 2, "wrong_type": 1},
    }
    series = 'twite_rejected_total{code="%s",endpoint="beacon",source="shop"} %s'
    page = metrics.rendered([]).decode().splitlines()
    assert {series % ("event_unknown", 2.0), series % ("wrong_type", 1.0)} <= set(page)


@pytest.mark.parametrize(
    ("phase", "says", "level"),
    [
        (AlertPhase.OPENED, "alert opened", "error"),
        (AlertPhase.STILL_OPEN, "alert still open", "error"),
        (AlertPhase.RESOLVED, "alert resolved", "info"),
    ],
)
def test_alert_is_logged_with_its_page(capsys, phase, says, level):
    line = lines(capsys, Alerted(alert=ALERT, phase=phase))[0]

    del line["timestamp"]
    assert line == {
        "event": says,
        "level": level,
        "alert": "pixel_paused",
        "subject": "o8z6j",
        "reason": "404",
        "fix": "Compare the reason, the pixel's id and the user's role with Events Manager.",
        "help": "Alerts: pixel_paused",
    }


def test_failed_webhook_message_is_logged(capsys):
    reported = WebhookTried(
        kind=AlertKind.PIXEL_PAUSED, phase=AlertPhase.OPENED, refused="answered 404"
    )

    line = lines(capsys, reported)[0]

    assert (line["event"], line["reason"], line["level"]) == (
        "webhook failed",
        "answered 404",
        "warning",
    )


@pytest.mark.parametrize(
    "notice",
    [
        WebhookTried(kind=AlertKind.PIXEL_PAUSED, phase=AlertPhase.OPENED),
        MonitorChecked(at=1),
        ConditionChanged(kind=AlertKind.STORE_RESTORED, subject="store"),
    ],
)
def test_notices_with_their_own_report_are_not_logged(capsys, notice):
    assert lines(capsys, notice, level="debug") == []


@pytest.mark.parametrize("notice", GatewayEvent.__subclasses__(), ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_any_notice_can_be_logged(notice, data):
    # An exception in an observer would stop its caller: a pause would be neither stored nor
    # counted.
    log = Log(LineLogger(level="debug", as_json=True))

    log.see(data.draw(st.builds(notice, **EVERY_FIELD_OF.get(notice, {}))))


def test_log_line_for_the_terminal_quotes_values_with_spaces(capsys):
    LineLogger(level="info", as_json=False).write(
        "warning", "it failed", tag="a b", pixel="o8z6j", ms=3
    )

    stamp, rest = capsys.readouterr().err.split(" ", 1)
    assert stamp.endswith("Z")
    assert rest == "[warning  ] it failed                      ms=3 pixel=o8z6j tag='a b'\n"
