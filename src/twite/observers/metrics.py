"""Metrics for Prometheus. Labels come from the configuration alone, so the series are bounded."""

from collections.abc import Iterable
from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from twite.domain.account import Account
from twite.gateway.notices import Accepted, Attempted, Moved, Notice, Paused, Resumed, Troubled

VERDICTS: Final = ("accepted", "duplicates", "suppressed", "rejected")
_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30)


class Metrics:
    """Counts notices. One registry an instance: nothing global."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self._submitted = Counter(
            "twite_conversions_total",
            "Conversions taken in, by what became of them at the door.",
            ["source", "verdict"],
            registry=registry,
        )
        self._doors: dict[str, tuple[Counter, ...]] = {}
        self._attempts = Counter(
            "twite_attempts_total",
            "Requests to X, by outcome and HTTP status (none where no answer came).",
            ["pixel", "outcome", "status"],
            registry=registry,
        )
        self._sent = Counter(
            "twite_sent_conversions_total",
            "Conversions in requests to X, by outcome.",
            ["pixel", "outcome"],
            registry=registry,
        )
        self._ambiguous = Counter(
            "twite_ambiguous_conversions_total",
            "Conversions that X may have processed without our knowing.",
            ["pixel"],
            registry=registry,
        )
        self._took = Histogram(
            "twite_attempt_seconds",
            "Time of a request to X.",
            ["pixel"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._moved = Counter(
            "twite_deliveries_total",
            "Deliveries that changed their state, by trigger.",
            ["pixel", "trigger"],
            registry=registry,
        )
        self._paused = Gauge(
            "twite_pixel_paused",
            "1 while a pixel is not sent to.",
            ["pixel"],
            registry=registry,
        )
        self._troubles = Counter(
            "twite_troubles_total",
            "What went wrong inside, and is tried again.",
            ["where"],
            registry=registry,
        )
        self._accounts = Gauge(
            "twite_balance_conversions",
            "The balance, by state; `balance` must be 0.",
            ["source", "pixel", "state"],
            registry=registry,
        )

    def see(self, notice: Notice) -> None:
        """Count a notice."""
        match notice:
            case Accepted() as one:
                self._see_accepted(one)
            case Attempted() as one:
                self._attempts.labels(one.pixel, one.outcome, str(one.status or "none")).inc()
                self._sent.labels(one.pixel, one.outcome).inc(one.conversions)
                self._took.labels(one.pixel).observe(one.took / 1_000)
                if one.ambiguous:
                    self._ambiguous.labels(one.pixel).inc(one.conversions)
            case Moved() as one:
                self._moved.labels(one.pixel, one.trigger).inc(one.deliveries)
            case Paused(pixel=pixel):
                self._paused.labels(pixel).set(1)
            case Resumed(pixel=pixel):
                self._paused.labels(pixel).set(0)
            case Troubled(where=where):
                self._troubles.labels(where).inc()

    def _see_accepted(self, one: Accepted) -> None:
        """Count at the door: the hot one, so its series are looked up once a source."""
        series = self._doors.get(one.source)
        if series is None:
            labels = partial(self._submitted.labels, one.source)
            series = self._doors[one.source] = tuple(labels(verdict) for verdict in VERDICTS)
        accepted, duplicates, suppressed, rejected = series
        if one.accepted:
            accepted.inc(one.accepted)
        if one.duplicates:
            duplicates.inc(one.duplicates)
        if one.suppressed:
            suppressed.inc(one.suppressed)
        if one.rejected:
            rejected.inc(one.rejected)

    def rendered(self, accounts: Iterable[Account]) -> bytes:
        """Return the page that Prometheus reads, with the balance as it is now."""
        self._accounts.clear()
        for account in accounts:
            for state in (*Account.__struct_fields__[2:], "balance"):
                self._accounts.labels(account.source, account.pixel, state).set(
                    getattr(account, state)
                )
        return generate_latest(self.registry)
