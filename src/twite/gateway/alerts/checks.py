"""Alert checks for each pixel, each source, the store, the disk and the clock, without I/O.

`CHECKS` lists the checks that the monitor runs every minute. Each check has a margin between bad
and good, so that an alert does not open and resolve repeatedly at a limit.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from twite.domain.alert import ALERTS_OF_EVENTS, ALERTS_OF_PIXELS, AlertKind
from twite.domain.delivery import State
from twite.domain.destination import LONG_WAIT
from twite.domain.history import ConversionCounts
from twite.domain.pause import Cause, Pause
from twite.domain.plural import plural
from twite.domain.stats.backlog import Forecast
from twite.domain.stats.traffic import Silence
from twite.domain.times import HOUR, MINUTE, SECOND, spelled
from twite.domain.value_change import RuleFailures
from twite.gateway.alerts.alert_store import CheckResult
from twite.gateway.ports.machine import DiskSpace
from twite.gateway.ports.ownership import GatewayCondition
from twite.gateway.ports.state import RateLimitWindow
from twite.redaction.mask_text import without_echoes

STORE: Final = "store"
CLOCK: Final = "clock"
NO_PIXEL: Final = "none"
# `twite check` has the same limit. A wrong clock affects the times of received conversions, but not
# signatures, which use X's time.
CLOCK_OFF: Final = 30 * SECOND
# An alert opens when this much of the 48 hours is left and nothing is delivered to the pixel.
DEADLINE_NEAR: Final = 12 * HOUR
# A value rule is failing while it failed so recently.
RULES_WITHIN: Final = HOUR
_KINDS: Final = frozenset(kind.value for kind in AlertKind)
_MIB: Final = 1 << 20


class Thresholds(msgspec.Struct, frozen=True, kw_only=True):
    """The dead letters of a pixel, and the free bytes, at which an alert opens."""

    dead_letters: int = 10
    disk_free: int = 1 << 30


class CheckContext(msgspec.Struct, frozen=True, kw_only=True):
    """What checks need besides their facts: time (ms), what is configured, limits.

    `muted` counts the deliveries in muted problems, by pixel and state.
    """

    now: int
    pixels: Sequence[str]
    sources: Sequence[str]
    thresholds: Thresholds
    webhooks: Sequence[str] = ()
    syncs: Sequence[str] = ()
    exports: Sequence[str] = ()
    rules: Collection[str] = ()
    muted: Mapping[tuple[str, State], int] = {}


class CheckFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the monitor read for one run. A part that could not be read is None.

    `silences` has an entry for each source, and the others for each webhook, sync and export; it
    is None if there is too little history.
    """

    accounts: Sequence[ConversionCounts] | None = None
    forecasts: Sequence[Forecast] | None = None
    silences: Sequence[Silence | None] | None = None
    webhook_silences: Sequence[Silence | None] | None = None
    sync_silences: Sequence[Silence | None] | None = None
    export_silences: Sequence[Silence | None] | None = None
    space: DiskSpace | None = None
    rule_failures: Sequence[RuleFailures] | None = None
    rate_limit_windows: Sequence[RateLimitWindow] | None = None


class AlertCheck(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `CHECKS`.

    `check` gets the field `fact` of CheckFacts, and does not run if that is None. For the `kinds`,
    a subject without a result counts as good, so that an alert resolves after its pixel or source
    has been removed from the settings.
    """

    fact: str
    check: Callable[[Any, CheckContext], Iterable[CheckResult]]
    kinds: frozenset[AlertKind]


def of_pauses(
    pixels: Iterable[str], pauses: Mapping[tuple[str, str], Pause]
) -> Iterator[CheckResult]:
    """Check the pauses of pixels and events. `pauses` has the pause of a pixel by (pixel, "")."""
    for pixel in pixels:
        pause = pauses.get((pixel, ""))
        words = "" if pause is None else without_echoes(pause.reason)
        for cause, kind in ALERTS_OF_PIXELS.items():
            bad = pause is not None and pause.cause is cause
            begin = "X's response" if cause is Cause.CREDENTIALS_REFUSED else "Reason"
            yield CheckResult(
                kind=kind, subject=pixel, bad=bad, reason=f"{begin}: {words}" if bad else ""
            )
        for cause, kind in ALERTS_OF_EVENTS.items():
            reasons = [
                f"{event}: {without_echoes(paused.reason)}"
                for (of, event), paused in sorted(pauses.items())
                if of == pixel and event and paused.cause is cause
            ]
            yield CheckResult(
                kind=kind, subject=pixel, bad=bool(reasons), reason="; ".join(reasons)
            )


def of_accounts(
    accounts: Collection[ConversionCounts], context: CheckContext
) -> Iterator[CheckResult]:
    """Check dead letters, held deliveries and the balance."""
    limit = context.thresholds.dead_letters
    for pixel in context.pixels:
        mine = [account for account in accounts if account.pixel == pixel]
        dead = sum(event.dead for event in mine) - context.muted.get((pixel, State.DEAD), 0)
        held = sum(event.held for event in mine) - context.muted.get((pixel, State.HELD), 0)
        many = dead >= limit
        yield CheckResult(
            kind=AlertKind.DEAD_LETTERS,
            subject=pixel,
            bad=True if many else False if 2 * dead <= limit else None,
            reason=(
                f"{plural(dead, 'conversion is a dead letter', 'conversions are dead letters')}: X "
                "refused each, even when sent alone"
            ),
        )
        yield CheckResult(
            kind=AlertKind.CONVERSIONS_HELD,
            subject=pixel,
            bad=held > 0,
            reason=(
                f"{plural(held, 'conversion is', 'conversions are')} held until a user decides "
                "whether to send"
            ),
        )
    for account in accounts:
        yield CheckResult(
            kind=AlertKind.BALANCE_RESIDUE,
            subject=f"{account.source}/{account.pixel or NO_PIXEL}",
            bad=account.balance != 0,
            reason=f"{account.balance} of {account.received} conversions are unaccounted for",
        )


def of_forecasts(forecasts: Iterable[Forecast], context: CheckContext) -> Iterator[CheckResult]:
    """Return check results for pixels that will miss deadlines."""
    for forecast in forecasts:
        deadline = forecast.next_deadline
        near = deadline is not None and deadline - context.now < DEADLINE_NEAR
        stuck = forecast.stalled and near
        reason = (
            f"{forecast.misses} of {forecast.pending} pending conversions will miss the 48-hour "
            "deadline"
        )
        if forecast.late:
            reason += f", and {forecast.late} already have"
        if stuck and deadline is not None:
            reason += (
                f"; no conversion is being delivered, and the next deadline is {spelled(deadline)}"
            )
        yield CheckResult(
            kind=AlertKind.DEADLINE_RISK,
            subject=forecast.pixel,
            bad=forecast.misses > 0 or stuck,
            reason=reason,
        )


def of_space(space: DiskSpace, context: CheckContext) -> Iterator[CheckResult]:
    limit = context.thresholds.disk_free
    yield CheckResult(
        kind=AlertKind.DISK_NEARLY_FULL,
        subject=STORE,
        bad=True if space.free < limit else False if space.free >= limit * 5 // 4 else None,
        reason=f"{space.free // _MIB} MiB are free on the store's disk",
    )


def of_clock(offset: int) -> CheckResult:
    """Check how far X's clock is from this machine's (ms)."""
    apart = abs(offset)
    way = "behind" if offset > 0 else "ahead of"
    return CheckResult(
        kind=AlertKind.CLOCK_WRONG,
        subject=CLOCK,
        bad=True if apart >= CLOCK_OFF else False if apart < CLOCK_OFF // 2 else None,
        reason=f"This machine's clock is {apart // SECOND} s {way} X's",
    )


def of_gateways(
    own: Iterable[CheckResult], others: Sequence[GatewayCondition], *, name: str
) -> Iterator[CheckResult]:
    """Combine the results of this gateway, which is called `name`, with those of the others.

    The result of a subject is bad if any gateway reports it as bad. The reason names these
    gateways.
    """
    found: dict[tuple[AlertKind, str], dict[str, bool | None]] = {}
    for result in own:
        found[result.key] = {f"Gateway {name}: {result.reason}": result.bad}
    for other in others:
        # The other gateway may be another version of Twite, which has other kinds.
        if other.kind in _KINDS:
            results = found.setdefault((AlertKind(other.kind), other.subject), {})
            results[f"Gateway {other.gateway}: {other.reason}"] = other.bad
    for (kind, subject), results in found.items():
        reasons = sorted(reason for reason, bad in results.items() if bad)
        yield CheckResult(
            kind=kind,
            subject=subject,
            bad=True if reasons else None if None in results.values() else False,
            reason="; ".join(reasons),
        )


def of_rate_limits(
    windows: Iterable[RateLimitWindow], context: CheckContext
) -> Iterator[CheckResult]:
    """Check whether X, in a 429 or 503, has named a time beyond the usual windows of its limits."""
    by_pixel = {window.pixel: window for window in windows}
    for pixel in context.pixels:
        window = by_pixel.get(pixel)
        left = 0 if window is None else window.until - context.now
        reason = "" if window is None else without_echoes(window.reason)
        yield CheckResult(
            kind=AlertKind.ACCOUNT_LIMITED,
            subject=pixel,
            bad=True if left > LONG_WAIT else False if left <= 0 else None,
            reason=f"until {spelled(context.now + left)}: {reason}",
        )


def of_silences(silences: Iterable[Silence | None], context: CheckContext) -> Iterator[CheckResult]:
    """Return check results for unusually long silences. Sources with little history are unknown."""
    return _of_silences(AlertKind.SOURCE_SILENT, "conversions", context.sources, silences)


def of_webhooks(silences: Iterable[Silence | None], context: CheckContext) -> Iterator[CheckResult]:
    """Return check results for webhooks, as `of_silences` does for sources."""
    return _of_silences(AlertKind.WEBHOOK_SILENT, "messages", context.webhooks, silences)


def of_syncs(silences: Iterable[Silence | None], context: CheckContext) -> Iterator[CheckResult]:
    """Return check results for syncs, as `of_silences` does for sources."""
    return _of_silences(AlertKind.SYNC_SILENT, "rows", context.syncs, silences)


def of_exports(silences: Iterable[Silence | None], context: CheckContext) -> Iterator[CheckResult]:
    """Return check results for exports, as `of_silences` does for sources."""
    return _of_silences(AlertKind.EXPORT_SILENT, "successful runs", context.exports, silences)


def of_rules(failures: Iterable[RuleFailures], context: CheckContext) -> Iterator[CheckResult]:
    """Return a check result for each value rule that failed within RULES_WITHIN."""
    by_rule: dict[str, list[RuleFailures]] = {}
    for failure in failures:
        if failure.rule in context.rules:
            by_rule.setdefault(failure.rule, []).append(failure)
    for rule, own in by_rule.items():
        times = sum(failure.times for failure in own)
        yield CheckResult(
            kind=AlertKind.VALUE_RULE_FAILING,
            subject=rule,
            bad=True,
            reason=f"{plural(times, 'conversion', 'conversions')} within an hour kept the original "
            f"amount; for example: {own[0].detail}",
        )


def _of_silences(
    kind: AlertKind, what: str, subjects: Sequence[str], silences: Iterable[Silence | None]
) -> Iterator[CheckResult]:
    for subject, silence in zip(subjects, silences, strict=True):
        if silence is None:
            yield CheckResult(kind=kind, subject=subject, bad=None)
            continue
        reason = (
            f"No {what} for {_length(silence.lasts)}; gaps of up to "
            f"{_length(silence.usual)} are usual"
        )
        if silence.expected:
            reason += f". A week ago, {silence.expected} {what} arrived in the same hours"
        yield CheckResult(kind=kind, subject=subject, bad=silence.unusual, reason=reason)


def _length(ms: int) -> str:
    hours, minutes = divmod(ms // MINUTE, HOUR // MINUTE)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


CHECKS: Final = (
    AlertCheck(
        fact="accounts",
        check=of_accounts,
        kinds=frozenset(
            {AlertKind.DEAD_LETTERS, AlertKind.CONVERSIONS_HELD, AlertKind.BALANCE_RESIDUE}
        ),
    ),
    AlertCheck(
        fact="rate_limit_windows",
        check=of_rate_limits,
        kinds=frozenset({AlertKind.ACCOUNT_LIMITED}),
    ),
    AlertCheck(fact="forecasts", check=of_forecasts, kinds=frozenset({AlertKind.DEADLINE_RISK})),
    AlertCheck(fact="silences", check=of_silences, kinds=frozenset({AlertKind.SOURCE_SILENT})),
    AlertCheck(
        fact="webhook_silences", check=of_webhooks, kinds=frozenset({AlertKind.WEBHOOK_SILENT})
    ),
    AlertCheck(fact="sync_silences", check=of_syncs, kinds=frozenset({AlertKind.SYNC_SILENT})),
    AlertCheck(
        fact="export_silences", check=of_exports, kinds=frozenset({AlertKind.EXPORT_SILENT})
    ),
    AlertCheck(
        fact="rule_failures", check=of_rules, kinds=frozenset({AlertKind.VALUE_RULE_FAILING})
    ),
    AlertCheck(fact="space", check=of_space, kinds=frozenset({AlertKind.DISK_NEARLY_FULL})),
)
