"""The log: a line on standard error for each event that operators may need.

A line contains counts, reasons and names from the configuration, and masked text from X.
"""

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from twite.domain.alert import RULES, AlertPhase
from twite.domain.delivery import Trigger
from twite.domain.outcome import AttemptOutcome
from twite.domain.pause import Pause
from twite.domain.times import SECOND
from twite.domain.webhook_delivery import DeliveryVerdict
from twite.formats.webhook_kind import REASONS, IgnoredReason
from twite.gateway.alerts.notifier import page_of
from twite.gateway.ports.events import (
    Accepted,
    Alerted,
    Attempted,
    ClientSaid,
    GatewayEvent,
    Misdated,
    Moved,
    Paused,
    Presented,
    ProblemSeen,
    Reloaded,
    ReloadResult,
    Resumed,
    TagSaid,
    TurnedAway,
    WebhookAnswered,
    WebhookTried,
)
from twite.observers.line_output import LineOutput
from twite.redaction.mask_text import without_echoes

# milliseconds between X's clock and the machine's
_TOLERABLE: Final = 30 * SECOND


_DIM, _BOLD, _CYAN, _MAGENTA, _PLAIN = "\033[2m", "\033[1m", "\033[36m", "\033[35m", "\033[0m"
_COLORS: Final = {"error": "\033[31m", "warning": "\033[33m", "info": "\033[32m"}
_WIDTH: Final = 30  # of the event's text, so that the values of all lines are aligned
# A value that contains one of these characters is quoted.
_SEPARATING: Final = frozenset(" \t=\r\n\"'")
# State changes that the log reports, by the trigger's stored name.
_MOVES: Final[dict[str, str]] = {
    Trigger.GIVEN_UP: "deliveries given up",
    Trigger.HELD: "deliveries held",
    Trigger.EXPIRED: "leases expired",
}
# Keys: whether X accepted the credential, and whether the result differs from the last one.
_PRESENTED: Final = {
    (True, True): ("info", "X accepted a credential"),
    (True, False): ("debug", "X accepted a credential again"),
    (False, False): ("warning", "X refused a credential; trying the other"),
}
# Key: whether the message is Twite's own.
_SAID: Final = {False: "template message", True: "sandbox message"}
# Ignored messages that someone must deal with.
_TO_FIX: Final = frozenset({IgnoredReason.NO_DATA, IgnoredReason.PRIVACY_REQUEST})
_TAKEN: Final = frozenset({ReloadResult.RELOADED, ReloadResult.UNCHANGED})
_RELOADED: Final = {
    ReloadResult.RELOADED: "settings reloaded",
    ReloadResult.UNCHANGED: "settings unchanged",
    ReloadResult.NEEDS_RESTART: "settings need a restart",
    ReloadResult.FAILED: "settings not reloaded",
}
_LEVELS: Final = ("debug", "info", "warning", "error")


class LineLogger:
    """Writes lines as JSON or as text, to what was standard error when it was created."""

    def __init__(
        self, *, level: str, as_json: bool, lost: Callable[[], object] = lambda: None
    ) -> None:
        """`level` is the lowest level that is written; `lost` is called for each lost line."""
        self._levels = frozenset(_LEVELS[_LEVELS.index(level) :])
        self._as_json = as_json
        self._to = LineOutput(sys.stderr)
        self._colored = not as_json and self._to.is_terminal
        self._lost = lost
        self._lost_lines = 0  # since the last line that was written

    def write(self, level: str, event: str, **values: object) -> None:
        if level not in self._levels:
            return
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        if self._as_json:
            line = json.dumps(
                values | {"event": event, "level": level, "timestamp": now}, default=repr
            )
        elif self._colored:
            said = [f"{_CYAN}{name}{_PLAIN}={_MAGENTA}{_shown(value)}{_PLAIN}"
                    for name, value in sorted(values.items())]  # fmt: skip
            line = " ".join(
                [f"{_DIM}{now}{_PLAIN} [{_COLORS.get(level, '')}{level:<9}{_PLAIN}]",
                 f"{_BOLD}{event:<{_WIDTH}}{_PLAIN}", *said]
            )  # fmt: skip
        else:
            said = [f"{name}={_shown(value)}" for name, value in sorted(values.items())]
            line = " ".join([f"{now} [{level:<9}] {event:<{_WIDTH}}", *said])
        if not self._to.write(line):
            self._lost_lines += 1
            self._lost()
        elif self._lost_lines:
            lost, self._lost_lines = self._lost_lines, 0
            self.write("warning", "log lines lost", lines=lost)


def _shown(value: object) -> str:
    if isinstance(value, str) and _SEPARATING.isdisjoint(value):
        return value
    return repr(value)


class Log:
    """Writes events to the log."""

    def __init__(self, logger: LineLogger) -> None:
        self._say = logger.write

    def see(self, event: GatewayEvent) -> None:
        """Write a line, at the event's level."""
        match event:
            case Accepted(rejected=rejected) if rejected:
                self._say(
                    "info",
                    "conversions rejected",
                    source=event.source,
                    endpoint=event.endpoint,
                    rejected=rejected,
                    codes=dict(event.codes),
                )
            case Accepted():
                pass
            case Attempted(outcome=AttemptOutcome.DELIVERED):
                self._say(
                    "debug",
                    "delivered",
                    pixel=event.pixel,
                    conversions=event.conversions,
                    ms=event.took,
                )
            case Attempted():
                self._say(
                    "warning",
                    "not delivered",
                    pixel=event.pixel,
                    x_event=event.event,
                    outcome=event.outcome,
                    status=event.status,
                    conversions=event.conversions,
                    ambiguous=event.ambiguous,
                    reason=without_echoes(event.reason),
                )
            case Moved(trigger=trigger) if trigger in _MOVES:
                self._say(
                    "warning",
                    _MOVES[trigger],
                    pixel=event.pixel,
                    deliveries=event.deliveries,
                    reason=without_echoes(event.reason),
                )
            case Moved():
                pass
            case Paused() | Resumed():
                self._see_pause(event)
            case ProblemSeen(where=where, reason=reason):
                self._say("error", "problem", where=where, reason=without_echoes(reason))
            case _:
                self._see_alarm(event)

    def _see_pause(self, notice: Paused | Resumed) -> None:
        of = notice.pause if isinstance(notice, Paused) else notice
        what = "event" if of.event else "pixel"
        where = {"pixel": of.pixel} | ({"x_event": of.event} if of.event else {})
        if isinstance(of, Pause):
            reason = without_echoes(of.reason)
            self._say("error", f"{what} paused", **where, cause=of.cause, reason=reason)
        else:
            self._say("info", f"{what} resumed", **where)

    def _see_alarm(self, event: GatewayEvent) -> None:
        match event:
            case Presented(taken=taken, turned=turned):
                level, what = _PRESENTED[taken, taken and turned]
                self._say(level, what, pixel=event.pixel, credential=event.credential)
            case TurnedAway():
                self._say(
                    "warning",
                    "request refused",
                    source=event.source,
                    endpoint=event.endpoint,
                    code=event.code,
                )
            case TagSaid(own=own, text=text):
                self._say("info", _SAID[own], tag=event.tag, text=text)
            case ClientSaid(own=own, text=text):
                self._say("info", _SAID[own], client=event.client, text=text)
            case Misdated(offset=offset) if abs(offset) > _TOLERABLE:
                self._say(
                    "error", "the system clock is wrong", seconds_behind_x=round(offset / 1_000)
                )
            case Misdated():
                self._say("info", "the system clock agrees with X")
            case Alerted():
                self._see_alerted(event)
            case WebhookTried() | WebhookAnswered():
                self._see_webhook(event)
            case Reloaded():
                self._see_reloaded(event)
            case _:
                pass

    def _see_webhook(self, event: WebhookTried | WebhookAnswered) -> None:
        match event:
            case WebhookTried(refused=str() as reason):
                self._say(
                    "warning", "webhook failed", alert=event.kind, reason=without_echoes(reason)
                )
            case WebhookAnswered(delivery=delivery) if (
                delivery.verdict is DeliveryVerdict.REFUSED and delivery.times == 1
            ):
                self._say(
                    "warning", "webhook refused", webhook=delivery.webhook, code=delivery.reason
                )
            case WebhookAnswered(delivery=delivery) if delivery.reason in _TO_FIX:
                self._say(
                    "warning",
                    "webhook message ignored",
                    webhook=delivery.webhook,
                    message=delivery.message,
                    reason=REASONS[IgnoredReason(delivery.reason)],
                )

    def _see_reloaded(self, reloaded: Reloaded) -> None:
        level = "info" if reloaded.result in _TAKEN else "error"
        restart = {"restart": ", ".join(reloaded.restart)} if reloaded.restart else {}
        problems = {"reason": "; ".join(reloaded.problems)} if reloaded.problems else {}
        self._say(level, _RELOADED[reloaded.result], **reloaded.tables, **restart, **problems)

    def _see_alerted(self, alerted: Alerted) -> None:
        alert = alerted.alert
        level = "error" if RULES[alert.kind].urgent else "warning"
        self._say(
            "info" if alerted.phase is AlertPhase.RESOLVED else level,
            f"alert {alerted.phase.replace('_', ' ')}",
            alert=alert.kind,
            subject=alert.subject,
            reason=alert.reason,
            fix=RULES[alert.kind].fix,
            help=page_of(alert.kind),
        )
