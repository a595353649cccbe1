"""Prometheus metrics.

The number of series is bounded: labels come from the configuration and from Twite's own words; any
other source, pixel or status counts as `other`.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from twite.domain.alert import AlertPhase
from twite.domain.history import ConversionCounts
from twite.domain.stats.backlog import Forecast
from twite.domain.stats.match_keys import PAIR, MatchKeys, keys_in
from twite.domain.stats.tally import Counted, Counting
from twite.gateway.ports.events import (
    Accepted,
    Alerted,
    Attempted,
    IgnoredSome,
    Judged,
    Misdated,
    MonitorChecked,
    Moved,
    Notice,
    Paused,
    Presented,
    Resumed,
    TagFired,
    TagPassed,
    TagSaid,
    Troubled,
    TurnedAway,
    WebhookTried,
)
from twite.observers.latency import Latency

VERDICTS: Final = ("accepted", "duplicates", "suppressed", "rejected")
OTHER: Final = "other"
STATUSES: Final = frozenset(
    {200, 201, 202, 204, 301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 406, 408, 409, 410}
    | {411, 413, 414, 415, 422, 423, 429, 431, 500, 501, 502, 503, 504, 520, 521, 522, 523, 524}
)
_KEY_LABELS: Final[Mapping[int, str]] = {
    MatchKeys.CLICK: "click_id",
    MatchKeys.EMAIL: "email",
    MatchKeys.PHONE: "phone",
    PAIR: "ip_and_user_agent",
}
_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30)
_COMMIT_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
# from the duration of one request to the promised 48 hours
_DELIVERY_SECONDS: Final = (0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3_600, 14_400, 43_200, 86_400,
                            144_000, 172_800)  # fmt: skip


class Metrics:
    """Counts events. Each instance has a registry of its own: nothing is global."""

    def __init__(
        self,
        *,
        sources: Collection[str] | None = None,
        pixels: Collection[str] | None = None,
    ) -> None:
        """`sources` and `pixels` are those with series of their own; None is all."""
        self._sources = None if sources is None else frozenset({*sources, ""})
        self._pixels = None if pixels is None else frozenset({*pixels, ""})
        registry = self.registry = CollectorRegistry()
        counter = partial(Counter, registry=registry)
        gauge = partial(Gauge, registry=registry)
        self._endpoints: dict[str, tuple[Counter, ...]] = {}
        self._submitted = counter(
            "twite_conversions_total",
            "Conversions received, by verdict at intake.",
            ["source", "verdict"],
        )
        self._rejected = counter(
            "twite_rejected_total",
            "Conversions rejected at intake, by the first error of each.",
            ["source", "door", "code"],
        )
        self._turned = counter(
            "twite_refused_requests_total",
            "Requests refused as a whole and for good, by error.",
            ["source", "door", "code"],
        )
        self._attempts = counter(
            "twite_attempts_total",
            "Requests to X, by outcome and HTTP status (none where no answer came).",
            ["pixel", "outcome", "status"],
        )
        self._sent = counter(
            "twite_sent_conversions_total",
            "Conversions in requests to X, by outcome.",
            ["pixel", "outcome"],
        )
        self._ambiguous = counter(
            "twite_ambiguous_conversions_total",
            "Conversions that X may have processed without an answer.",
            ["pixel"],
        )
        self._again = counter(
            "twite_ambiguous_resends_total",
            "Conversions sent again although X may have them.",
            ["pixel"],
        )
        self._isolating = counter(
            "twite_isolation_requests_total",
            "Requests to X that bisect a refused batch.",
            ["pixel"],
        )
        self._presented = counter(
            "twite_credentials_presented_total",
            "Requests of pixels with two credentials, by credential and X's verdict.",
            ["pixel", "credential", "verdict"],
        )
        self._took = Histogram(
            "twite_attempt_seconds",
            "Duration of a request to X.",
            ["pixel"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._delivery = Latency(
            "twite_delivery_seconds",
            "Time from the receipt of a conversion until X accepted it.",
            limits=_DELIVERY_SECONDS,
        )
        registry.register(self._delivery)
        self._moved = counter(
            "twite_deliveries_total",
            "State changes of deliveries, by trigger.",
            ["pixel", "trigger"],
        )
        self._fired = counter(
            "twite_tag_firings_total",
            "Events for which a tag fired, by verdict at intake.",
            ["pixel", "source", "verdict"],
        )
        self._passed = counter(
            "twite_tag_not_fired_total",
            "Events for which a tag did not fire, by reason.",
            ["pixel", "source", "reason"],
        )
        self._said = counter(
            "twite_tag_log_lines_total",
            "Log lines written by templates, and by the sandbox about them.",
            ["pixel"],
        )
        self._paused = gauge("twite_pixel_paused", "1 while a pixel is paused.", ["pixel"])
        self._events_paused = gauge("twite_events_paused", "Paused events of the pixel.", ["pixel"])
        self._paused_events: dict[str, set[str]] = defaultdict(set)
        self._pending = gauge(
            "twite_pending_conversions", "Conversions waiting to be sent.", ["pixel"]
        )
        self._oldest = gauge(
            "twite_oldest_pending_seconds",
            "How long the oldest pending conversion has waited; 0 without one.",
            ["pixel"],
        )
        self._drain = gauge(
            "twite_forecast_drain_seconds",
            "Time until all pending conversions are sent; +Inf while nothing is sent.",
            ["pixel"],
        )
        self._misses = gauge(
            "twite_forecast_misses",
            "Pending conversions that will be sent after their 48 hours.",
            ["pixel"],
        )
        self._late = gauge(
            "twite_late_conversions",
            "Pending conversions whose 48 hours are over.",
            ["pixel"],
        )
        self._offset = gauge(
            "twite_clock_offset_seconds",
            "How far X's clock is ahead of the machine's, from its responses.",
        )
        self._troubles = counter(
            "twite_troubles_total", "Internal errors that are retried.", ["where"]
        )
        self._alert = gauge("twite_alert_open", "1 while an alert is open.", ["code", "subject"])
        self._alerts = counter(
            "twite_alerts_total",
            "Alerts that opened, were still open after a day, or resolved.",
            ["code", "phase"],
        )
        self._told = counter(
            "twite_webhook_messages_total",
            "Messages to the webhook, by outcome: taken or failed.",
            ["outcome"],
        )
        self._free = gauge("twite_disk_free_bytes", "Free disk space at the store.")
        self._files = gauge(
            "twite_store_bytes", "Size of the store's files: the database and its log.", ["file"]
        )
        self._commits = Histogram(
            "twite_commit_seconds",
            "Duration of a commit of the store.",
            buckets=_COMMIT_SECONDS,
            registry=registry,
        )
        self._ignored = counter(
            "twite_ignored_total",
            "Events received that are not conversions of their source, by endpoint and reason.",
            ["source", "door", "reason"],
        )
        self._consent = counter(
            "twite_consent_total",
            "Conversions with consent signals or required consent, by decision and rule.",
            ["source", "action", "rule"],
        )
        self._matched = counter(
            "twite_matchable_conversions_total",
            "New conversions to be sent, by how many of X's four match keys they carry.",
            ["source", "pixel", "keys"],
        )
        self._keys = counter(
            "twite_match_keys_total",
            "Match keys of new conversions to be sent, by key.",
            ["source", "pixel", "key"],
        )
        self._flaws = counter(
            "twite_match_flaws_total",
            "Flaws of match keys received, by code.",
            ["source", "pixel", "code"],
        )
        self._amounts = counter(
            "twite_remarkable_amounts_total",
            "Conversions with an unusual amount for their event, by kind.",
            ["source", "pixel", "kind", "fate"],
        )
        self._accounts = gauge(
            "twite_balance_conversions",
            "The balance, by state; `balance` must be 0.",
            ["source", "pixel", "state"],
        )

    def know(self, tags: Collection[str]) -> None:
        """Give tags series of their own, by the destination names of their deliveries."""
        if self._pixels is not None:
            self._pixels = self._pixels | frozenset(tags)
        if self._sources is not None:
            # Conversions that a template sends to X count under the tag.
            self._sources = self._sources | frozenset(tags)

    def see(self, notice: Notice) -> None:
        """Count an event."""
        match notice:
            case Accepted():
                self._see_accepted(notice)
            case TurnedAway():
                self._turned.labels(self._source(notice.source), notice.endpoint, notice.code).inc()
            case Attempted():
                self._see_attempted(notice)
            case Moved():
                pixel = self._pixel(notice.pixel)
                self._moved.labels(pixel, notice.trigger).inc(notice.deliveries)
                if notice.waited:
                    self._delivery.observe(pixel, notice.waited)
            case Paused() | Resumed():
                self._see_pause(notice)
            case Troubled(where=where):
                self._troubles.labels(where).inc()
            case TagFired() | TagPassed() | TagSaid():
                self._see_tag(notice)
            case _:
                self._see_alarm(notice)

    def _see_tag(self, notice: TagFired | TagPassed | TagSaid) -> None:
        pixel = self._pixel(notice.tag)
        if isinstance(notice, TagSaid):
            self._said.labels(pixel).inc()
        elif isinstance(notice, TagPassed):
            source = self._source(notice.source)
            self._passed.labels(pixel, source, notice.bar).inc(notice.times)
        else:
            self._fired.labels(pixel, self._source(notice.source), notice.verdict).inc()

    def _see_pause(self, notice: Paused | Resumed) -> None:
        label, is_paused = self._pixel(notice.pixel), isinstance(notice, Paused)
        if not notice.event:
            self._paused.labels(label).set(int(is_paused))
            return
        events = self._paused_events[label]
        (events.add if is_paused else events.discard)(notice.event)
        self._events_paused.labels(label).set(len(events))

    def _see_alarm(self, notice: Notice) -> None:
        match notice:
            case Presented():
                verdict = "taken" if notice.taken else "refused"
                self._presented.labels(self._pixel(notice.pixel), notice.credential, verdict).inc()
            case Misdated(offset=offset):
                self._offset.set(offset / 1_000)
            case Alerted(alert=alert, phase=phase):
                still = phase is not AlertPhase.RESOLVED
                self._alert.labels(alert.kind.value, alert.subject).set(still)
                self._alerts.labels(alert.kind.value, phase.value).inc()
            case WebhookTried(refused=refused):
                self._told.labels("taken" if refused is None else "failed").inc()
            case IgnoredSome(source=source, endpoint=endpoint, reasons=reasons):
                for reason, times in reasons.items():
                    self._ignored.labels(self._source(source), endpoint, reason).inc(times)
            case Judged(source=source, verdicts=verdicts):
                for (action, rule), times in verdicts.items():
                    self._consent.labels(self._source(source), action, rule).inc(times)
            case MonitorChecked():
                self._see_looked(notice)

    def committed(self, seconds: float) -> None:
        """Count a commit. May be called from any thread."""
        self._commits.observe(seconds)

    def counted(self, counted: Iterable[Counted]) -> None:
        """Count a commit's match keys and amounts. Called from the store's thread."""
        for count in counted:
            whose = self._source(count.source), self._pixel(count.pixel)
            match count.what:
                case Counting.KIT:
                    key_set = int(count.word)
                    self._matched.labels(*whose, str(keys_in(key_set))).inc(count.times)
                    for needed, label in _KEY_LABELS.items():
                        if key_set & needed == needed:
                            self._keys.labels(*whose, label).inc(count.times)
                case Counting.FLAW:
                    self._flaws.labels(*whose, count.word).inc(count.times)
                case Counting.FLAGGED | Counting.HELD:
                    self._amounts.labels(*whose, count.word, count.what.value).inc(count.times)

    def rendered(self, accounts: Iterable[ConversionCounts]) -> bytes:
        """Return the metrics page, with the current balance."""
        sums: dict[tuple[str, str, str], int] = {}
        for account in accounts:
            whose = self._source(account.source), self._pixel(account.pixel)
            for state in (*ConversionCounts.__struct_fields__[2:], "balance"):
                key = (*whose, state)
                sums[key] = sums.get(key, 0) + getattr(account, state)
        self._accounts.clear()
        for key, many in sums.items():
            self._accounts.labels(*key).set(many)
        return generate_latest(self.registry)

    def _see_accepted(self, notice: Accepted) -> None:
        """Count an accepted request. This is a hot path: its series are looked up once a source."""
        series = self._endpoints.get(notice.source)
        if series is None:
            labels = partial(self._submitted.labels, self._source(notice.source))
            series = self._endpoints[notice.source] = tuple(labels(verdict) for verdict in VERDICTS)
        accepted, duplicates, suppressed, rejected = series
        if notice.accepted:
            accepted.inc(notice.accepted)
        if notice.duplicates:
            duplicates.inc(notice.duplicates)
        if notice.suppressed:
            suppressed.inc(notice.suppressed)
        if notice.rejected:
            rejected.inc(notice.rejected)
            for code, times in notice.codes.items():
                self._rejected.labels(self._source(notice.source), notice.endpoint, code).inc(times)

    def _see_attempted(self, notice: Attempted) -> None:
        pixel = self._pixel(notice.pixel)
        self._attempts.labels(pixel, notice.outcome, _status(notice.status)).inc()
        self._sent.labels(pixel, notice.outcome).inc(notice.conversions)
        self._took.labels(pixel).observe(notice.took / 1_000)
        if notice.ambiguous:
            self._ambiguous.labels(pixel).inc(notice.conversions)
        if notice.again:
            self._again.labels(pixel).inc(notice.again)
        if notice.isolating:
            self._isolating.labels(pixel).inc()

    def _see_looked(self, notice: MonitorChecked) -> None:
        for alert in notice.alerts:
            self._alert.labels(alert.kind.value, alert.subject).set(1)
        for forecast in notice.forecasts or ():
            self._see_forecast(forecast, now=notice.at)
        if notice.space is not None:
            self._free.set(notice.space.free)
            for name, size in notice.space.files.items():
                self._files.labels(name).set(size)

    def _see_forecast(self, forecast: Forecast, *, now: int) -> None:
        pixel = self._pixel(forecast.pixel)
        self._pending.labels(pixel).set(forecast.pending)
        self._oldest.labels(pixel).set(
            0 if forecast.oldest is None else (now - forecast.oldest) / 1_000
        )
        drained = (
            float("inf") if forecast.drained_at is None else (forecast.drained_at - now) / 1_000
        )
        self._drain.labels(pixel).set(drained)
        self._misses.labels(pixel).set(forecast.misses)
        self._late.labels(pixel).set(forecast.late)

    def _source(self, name: str) -> str:
        return name if self._sources is None or name in self._sources else OTHER

    def _pixel(self, name: str) -> str:
        return name if self._pixels is None or name in self._pixels else OTHER


def _status(status: int | None) -> str:
    if status is None:
        return "none"
    return str(status) if status in STATUSES else OTHER
