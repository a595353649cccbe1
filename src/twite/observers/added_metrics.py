"""Add up the metrics of several processes of one gateway."""

from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families

_ADDED = frozenset({"counter", "histogram", "summary"})


def added_up(live: Sequence[bytes], gone: Sequence[bytes] = ()) -> bytes:
    """Return one page of several, in Prometheus' format.

    Counters and histograms are added; of gauges the largest value counts. Of processes that have
    `gone`, only what is added counts.
    """
    sums: dict[str, Metric] = {}
    values: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for page, is_live in [*((page, True) for page in live), *((page, False) for page in gone)]:
        for family in text_string_to_metric_families(page.decode()):
            adds = family.type in _ADDED
            if not adds and not is_live:
                continue
            sums.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            of_family = values.setdefault(family.name, {})
            for sample in family.samples:
                key = sample.name, tuple(sample.labels.items())
                before = of_family.get(key)
                if before is None:
                    of_family[key] = sample.value
                else:
                    of_family[key] = before + sample.value if adds else max(before, sample.value)
    for name, metric in sums.items():
        for (full_name, labels), value in values[name].items():
            metric.add_sample(full_name, dict(labels), value)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Fixed(sums.values()))
    return generate_latest(registry)


class _Fixed:
    """A collector of metrics that are known."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = tuple(metrics)

    def collect(self) -> Iterator[Metric]:
        return iter(self._metrics)
