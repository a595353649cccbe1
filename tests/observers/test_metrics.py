from notices import ALERT, an_accepted_notice, an_attempt

from twite.domain.alert import AlertKind, AlertPhase
from twite.domain.history import ConversionCounts
from twite.domain.pause import Cause, Pause
from twite.domain.stats.backlog import Forecast
from twite.domain.stats.tally import Counted, Counting
from twite.gateway.ports.events import (
    Accepted,
    Alerted,
    IgnoredSome,
    Judged,
    MonitorChecked,
    MonitorStopped,
    Moved,
    Paused,
    ProblemSeen,
    ResultsChecked,
    ResultsFailed,
    Resumed,
    WebhookTried,
)
from twite.gateway.ports.machine import DiskSpace
from twite.observers import Several
from twite.observers import metrics as metrics_module
from twite.observers.metrics import Metrics


def test_age_and_failures_of_x_s_results_are_metrics_until_another_gateway_leads():
    metrics = Metrics()
    metrics.see(ResultsFailed(account="18ce"))
    metrics.see(ResultsChecked(account="18ce", fetched_at=0, days_behind=0))
    never = metrics.rendered([]).decode()
    metrics.see(ResultsChecked(account="18ce", fetched_at=1_500, days_behind=2))
    page = metrics.rendered([]).decode()
    metrics.see(MonitorStopped())

    assert 'twite_results_fetched_timestamp_seconds{account="18ce"}' not in never
    for line in (
        'twite_results_failures_total{account="18ce"} 1.0',
        'twite_results_fetched_timestamp_seconds{account="18ce"} 1.5',
        'twite_results_days_behind{account="18ce"} 2.0',
    ):
        assert line in page.splitlines()
    assert 'twite_results_days_behind{account="18ce"}' not in metrics.rendered([]).decode()


def test_each_notice_is_counted():
    metrics = Metrics()
    both = Several((metrics, metrics))
    for notice in (
        an_accepted_notice(accepted=2, duplicates=1, suppressed=3, rejected=4),
        an_attempt(),
        Moved(pixel="o8z6j", trigger="postponed", deliveries=3),
        Paused(pause=Pause(since=1, pixel="o8z6j", cause=Cause.CREDENTIALS_REFUSED, reason="401")),
        ProblemSeen(where="sweep", reason="r"),
        IgnoredSome(source="shop", endpoint="ga4", reasons={"not_configured": 2}),
    ):
        both.see(notice)

    page = metrics.rendered(
        [ConversionCounts(source="shop", pixel="o8z6j", received=5, delivered=4)]
    ).decode()

    for line in (
        'twite_conversions_total{source="shop",verdict="accepted"} 4.0',
        'twite_ignored_total{endpoint="ga4",reason="not_configured",source="shop"} 4.0',
        'twite_conversions_total{source="shop",verdict="duplicates"} 2.0',
        'twite_conversions_total{source="shop",verdict="suppressed"} 6.0',
        'twite_conversions_total{source="shop",verdict="rejected"} 8.0',
        'twite_attempts_total{outcome="errored",pixel="o8z6j",status="503"} 2.0',
        'twite_sent_conversions_total{outcome="errored",pixel="o8z6j"} 6.0',
        'twite_ambiguous_conversions_total{pixel="o8z6j"} 6.0',
        'twite_deliveries_total{pixel="o8z6j",trigger="postponed"} 6.0',
        'twite_pixel_paused{pixel="o8z6j"} 1.0',
        'twite_problems_total{where="sweep"} 2.0',
        'twite_balance_conversions{pixel="o8z6j",source="shop",state="received"} 5.0',
        'twite_balance_conversions{pixel="o8z6j",source="shop",state="balance"} 1.0',
    ):
        assert line in page.splitlines()


def test_pixel_that_was_resumed_is_not_paused_in_the_metrics():
    metrics = Metrics()
    metrics.see(
        Paused(pause=Pause(since=1, pixel="o8z6j", cause=Cause.CREDENTIALS_REFUSED, reason="401"))
    )

    metrics.see(Resumed(pixel="o8z6j"))

    assert b'twite_pixel_paused{pixel="o8z6j"} 0.0' in metrics.rendered([])


def test_delivered_conversions_are_counted_by_waiting_time():
    metrics = Metrics()

    metrics.see(
        Moved(
            pixel="o8z6j",
            trigger="delivered",
            deliveries=3,
            waited={250: 1, 251: 1, 200_000_000: 1},
        )
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


def test_metrics_show_pending_conversions_forecast_and_free_space():
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


def test_bisection_requests_and_ambiguous_retries_are_counted():
    metrics = Metrics()

    metrics.see(an_attempt(isolating=True, again=2))
    metrics.see(an_attempt())

    page = metrics.rendered([]).decode().splitlines()
    assert 'twite_isolation_requests_total{pixel="o8z6j"} 1.0' in page
    assert 'twite_ambiguous_resends_total{pixel="o8z6j"} 2.0' in page


def test_open_alert_is_a_metric():
    metrics = Metrics()

    metrics.see(Alerted(alert=ALERT, phase=AlertPhase.OPENED))
    during = metrics.rendered([]).decode()
    metrics.see(Alerted(alert=ALERT, phase=AlertPhase.RESOLVED))
    after = metrics.rendered([]).decode()

    series = 'twite_alert_open{code="pixel_paused",subject="o8z6j"}'
    assert (f"{series} 1.0" in during, f"{series} 0.0" in after) == (True, True)
    assert 'twite_alerts_total{code="pixel_paused",phase="resolved"} 1.0' in after


def test_alert_that_an_earlier_process_opened_is_a_metric():
    metrics = Metrics()

    metrics.see(MonitorChecked(at=1, alerts=(ALERT,)))

    assert b'twite_alert_open{code="pixel_paused",subject="o8z6j"} 1.0' in metrics.rendered([])


def test_only_the_leader_has_metrics_of_alerts_and_forecasts():
    metrics = Metrics()
    forecast = Forecast(pixel="o8z6j", pending=9, oldest=1_000, drained_at=61_000, misses=3, late=1)
    metrics.see(MonitorChecked(at=1, alerts=(ALERT,), forecasts=(forecast,)))
    before = metrics.rendered([]).decode()

    metrics.see(MonitorStopped())
    after = metrics.rendered([]).decode()

    for name in (
        "twite_alert_open",
        "twite_pending_conversions",
        "twite_oldest_pending_seconds",
        "twite_forecast_drain_seconds",
        "twite_forecast_misses",
        "twite_late_conversions",
    ):
        assert (f"\n{name}{{" in before, f"\n{name}{{" in after) == (True, False)


def test_webhook_messages_are_counted_by_outcome():
    metrics = Metrics()

    metrics.see(
        WebhookTried(kind=AlertKind.PIXEL_PAUSED, phase=AlertPhase.OPENED, refused="answered 404")
    )
    metrics.see(WebhookTried(kind=AlertKind.PIXEL_PAUSED, phase=AlertPhase.OPENED))

    page = metrics.rendered([]).decode().splitlines()
    assert 'twite_webhook_messages_total{outcome="failed"} 1.0' in page
    assert 'twite_webhook_messages_total{outcome="taken"} 1.0' in page


def test_consent_verdicts_are_counted_by_action_and_rule():
    metrics = Metrics()

    metrics.see(
        Judged(source="shop", verdicts={("suppress", "storage"): 2, ("send", "granted"): 1})
    )

    page = metrics.rendered([]).decode().splitlines()
    assert 'twite_consent_total{action="suppress",rule="storage",source="shop"} 2.0' in page


def test_durations_of_commits_are_counted():
    metrics = Metrics()

    metrics.committed(0.002)

    assert b'twite_commit_seconds_bucket{le="0.0025"} 1.0' in metrics.rendered([])


def test_names_that_are_not_in_the_settings_are_counted_together():
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


def counted(source, what, word, times=1):
    return Counted(source=source, pixel="o8z6j", counting=what, word=word, times=times)


def test_match_keys_identifier_errors_and_amounts_have_a_limited_number_of_series():
    metrics = Metrics(sources=["shop"], pixels=["o8z6j"])

    # Match keys: click id, email, IP and user agent; a phone; and those of an erased person.
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
        f'twite_unusual_amounts_total{{kind="minor_units",outcome="held",{shop}}} 1.0',
    ):
        assert line in page
    assert [line for line in page if "gone" in line] == []


def test_labels_of_a_count_are_computed_once(monkeypatch):
    computed = []
    monkeypatch.setattr(metrics_module, "keys_in", lambda keys: computed.append(keys) or 3)
    metrics = Metrics(sources=["shop"], pixels=["o8z6j"])

    for _ in range(3):
        metrics.counted([counted("shop", Counting.KIT, "27", 2)])

    page = metrics.rendered([]).decode().splitlines()
    assert computed == [27]
    line = 'twite_matchable_conversions_total{keys="3",pixel="o8z6j",source="shop"} 6.0'
    assert line in page


def test_counts_of_a_tag_that_is_added_later_have_their_own_series():
    metrics = Metrics(sources=["shop"], pixels=["o8z6j"])
    count = counted("tag", Counting.FLAW, "double_hash")
    metrics.counted([count])

    metrics.know(sources=["tag"], pixels=["tag"])
    metrics.counted([count])

    page = metrics.rendered([]).decode().splitlines()
    for source in ("other", "tag"):
        labels = f'code="double_hash",pixel="o8z6j",source="{source}"'
        assert f"twite_match_flaws_total{{{labels}}} 1.0" in page


def test_number_of_cached_labels_is_limited(monkeypatch):
    computed = []
    monkeypatch.setattr(metrics_module, "_MOST_RESOLVED", 3)
    monkeypatch.setattr(metrics_module, "keys_in", lambda keys: computed.append(keys) or 1)
    metrics = Metrics()

    for _ in range(2):
        metrics.counted([counted("shop", Counting.KIT, str(keys)) for keys in range(4)])

    line = 'twite_matchable_conversions_total{keys="1",pixel="o8z6j",source="shop"} 8.0'
    assert line in metrics.rendered([]).decode().splitlines()
    assert computed == [0, 1, 2, 3] * 2
