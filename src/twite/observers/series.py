"""The counters and gauges by name, and histograms of durations."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Final

import msgspec


def _metrics() -> Iterator[tuple[str, tuple[str, str]]]:
    for line in Path(__file__).with_name("metrics.txt").read_text("utf-8").splitlines()[1:]:
        name, labels, text = (part.strip() for part in line.split("|"))
        yield name, (text, labels)


_METRICS: Final = dict(_metrics())
# The counters and gauges: help text and labels, by name.
COUNTERS: Final = {name: row for name, row in _METRICS.items() if name.endswith("_total")}
GAUGES: Final = {name: row for name, row in _METRICS.items() if name not in COUNTERS}


class Series(msgspec.Struct, frozen=True):
    """The series of a metric. Each sample has a name, labels and a value."""

    name: str
    text: str
    kind: str
    samples: Iterable[tuple[str, Mapping[str, str], float]]


class Histogram:
    """A histogram of durations, with at most one label. Only one thread observes each series."""

    def __init__(
        self, name: str, text: str, *, limits: Sequence[float], label: str | None = None
    ) -> None:
        """`limits` are the upper ends of the buckets, in seconds, in order."""
        self._name = name
        self._text = text
        self._label = label
        self._names = (*(str(float(limit)) for limit in limits), "+Inf")
        self._ends = tuple(limit * 1_000 for limit in limits)
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}
        if label is None:
            self.observe({}, "")

    def observe(self, waited: Mapping[float, int] | Mapping[int, int], label: str) -> None:
        """Add observations: `waited` maps each duration in milliseconds to its number."""
        counts = self._counts.setdefault(label, [0] * len(self._names))
        total = 0.0
        for ms, many in waited.items():
            counts[bisect_left(self._ends, ms)] += many
            total += ms * many
        self._sums[label] = self._sums.get(label, 0.0) + total / 1_000

    def series(self) -> Series:
        return Series(self._name, self._text, "histogram", self._samples())

    def _samples(self) -> Iterator[tuple[str, Mapping[str, str], float]]:
        for value, counts in self._counts.copy().items():
            labels = {} if self._label is None else {self._label: value}
            sums = tuple(accumulate(counts))
            for end, many in zip(self._names, sums, strict=True):
                yield f"{self._name}_bucket", {**labels, "le": end}, many
            yield f"{self._name}_count", labels, sums[-1]
            yield f"{self._name}_sum", labels, self._sums[value]
