"""Prometheus' text format: write metrics, and add up the pages of several processes.

Imported when a page is first requested, because the library takes 30 ms of the startup time.
"""

from collections.abc import Iterable, Sequence

from prometheus_client import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from twite.observers.series import Series

_ADDED = frozenset({"counter", "histogram"})


class _Families:
    """The metrics of a page, as the library's collector."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def page_of(series: Iterable[Series]) -> bytes:
    families = []
    for each in series:
        # The library appends _total to the name of a counter.
        family = Metric(each.name.removesuffix("_total"), each.text, each.kind)
        for name, labels, value in each.samples:
            family.add_sample(name, dict(labels), value)
        families.append(family)
    return _page(families)


def added_up(live: Sequence[bytes], gone: Sequence[bytes] = ()) -> bytes:
    """Merge several pages of metrics into one.

    Counters and histograms are added up; a gauge gets the largest of its values. Pages of ended
    processes (`gone`) contribute no gauges.
    """
    families: dict[str, Metric] = {}
    values: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for page, is_live in [*((page, True) for page in live), *((page, False) for page in gone)]:
        for family in text_string_to_metric_families(page.decode()):
            adds = family.type in _ADDED
            if not adds and not is_live:
                continue
            families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            sums = values.setdefault(family.name, {})
            for sample in family.samples:
                key = sample.name, tuple(sample.labels.items())
                before = sums.get(key)
                if before is None:
                    sums[key] = sample.value
                else:
                    sums[key] = before + sample.value if adds else max(before, sample.value)
    for name, family in families.items():
        for (sample_name, labels), value in values[name].items():
            family.add_sample(sample_name, dict(labels), value)
    return _page(families.values())


def _page(families: Iterable[Metric]) -> bytes:
    return generate_latest(_Families(families))
