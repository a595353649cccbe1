"""Metrics in Prometheus' text format."""

from prometheus_client.parser import text_string_to_metric_families

from twite.observers.prometheus import added_up, page_of
from twite.observers.series import Histogram, Series


def a_page(*, counted, open_alerts, took):
    histogram = Histogram("twite_seconds", "Text.", limits=(1, 2))
    histogram.observe({took * 1_000: 1}, "")
    counters = [("twite_x_total", {"source": source}, many) for source, many in counted.items()]
    return page_of(
        [
            Series("twite_x_total", "Text.", "counter", counters),
            Series("twite_open", "Text.", "gauge", [("twite_open", {}, open_alerts)]),
            histogram.series(),
        ]
    )


def values(page):
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


ONE = a_page(counted={"shop": 2, "app": 1}, open_alerts=0, took=0.5)
TWO = a_page(counted={"shop": 3}, open_alerts=1, took=1.5)


def test_counters_of_several_processes_are_added_and_the_largest_gauge_used():
    assert values(added_up([ONE, TWO])) == {
        ("twite_x_total", "shop"): 5,
        ("twite_x_total", "app"): 1,
        ("twite_open",): 1,
        ("twite_seconds_bucket", "1.0"): 1,
        ("twite_seconds_bucket", "2.0"): 2,
        ("twite_seconds_bucket", "+Inf"): 2,
        ("twite_seconds_count",): 2,
        ("twite_seconds_sum",): 2,
    }


def test_only_counters_of_an_ended_process_are_used():
    both = values(added_up([ONE], [TWO]))

    assert (both["twite_x_total", "shop"], both["twite_open",]) == (5, 0)


def test_metrics_of_a_single_process_are_unchanged():
    assert values(added_up([ONE])) == values(ONE)


def test_labels_and_infinity_are_parsed():
    label = 'back\\slash\u2028, "quotes", {braces}\nand a line'
    samples = [("twite_x", {"code": label}, float("inf"))]
    page = page_of([Series("twite_x", "Text.", "gauge", samples)])

    assert values(page) == values(added_up([page])) == {("twite_x", label): float("inf")}


def test_histogram_counts_a_value_in_every_bucket_that_it_fits():
    histogram = Histogram("twite_seconds", "Text.", limits=(0.5, 1), label="pixel")

    histogram.observe({500: 1, 501: 1}, "o8z6j")
    histogram.observe({1_500: 1}, "o8z6j")

    assert values(page_of([histogram.series()])) == {
        ("twite_seconds_bucket", "0.5", "o8z6j"): 1,
        ("twite_seconds_bucket", "1.0", "o8z6j"): 2,
        ("twite_seconds_bucket", "+Inf", "o8z6j"): 3,
        ("twite_seconds_count", "o8z6j"): 3,
        ("twite_seconds_sum", "o8z6j"): 2.501,
    }
