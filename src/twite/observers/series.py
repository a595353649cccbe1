"""The counters and gauges by name, and histograms of durations."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Final

import msgspec

# The counters and gauges: name, help text, labels.
COUNTERS: Final = {
    "twite_conversions_total": ("Conversions received, by verdict at intake.", "source verdict"),
    "twite_rejected_total": (
        "Conversions rejected at intake, by the first error of each.",
        "source door code",
    ),
    "twite_refused_requests_total": (
        "Requests refused as a whole, by error.",
        "source door code",
    ),
    "twite_attempts_total": (
        "Requests to X, by outcome and HTTP status (`none` without a response).",
        "pixel outcome status",
    ),
    "twite_sent_conversions_total": ("Conversions in requests to X, by outcome.", "pixel outcome"),
    "twite_ambiguous_conversions_total": (
        "Conversions that X may have processed although no response arrived.",
        "pixel",
    ),
    "twite_ambiguous_resends_total": (
        "Conversions sent again although X may already have them.",
        "pixel",
    ),
    "twite_isolation_requests_total": (
        "Requests to X that search a refused batch for bad conversions.",
        "pixel",
    ),
    "twite_credentials_presented_total": (
        "Requests for pixels that have two credentials, by credential and X's verdict.",
        "pixel credential verdict",
    ),
    "twite_deliveries_total": ("Delivery state changes, by trigger.", "pixel trigger"),
    "twite_tag_firings_total": (
        "Events for which a tag fired, by verdict at intake.",
        "pixel source verdict",
    ),
    "twite_tag_not_fired_total": (
        "Events for which a tag did not fire, by reason.",
        "pixel source reason",
    ),
    "twite_tag_first_turns_total": (
        "First steps of tag runs for which a browser waited, by result.",
        "pixel result",
    ),
    "twite_tag_container_calls_total": (
        "Calls of runContainer by tags, by result.",
        "pixel result",
    ),
    "twite_tag_log_lines_total": (
        "Log lines from templates, and from the sandbox about templates.",
        "pixel",
    ),
    "twite_troubles_total": ("Internal errors that are retried.", "where"),
    "twite_alerts_total": (
        "Alerts that opened, were still open after a day, or resolved.",
        "code phase",
    ),
    "twite_webhook_messages_total": (
        "Messages to the webhook, by outcome: taken or failed.",
        "outcome",
    ),
    "twite_ignored_total": (
        "Events that Twite does not treat as conversions, by endpoint and reason.",
        "source door reason",
    ),
    "twite_consent_total": (
        "Conversions that have consent signals or require consent, by decision and rule.",
        "source action rule",
    ),
    "twite_matchable_conversions_total": (
        "New conversions to be sent, by number of match keys.",
        "source pixel keys",
    ),
    "twite_match_keys_total": (
        "Match keys of new conversions to be sent, by key.",
        "source pixel key",
    ),
    "twite_match_flaws_total": ("Defects of received match keys, by code.", "source pixel code"),
    "twite_remarkable_amounts_total": (
        "Conversions with an unusual amount, by kind.",
        "source pixel kind fate",
    ),
}
GAUGES: Final = {
    "twite_pixel_paused": ("1 while a pixel is paused.", "pixel"),
    "twite_events_paused": ("Number of the pixel's events that are paused.", "pixel"),
    "twite_pending_conversions": ("Conversions waiting to be sent.", "pixel"),
    "twite_oldest_pending_seconds": (
        "Age of the oldest pending conversion; 0 if none is pending.",
        "pixel",
    ),
    "twite_forecast_drain_seconds": (
        "Time until all pending conversions are sent; +Inf if delivery has stopped.",
        "pixel",
    ),
    "twite_forecast_misses": (
        "Pending conversions that will miss X's 48-hour deadline.",
        "pixel",
    ),
    "twite_late_conversions": ("Pending conversions past X's 48-hour deadline.", "pixel"),
    "twite_clock_offset_seconds": (
        "Offset of X's clock from the machine's clock.",
        "",
    ),
    "twite_alert_open": ("1 while an alert is open.", "code subject"),
    "twite_disk_free_bytes": ("Free space on the disk of a SQLite store.", ""),
    "twite_store_bytes": ("Size of a SQLite store's files: the database and its log.", "file"),
    "twite_balance_conversions": (
        "The balance, by state; `balance` must be 0.",
        "source pixel state",
    ),
}


class Series(msgspec.Struct, frozen=True):
    """The series of a metric. Each sample has a name, labels and a value."""

    name: str
    text: str
    kind: str
    samples: Iterable[tuple[str, Mapping[str, str], float]]


class Histogram:
    """A histogram of durations, with at most one label. Each series is observed by one thread."""

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
        """Add observations: their number by milliseconds."""
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
