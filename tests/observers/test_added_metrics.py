"""The metrics of several processes, added up."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from twite.observers.added_metrics import added_up


def a_page(*, counted, open_alerts, took):
    registry = CollectorRegistry()
    counter = Counter("twite_x_total", "Text.", ["source"], registry=registry)
    for source, many in counted.items():
        counter.labels(source).inc(many)
    Gauge("twite_open", "Text.", registry=registry).set(open_alerts)
    Histogram("twite_seconds", "Text.", buckets=(1, 2), registry=registry).observe(took)
    return generate_latest(registry)


def values(page):
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


ONE = a_page(counted={"shop": 2, "app": 1}, open_alerts=0, took=0.5)
TWO = a_page(counted={"shop": 3}, open_alerts=1, took=1.5)


def test_counters_and_histograms_add_up_and_of_gauges_the_largest_counts():
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


def test_of_a_process_that_has_ended_only_what_is_added_counts():
    both = values(added_up([ONE], [TWO]))

    assert (both["twite_x_total", "shop"], both["twite_open",]) == (5, 0)


def test_one_page_stays_as_it_is():
    assert values(added_up([ONE])) == values(ONE)
