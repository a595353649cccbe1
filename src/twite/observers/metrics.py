"""Metrics for Prometheus.

The number of series is bounded: labels come from the configuration and from words of Twite's; a
source, pixel or status that is none of them is counted as `other`.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from twite.domain.alert import AlertPhase
from twite.domain.history import ConversionCounts
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
from twite.gateway.ports.monitoring import Forecast
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
# From a request's own time to what is promised: 48 hours.
_DELIVERY_SECONDS: Final = (0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3_600, 14_400, 43_200, 86_400,
                            144_000, 172_800)  # fmt: skip


class Metrics:
    """Counts notices. One registry an instance: nothing global."""

    def __init__(
        self,
        *,
        sources: Collection[str] | None = None,
        pixels: Collection[str] | None = None,
    ) -> None:
        """`sources` and `pixels` are those that have series of their own; None is all."""
        self._sources = None if sources is None else frozenset({*sources, ""})
        self._pixels = None if pixels is None else frozenset({*pixels, ""})
        registry = self.registry = CollectorRegistry()
        counter = partial(Counter, registry=registry)
        gauge = partial(Gauge, registry=registry)
        self._doors: dict[str, tuple[Counter, ...]] = {}
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
            "Log lines of templates, and of the sandbox about them.",
            ["pixel"],
        )
        self._paused = gauge("twite_pixel_paused", "1 while a pixel is paused.", ["pixel"])
        self._events_paused = gauge("twite_events_paused", "Paused events of the pixel.", ["pixel"])
        self._paused_events: dict[str, set[str]] = defaultdict(set)
        self._pending = gauge(
            "twite_pending_conversions", "Conversions that wait to be sent.", ["pixel"]
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
            "How far X's clock is ahead of the machine's, by its answers.",
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
            "Events received that are no conversions of their source, by endpoint and reason.",
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
        """Give tags series of their own; each is what its deliveries have in place of a pixel."""
        if self._pixels is not None:
            self._pixels = self._pixels | frozenset(tags)
        if self._sources is not None:
            # What a template sends to X is counted under the tag.
            self._sources = self._sources | frozenset(tags)

    def see(self, notice: Notice) -> None:
        """Count a notice."""
        match notice:
            case Accepted() as one:
                self._see_accepted(one)
            case TurnedAway() as one:
                self._turned.labels(self._source(one.source), one.door, one.code).inc()
            case Attempted() as one:
                self._see_attempted(one)
            case Moved() as one:
                pixel = self._pixel(one.pixel)
                self._moved.labels(pixel, one.trigger).inc(one.deliveries)
                if one.waited:
                    self._delivery.observe(pixel, one.waited)
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
            case Presented() as one:
                said = "taken" if one.taken else "refused"
                self._presented.labels(self._pixel(one.pixel), one.credential, said).inc()
            case Misdated(offset=offset):
                self._offset.set(offset / 1_000)
            case Alerted(alert=alert, phase=phase):
                still = phase is not AlertPhase.RESOLVED
                self._alert.labels(alert.kind.value, alert.subject).set(still)
                self._alerts.labels(alert.kind.value, phase.value).inc()
            case WebhookTried(refused=refused):
                self._told.labels("taken" if refused is None else "failed").inc()
            case IgnoredSome(source=source, door=door, reasons=reasons):
                for reason, times in reasons.items():
                    self._ignored.labels(self._source(source), door, reason).inc(times)
            case Judged(source=source, verdicts=verdicts):
                for (action, rule), times in verdicts.items():
                    self._consent.labels(self._source(source), action, rule).inc(times)
            case MonitorChecked() as one:
                self._see_looked(one)

    def committed(self, seconds: float) -> None:
        """Count a commit. May be called from any thread."""
        self._commits.observe(seconds)

    def counted(self, counted: Iterable[Counted]) -> None:
        """Count what a commit counted of match keys and amounts. From the store's thread."""
        for one in counted:
            whose = self._source(one.source), self._pixel(one.pixel)
            match one.what:
                case Counting.KIT:
                    kit = int(one.word)
                    self._matched.labels(*whose, str(keys_in(kit))).inc(one.times)
                    for needed, label in _KEY_LABELS.items():
                        if kit & needed == needed:
                            self._keys.labels(*whose, label).inc(one.times)
                case Counting.FLAW:
                    self._flaws.labels(*whose, one.word).inc(one.times)
                case Counting.FLAGGED | Counting.HELD:
                    self._amounts.labels(*whose, one.word, one.what.value).inc(one.times)

    def rendered(self, accounts: Iterable[ConversionCounts]) -> bytes:
        """Return the page that Prometheus reads, with the balance as it is now."""
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

    def _see_accepted(self, one: Accepted) -> None:
        """Count at the door: the hot one, so its series are looked up once a source."""
        series = self._doors.get(one.source)
        if series is None:
            labels = partial(self._submitted.labels, self._source(one.source))
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
            for code, times in one.codes.items():
                self._rejected.labels(self._source(one.source), one.door, code).inc(times)

    def _see_attempted(self, one: Attempted) -> None:
        pixel = self._pixel(one.pixel)
        self._attempts.labels(pixel, one.outcome, _status(one.status)).inc()
        self._sent.labels(pixel, one.outcome).inc(one.conversions)
        self._took.labels(pixel).observe(one.took / 1_000)
        if one.ambiguous:
            self._ambiguous.labels(pixel).inc(one.conversions)
        if one.again:
            self._again.labels(pixel).inc(one.again)
        if one.isolating:
            self._isolating.labels(pixel).inc()

    def _see_looked(self, one: MonitorChecked) -> None:
        for alert in one.alerts:
            self._alert.labels(alert.kind.value, alert.subject).set(1)
        for forecast in one.forecasts or ():
            self._see_forecast(forecast, now=one.at)
        if one.space is not None:
            self._free.set(one.space.free)
            for name, size in one.space.files.items():
                self._files.labels(name).set(size)

    def _see_forecast(self, one: Forecast, *, now: int) -> None:
        pixel = self._pixel(one.pixel)
        self._pending.labels(pixel).set(one.pending)
        self._oldest.labels(pixel).set(0 if one.oldest is None else (now - one.oldest) / 1_000)
        drained = float("inf") if one.drained_at is None else (one.drained_at - now) / 1_000
        self._drain.labels(pixel).set(drained)
        self._misses.labels(pixel).set(one.misses)
        self._late.labels(pixel).set(one.late)

    def _source(self, name: str) -> str:
        return name if self._sources is None or name in self._sources else OTHER

    def _pixel(self, name: str) -> str:
        return name if self._pixels is None or name in self._pixels else OTHER


def _status(status: int | None) -> str:
    if status is None:
        return "none"
    return str(status) if status in STATUSES else OTHER
