"""Prometheus metrics.

The number of series is bounded: label values come from the configuration and from Twite's code; any
other source, pixel or status is counted as `other`.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

from twite.domain.alert import AlertPhase
from twite.domain.history import ConversionCounts
from twite.domain.stats.backlog import Forecast
from twite.domain.stats.match_keys import PAIR, MatchKeys, keys_in
from twite.domain.stats.tally import Counted, Counting
from twite.gateway.ports.events import (
    Accepted,
    Alerted,
    Attempted,
    ContainerCalled,
    FirstTurnEnded,
    GatewayEvent,
    IgnoredSome,
    Judged,
    Misdated,
    MonitorChecked,
    MonitorStopped,
    Moved,
    Paused,
    Presented,
    ProblemSeen,
    Reloaded,
    ResultsChecked,
    ResultsFailed,
    Resumed,
    TagFired,
    TagPassed,
    TagSaid,
    TurnedAway,
    ValueRulesApplied,
    WebhookAnswered,
    WebhookTried,
)
from twite.observers.series import COUNTERS, GAUGES, Histogram, Series

VERDICTS: Final = ("accepted", "duplicates", "suppressed", "rejected")
OTHER: Final = "other"
STATUSES: Final = frozenset(
    {200, 201, 202, 204, 301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 406, 408, 409, 410}
    | {411, 413, 414, 415, 422, 423, 429, 431, 500, 501, 502, 503, 504, 520, 521, 522, 523, 524}
)
# Gauges that exist only on the gateway that monitors.
_MONITORED: Final = (
    "twite_alert_open",
    "twite_pending_conversions",
    "twite_oldest_pending_seconds",
    "twite_forecast_drain_seconds",
    "twite_forecast_misses",
    "twite_late_conversions",
    "twite_results_fetched_timestamp_seconds",
    "twite_results_days_behind",
)
_KEY_LABELS: Final[Mapping[int, str]] = {
    MatchKeys.CLICK: "click_id",
    MatchKeys.EMAIL: "email",
    MatchKeys.PHONE: "phone",
    PAIR: "ip_and_user_agent",
}
_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30)
_COMMIT_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
# from the duration of one request to 48 hours, within which Twite promises to deliver
_DELIVERY_SECONDS: Final = (0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3_600, 14_400, 43_200, 86_400,
                            144_000, 172_800)  # fmt: skip
# The values of a metric, and the labels of one of its series.
_Place = tuple[dict[tuple[str, ...], float], tuple[str, ...]]
# Resolving labels takes longer than counting, so the series of recent counts are kept.
_MOST_RESOLVED: Final = 10_000


class Metrics:
    """Counts events."""

    def __init__(
        self,
        *,
        sources: Collection[str] | None = None,
        pixels: Collection[str] | None = None,
    ) -> None:
        """`sources` and `pixels` get their own series; None means all."""
        self._sources = None if sources is None else frozenset({*sources, ""})
        self._pixels = None if pixels is None else frozenset({*pixels, ""})
        # The values of each metric by its labels.
        self._values: dict[str, dict[tuple[str, ...], float]] = {
            name: {} if labels else {(): 0.0} for name, (_, labels) in (COUNTERS | GAUGES).items()
        }
        self._took = Histogram(
            "twite_attempt_seconds", "Duration of a request to X.", limits=_SECONDS, label="pixel"
        )
        self._delivery = Histogram(
            "twite_delivery_seconds",
            "Time from the receipt of a conversion until X accepted it.",
            limits=_DELIVERY_SECONDS,
            label="pixel",
        )
        self._commits = Histogram(
            "twite_commit_seconds", "Duration of a commit of the store.", limits=_COMMIT_SECONDS
        )
        self._paused_events: dict[str, set[str]] = defaultdict(set)
        # The series of match keys, flaws and amounts that commits added to.
        self._resolved: dict[tuple[str, str, Counting, str], Sequence[_Place]] = {}

    def know(self, *, sources: Collection[str] = (), pixels: Collection[str] = ()) -> None:
        """Give more sources and pixels their own series."""
        if self._pixels is not None:
            self._pixels = self._pixels | frozenset(pixels)
        if self._sources is not None:
            self._sources = self._sources | frozenset(sources)
        self._resolved = {}

    def see(self, event: GatewayEvent) -> None:
        """Count an event."""
        match event:
            case Accepted():
                self._see_accepted(event)
            case TurnedAway():
                self._count(
                    "twite_refused_requests_total",
                    event.source,
                    event.endpoint,
                    event.code,
                )
            case Attempted():
                self._see_attempted(event)
            case Moved():
                pixel = event.pixel
                self._count("twite_deliveries_total", pixel, event.trigger, times=event.deliveries)
                if event.waited:
                    self._delivery.observe(event.waited, self._pixel(pixel))
            case Paused() | Resumed():
                self._see_pause(event)
            case ProblemSeen(where=name) | Reloaded(result=name):
                counted = "problems" if isinstance(event, ProblemSeen) else "reloads"
                self._count(f"twite_{counted}_total", name)
            case TagFired() | TagPassed() | TagSaid() | FirstTurnEnded() | ContainerCalled():
                self._see_tag(event)
            case _:
                self._see_alarm(event)

    def _see_tag(
        self, notice: TagFired | TagPassed | TagSaid | FirstTurnEnded | ContainerCalled
    ) -> None:
        pixel = notice.tag
        if isinstance(notice, FirstTurnEnded):
            self._count("twite_tag_first_turns_total", pixel, notice.result)
        elif isinstance(notice, ContainerCalled):
            self._count("twite_tag_container_calls_total", pixel, notice.result)
        elif isinstance(notice, TagSaid):
            self._count("twite_tag_log_lines_total", pixel)
        elif isinstance(notice, TagPassed):
            reason, times = notice.reason, notice.times
            self._count("twite_tag_not_fired_total", pixel, notice.source, reason, times=times)
        else:
            self._count("twite_tag_firings_total", pixel, notice.source, notice.verdict)

    def _see_pause(self, notice: Paused | Resumed) -> None:
        is_paused = isinstance(notice, Paused)
        of = notice.pause if isinstance(notice, Paused) else notice
        if not of.event:
            self._set("twite_pixel_paused", of.pixel, to=int(is_paused))
            return
        events = self._paused_events[self._pixel(of.pixel)]
        (events.add if is_paused else events.discard)(of.event)
        self._set("twite_events_paused", of.pixel, to=len(events))

    def _see_alarm(self, event: GatewayEvent) -> None:
        match event:
            case Presented():
                verdict = "taken" if event.taken else "refused"
                self._count(
                    "twite_credentials_presented_total",
                    event.pixel,
                    event.credential,
                    verdict,
                )
            case Misdated(offset=offset):
                self._set("twite_clock_offset_seconds", to=offset / 1_000)
            case Alerted(alert=alert, phase=phase):
                still = phase is not AlertPhase.RESOLVED
                self._set("twite_alert_open", alert.kind.value, alert.subject, to=still)
                self._count("twite_alerts_total", alert.kind.value, phase.value)
            case WebhookTried() | WebhookAnswered():
                self._see_webhook(event)
            case IgnoredSome() | Judged() | ValueRulesApplied():
                self._see_intake(event)
            case MonitorChecked() | MonitorStopped():
                self._see_looked(event)
            case ResultsChecked() | ResultsFailed():
                self._see_results(event)

    def _see_intake(self, event: IgnoredSome | Judged | ValueRulesApplied) -> None:
        source = event.source
        if isinstance(event, IgnoredSome):
            for reason, times in event.reasons.items():
                self._count("twite_ignored_total", source, event.endpoint, reason, times=times)
            return
        is_rule = isinstance(event, ValueRulesApplied)
        counts = event.results if isinstance(event, ValueRulesApplied) else event.verdicts
        name = "twite_value_rules_total" if is_rule else "twite_consent_total"
        for labels, times in counts.items():
            self._count(name, source, *labels, times=times)

    def _see_webhook(self, event: WebhookTried | WebhookAnswered) -> None:
        if isinstance(event, WebhookTried):
            outcome = "taken" if event.refused is None else "failed"
            self._count("twite_webhook_messages_total", outcome)
            return
        delivery = event.delivery
        self._count(
            "twite_webhook_deliveries_total", delivery.webhook, delivery.verdict, delivery.reason
        )

    def lost_log_line(self) -> None:
        """Count a line that the log could not write."""
        self._count("twite_lost_log_lines_total")

    def traced(self, result: str, spans: int) -> None:
        """Count spans. Each result is counted by one thread alone."""
        self._count("twite_trace_spans_total", result, times=spans)

    def committed(self, seconds: float) -> None:
        """Count a commit. Called from the store's thread."""
        self._commits.observe({seconds * 1_000: 1}, "")

    def counted(self, counted: Iterable[Counted]) -> None:
        """Count a commit's match keys and amounts. Called from the store's thread."""
        resolved = self._resolved
        for count in counted:
            subject = count.source, count.pixel, count.counting, count.word
            places = resolved.get(subject)
            if places is None:
                if len(resolved) >= _MOST_RESOLVED:
                    resolved.clear()
                places = resolved[subject] = [
                    (self._values[name], self._known(COUNTERS[name][1], labels))
                    for name, *labels in _series_of(*subject)
                ]
            for values, key in places:
                values[key] = values.get(key, 0.0) + count.times

    def rendered(self, accounts: Iterable[ConversionCounts]) -> bytes:
        """Return the metrics as text, with the current balance."""
        sums: dict[tuple[str, str, str], int] = {}
        for account in accounts:
            whose = self._source(account.source), self._pixel(account.pixel)
            for state in (*ConversionCounts.__struct_fields__[2:], "balance"):
                key = (*whose, state)
                sums[key] = sums.get(key, 0) + getattr(account, state)
        self._values["twite_balance_conversions"].clear()
        for key, many in sums.items():
            self._set("twite_balance_conversions", *key, to=many)
        return self.latest()

    def latest(self) -> bytes:
        """Return the metrics as text, with the balance from the last call of `rendered`."""
        from twite.observers.prometheus import page_of  # noqa: PLC0415  # see there

        return page_of(self._series())

    def _series(self) -> Iterator[Series]:
        for kind, known in (("counter", COUNTERS), ("gauge", GAUGES)):
            for name, (text, labels) in known.items():
                names = labels.split()
                # Other threads add series at the same time.
                values = self._values[name].copy()
                samples = [
                    (name, dict(zip(names, key, strict=True)), value)
                    for key, value in values.items()
                ]
                yield Series(name, text, kind, samples)
        for histogram in (self._took, self._delivery, self._commits):
            yield histogram.series()

    def _see_accepted(self, accepted: Accepted) -> None:
        times = (accepted.accepted, accepted.duplicates, accepted.suppressed, accepted.rejected)
        values, source = self._values["twite_conversions_total"], self._source(accepted.source)
        for verdict, many in zip(VERDICTS, times, strict=True):
            key = (source, verdict)
            values[key] = values.get(key, 0.0) + many
        for code, many in accepted.codes.items():
            self._count(
                "twite_rejected_total", accepted.source, accepted.endpoint, code, times=many
            )

    def _see_attempted(self, attempted: Attempted) -> None:
        pixel = attempted.pixel
        self._count("twite_attempts_total", pixel, attempted.outcome, _status(attempted.status))
        self._count(
            "twite_sent_conversions_total", pixel, attempted.outcome, times=attempted.conversions
        )
        self._took.observe({attempted.took: 1}, self._pixel(pixel))
        if attempted.ambiguous:
            self._count("twite_ambiguous_conversions_total", pixel, times=attempted.conversions)
        if attempted.again:
            self._count("twite_ambiguous_resends_total", pixel, times=attempted.again)
        if attempted.isolating:
            self._count("twite_isolation_requests_total", pixel)

    def _see_results(self, event: ResultsChecked | ResultsFailed) -> None:
        account = event.account
        if isinstance(event, ResultsFailed):
            self._count("twite_results_failures_total", account)
            return
        if event.fetched_at:
            at = event.fetched_at / 1_000
            self._set("twite_results_fetched_timestamp_seconds", account, to=at)
        self._set("twite_results_days_behind", account, to=event.days_behind)

    def _see_looked(self, notice: MonitorChecked | MonitorStopped) -> None:
        if isinstance(notice, MonitorStopped):
            for name in _MONITORED:
                self._values[name].clear()
            return
        for alert in notice.alerts:
            self._set("twite_alert_open", alert.kind.value, alert.subject, to=1)
        for forecast in notice.forecasts or ():
            self._see_forecast(forecast, now=notice.at)
        if notice.space is not None:
            self._set("twite_disk_free_bytes", to=notice.space.free)
            for name, size in notice.space.files.items():
                self._set("twite_store_bytes", name, to=size)

    def _see_forecast(self, forecast: Forecast, *, now: int) -> None:
        pixel = forecast.pixel
        self._set("twite_pending_conversions", pixel, to=forecast.pending)
        self._set(
            "twite_oldest_pending_seconds",
            pixel,
            to=0 if forecast.oldest is None else (now - forecast.oldest) / 1_000,
        )
        drained = (
            float("inf") if forecast.drained_at is None else (forecast.drained_at - now) / 1_000
        )
        self._set("twite_forecast_drain_seconds", pixel, to=drained)
        self._set("twite_forecast_misses", pixel, to=forecast.misses)
        self._set("twite_late_conversions", pixel, to=forecast.late)

    def _count(self, name: str, *labels: str, times: float = 1) -> None:
        values, key = self._values[name], self._known(COUNTERS[name][1], labels)
        values[key] = values.get(key, 0.0) + times

    def _set(self, name: str, *labels: str, to: float) -> None:
        self._values[name][self._known(GAUGES[name][1], labels)] = to

    def _known(self, kinds: str, labels: Iterable[str]) -> tuple[str, ...]:
        """Return the labels, with `other` for a source or pixel that has no series of its own."""
        known = {"source": self._sources, "pixel": self._pixels}
        return tuple(
            [
                label if (names := known.get(kind)) is None or label in names else OTHER
                for kind, label in zip(kinds.split(), labels, strict=True)
            ]
        )

    def _source(self, name: str) -> str:
        return name if self._sources is None or name in self._sources else OTHER

    def _pixel(self, name: str) -> str:
        return name if self._pixels is None or name in self._pixels else OTHER


def _status(status: int | None) -> str:
    if status is None:
        return "none"
    return str(status) if status in STATUSES else OTHER


def _series_of(
    source: str, pixel: str, counting: Counting, word: str
) -> Iterator[tuple[str, str, str, *tuple[str, ...]]]:
    """Yield the name and the labels of each series that counts this."""
    match counting:
        case Counting.KIT:
            key_set = int(word)
            yield "twite_matchable_conversions_total", source, pixel, str(keys_in(key_set))
            for needed, label in _KEY_LABELS.items():
                if key_set & needed == needed:
                    yield "twite_match_keys_total", source, pixel, label
        case Counting.FLAW:
            yield "twite_match_flaws_total", source, pixel, word
        case Counting.FLAGGED | Counting.HELD:
            yield "twite_unusual_amounts_total", source, pixel, word, counting.value
