import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twite.domain.alert import Alert, AlertKind, AlertPhase
from twite.domain.history import ConversionCounts
from twite.domain.stats.backlog import Forecast
from twite.domain.stats.tally import Counted, Counting
from twite.gateway.ports.events import (
    Accepted,
    Alerted,
    Attempted,
    ClientSaid,
    ConditionChanged,
    IgnoredSome,
    Judged,
    MonitorChecked,
    Moved,
    Notice,
    Paused,
    Resumed,
    TagSaid,
    Troubled,
    WebhookTried,
)
from twite.gateway.ports.machine import DiskSpace
from twite.observers import Several
from twite.observers.log import Log, logger
from twite.observers.metrics import Metrics

# Fields with a default, which `builds` would leave at it.
EVERY_FIELD_OF = {
    Paused: {"event": st.sampled_from(["", "o8z6k"])},
    Resumed: {"event": st.sampled_from(["", "o8z6k"])},
    Moved: {"reason": st.text()},
    TagSaid: {"own": st.booleans()},
    ClientSaid: {"own": st.booleans()},
    ConditionChanged: {"holds": st.booleans()},
}
ALERT = Alert(
    id="a", kind=AlertKind.PIXEL_PAUSED, subject="o8z6j", reason="404", opened_at=1, said_at=1
)


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


def test_a_line_of_a_template_names_the_tag_or_the_client(capsys):
    of_tag, of_client = lines(
        capsys, TagSaid(tag="tag:crm", text="a", own=True), ClientSaid(client="Orders", text="b")
    )

    assert (of_tag["event"], of_tag["tag"], of_tag["text"]) == ("a sandbox says", "tag:crm", "a")
    assert (of_client["event"], of_client["client"]) == ("a template says", "Orders")
    assert (of_client["text"], of_client["level"]) == ("b", "info")


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


def test_what_is_refused_at_the_door_is_logged_and_counted_with_the_reason(capsys):
    refused = a_door(rejected=3, endpoint="beacon", codes={"event_unknown": 2, "wrong_type": 1})
    metrics = Metrics()

    line = lines(capsys, refused)[0]
    metrics.see(refused)

    del line["timestamp"]
    assert line == {
        "event": "conversions rejected",
        "level": "info",
        "source": "shop",
        "door": "beacon",
        "rejected": 3,
        "codes": {"event_unknown": 2, "wrong_type": 1},
    }
    series = 'twite_rejected_total{code="%s",door="beacon",source="shop"} %s'
    page = metrics.rendered([]).decode().splitlines()
    assert {series % ("event_unknown", 2.0), series % ("wrong_type", 1.0)} <= set(page)


def test_metrics_count_what_is_seen():
    metrics = Metrics()
    both = Several((metrics, metrics))
    for notice in (
        a_door(accepted=2, duplicates=1, suppressed=3, rejected=4),
        an_attempt(),
        Moved(pixel="o8z6j", trigger="postponed", deliveries=3),
        Paused(pixel="o8z6j", reason="401"),
        Troubled(where="sweep", reason="r"),
        IgnoredSome(source="shop", endpoint="ga4", reasons={"not_configured": 2}),
    ):
        both.see(notice)

    page = metrics.rendered(
        [ConversionCounts(source="shop", pixel="o8z6j", received=5, delivered=4)]
    ).decode()

    for line in (
        'twite_conversions_total{source="shop",verdict="accepted"} 4.0',
        'twite_ignored_total{door="ga4",reason="not_configured",source="shop"} 4.0',
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


def test_what_x_took_is_counted_by_how_long_it_waited():
    metrics = Metrics()

    metrics.see(
        Moved(pixel="o8z6j", trigger="delivered", deliveries=3, waited=(250, 251, 200_000_000))
    )

    page = metrics.rendered([]).decode().splitlines()
    for line in (
        'twite_delivery_seconds_bucket{le="0.25",pixel="o8z6j"} 1.0',
        'twite_delivery_seconds_bucket{le="0.5",pixel="o8z6j"} 2.0',
        'twite_delivery_seconds_bucket{le="172800.0",pixel="o8z6j"} 2.0',
        'twite_delivery_seconds_bucket{le="+Inf",pixel="o8z6j"} 3.0',
        'twite_delivery_seconds_count{pixel="o8z6j"} 3.0',
        'twite_delivery_seconds_sum{pixel="o8z6j"} 200000.501',
    ):
        assert line in page


def test_a_look_shows_what_is_pending_what_is_expected_and_what_room_there_is():
    metrics = Metrics()
    forecast = Forecast(pixel="o8z6j", pending=9, oldest=1_000, drained_at=61_000, misses=3, late=1)
    stalled = Forecast(pixel="p2", pending=1, oldest=0)

    metrics.see(
        MonitorChecked(
            at=31_000,
            forecasts=(forecast, stalled),
            space=DiskSpace(free=5, files={"database": 7, "log": 2}),
        )
    )

    page = metrics.rendered([]).decode().splitlines()
    for line in (
        'twite_pending_conversions{pixel="o8z6j"} 9.0',
        'twite_oldest_pending_seconds{pixel="o8z6j"} 30.0',
        'twite_forecast_drain_seconds{pixel="o8z6j"} 30.0',
        'twite_forecast_misses{pixel="o8z6j"} 3.0',
        'twite_late_conversions{pixel="o8z6j"} 1.0',
        'twite_forecast_drain_seconds{pixel="p2"} +Inf',
        "twite_disk_free_bytes 5.0",
        'twite_store_bytes{file="database"} 7.0',
        'twite_store_bytes{file="log"} 2.0',
    ):
        assert line in page


def test_requests_that_isolate_and_conversions_that_x_may_have_had_are_counted():
    metrics = Metrics()

    metrics.see(an_attempt(isolating=True, again=2))
    metrics.see(an_attempt())

    page = metrics.rendered([]).decode().splitlines()
    assert 'twite_isolation_requests_total{pixel="o8z6j"} 1.0' in page
    assert 'twite_ambiguous_resends_total{pixel="o8z6j"} 2.0' in page


def test_an_alert_is_a_metric_while_it_is_open():
    metrics = Metrics()

    metrics.see(Alerted(alert=ALERT, phase=AlertPhase.OPENED))
    during = metrics.rendered([]).decode()
    metrics.see(Alerted(alert=ALERT, phase=AlertPhase.RESOLVED))
    after = metrics.rendered([]).decode()

    series = 'twite_alert_open{code="pixel_paused",subject="o8z6j"}'
    assert (f"{series} 1.0" in during, f"{series} 0.0" in after) == (True, True)
    assert 'twite_alerts_total{code="pixel_paused",phase="resolved"} 1.0' in after


def test_an_alert_from_before_this_process_is_a_metric_too():
    metrics = Metrics()

    metrics.see(MonitorChecked(at=1, alerts=(ALERT,)))

    assert b'twite_alert_open{code="pixel_paused",subject="o8z6j"} 1.0' in metrics.rendered([])


def test_messages_to_the_webhook_are_counted_by_whether_it_took_them():
    metrics = Metrics()

    metrics.see(
        WebhookTried(kind=AlertKind.PIXEL_PAUSED, phase=AlertPhase.OPENED, refused="answered 404")
    )
    metrics.see(WebhookTried(kind=AlertKind.PIXEL_PAUSED, phase=AlertPhase.OPENED))

    page = metrics.rendered([]).decode().splitlines()
    assert 'twite_webhook_messages_total{outcome="failed"} 1.0' in page
    assert 'twite_webhook_messages_total{outcome="taken"} 1.0' in page


def test_decisions_about_consent_are_counted_by_action_and_rule():
    metrics = Metrics()

    metrics.see(
        Judged(source="shop", verdicts={("suppress", "storage"): 2, ("send", "granted"): 1})
    )

    page = metrics.rendered([]).decode().splitlines()
    assert 'twite_consent_total{action="suppress",rule="storage",source="shop"} 2.0' in page


def test_commits_are_timed():
    metrics = Metrics()

    metrics.committed(0.002)

    assert b'twite_commit_seconds_bucket{le="0.0025"} 1.0' in metrics.rendered([])


def test_what_the_settings_do_not_name_is_counted_together():
    metrics = Metrics(sources=["shop"], pixels=["o8z6j"])
    for name in ("shop", "gone", "other one"):
        metrics.see(Accepted(source=name, accepted=1, duplicates=0, suppressed=0, rejected=0))
        metrics.see(an_attempt(pixel=name, status=599))

    page = metrics.rendered(
        [
            ConversionCounts(source="gone", pixel="p", received=2),
            ConversionCounts(source="gone too", pixel="q", received=3),
            ConversionCounts(source="shop", pixel="", received=1, rejected=1),
        ]
    ).decode()

    for line in (
        'twite_conversions_total{source="other",verdict="accepted"} 2.0',
        'twite_attempts_total{outcome="errored",pixel="other",status="other"} 3.0',
        'twite_balance_conversions{pixel="other",source="other",state="received"} 5.0',
        'twite_balance_conversions{pixel="",source="shop",state="rejected"} 1.0',
    ):
        assert line in page.splitlines()
    assert "gone" not in page


@pytest.mark.parametrize(
    ("phase", "says", "level"),
    [
        (AlertPhase.OPENED, "alert opened", "error"),
        (AlertPhase.STILL_OPEN, "alert still open", "error"),
        (AlertPhase.RESOLVED, "alert resolved", "info"),
    ],
)
def test_an_alert_is_a_line_with_its_page(capsys, phase, says, level):
    line = lines(capsys, Alerted(alert=ALERT, phase=phase))[0]

    del line["timestamp"]
    assert line == {
        "event": says,
        "level": level,
        "alert": "pixel_paused",
        "subject": "o8z6j",
        "reason": "404",
        "help": "docs/how-to/alerts/pixel_paused.md",
    }


def test_a_webhook_that_fails_is_a_line(capsys):
    told = WebhookTried(
        kind=AlertKind.PIXEL_PAUSED, phase=AlertPhase.OPENED, refused="answered 404"
    )

    line = lines(capsys, told)[0]

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
def test_what_is_told_elsewhere_is_not_a_line(capsys, notice):
    assert lines(capsys, notice, level="debug") == []


def counted(source, what, word, times=1):
    return Counted(source=source, pixel="o8z6j", what=what, word=word, times=times)


def test_match_keys_flaws_and_amounts_have_a_bounded_number_of_series():
    metrics = Metrics(sources=["shop"], pixels=["o8z6j"])

    # A kit of click id, email, IP and user agent; one of a phone; and of who is gone.
    metrics.counted([counted("shop", Counting.KIT, "27", 2), counted("shop", Counting.KIT, "4")])
    metrics.counted([counted(f"gone-{n}", Counting.FLAW, "double_hash") for n in range(9)])
    metrics.counted([counted("shop", Counting.HELD, "minor_units")])

    page = metrics.rendered([]).decode().splitlines()
    shop = 'pixel="o8z6j",source="shop"'
    for line in (
        f'twite_matchable_conversions_total{{keys="3",{shop}}} 2.0',
        f'twite_matchable_conversions_total{{keys="1",{shop}}} 1.0',
        f'twite_match_keys_total{{key="click_id",{shop}}} 2.0',
        f'twite_match_keys_total{{key="phone",{shop}}} 1.0',
        f'twite_match_keys_total{{key="ip_and_user_agent",{shop}}} 2.0',
        'twite_match_flaws_total{code="double_hash",pixel="o8z6j",source="other"} 9.0',
        f'twite_remarkable_amounts_total{{fate="held",kind="minor_units",{shop}}} 1.0',
    ):
        assert line in page
    assert [line for line in page if "gone" in line] == []


@pytest.mark.parametrize("notice", get_args(Notice), ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_no_notice_is_too_much_for_the_log(notice, data):
    # A caller stops where its observer raises: a pause would be neither stored nor counted.
    log = Log(logger(level="debug", as_json=True))

    log.see(data.draw(st.builds(notice, **EVERY_FIELD_OF.get(notice, {}))))
