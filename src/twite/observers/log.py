"""The log: a line on standard error for each event that operators may need.

A line contains counts, reasons and names from the configuration, and masked text from X.
"""

import json
import sys
from datetime import UTC, datetime
from typing import Final

from twite.domain.alert import RULES, AlertPhase
from twite.domain.delivery import AttemptOutcome, Trigger
from twite.domain.times import SECOND
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
    Resumed,
    TagSaid,
    Troubled,
    TurnedAway,
    WebhookTried,
)
from twite.redaction.mask_text import without_echoes

# milliseconds between X's clock and the machine's
_TOLERABLE: Final = 30 * SECOND


_DIM, _BOLD, _CYAN, _MAGENTA, _PLAIN = "\033[2m", "\033[1m", "\033[36m", "\033[35m", "\033[0m"
_COLORS: Final = {"error": "\033[31m", "warning": "\033[33m", "info": "\033[32m"}
_WIDTH: Final = 30  # of an event: values are one below the other
# A value with one of these is quoted.
_SEPARATING: Final = frozenset(" \t=\r\n\"'")
# State changes that the log reports, by the trigger's stored name.
_MOVES: Final[dict[str, str]] = {
    Trigger.GIVEN_UP: "deliveries given up",
    Trigger.HELD: "deliveries held",
    Trigger.EXPIRED: "leases expired",
}
_LEVELS: Final = ("debug", "info", "warning", "error")


class LineLogger:
    """Writes lines to the standard error of its creation, as JSON or for a person."""

    def __init__(self, *, level: str, as_json: bool) -> None:
        """`level` is the lowest level that is written."""
        self._levels = frozenset(_LEVELS[_LEVELS.index(level) :])
        self._as_json = as_json
        self._to = sys.stderr
        self._colored = not as_json and self._to.isatty()

    def debug(self, event: str, **values: object) -> None:
        self._write("debug", event, values)

    def info(self, event: str, **values: object) -> None:
        self._write("info", event, values)

    def warning(self, event: str, **values: object) -> None:
        self._write("warning", event, values)

    def error(self, event: str, **values: object) -> None:
        self._write("error", event, values)

    def _write(self, level: str, event: str, values: dict[str, object]) -> None:
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
        self._to.write(f"{line}\n")
        self._to.flush()


def _shown(value: object) -> str:
    if isinstance(value, str) and _SEPARATING.isdisjoint(value):
        return value
    return repr(value)


class Log:
    """Writes events to the log."""

    def __init__(self, to: LineLogger) -> None:
        self._to = to

    def see(self, notice: GatewayEvent) -> None:
        """Write a line, at the event's level."""
        match notice:
            case Accepted(rejected=rejected) if rejected:
                self._to.info(
                    "conversions rejected",
                    source=notice.source,
                    door=notice.endpoint,
                    rejected=rejected,
                    codes=dict(notice.codes),
                )
            case Accepted():
                pass
            case Attempted(outcome=AttemptOutcome.DELIVERED):
                self._to.debug(
                    "delivered", pixel=notice.pixel, conversions=notice.conversions, ms=notice.took
                )
            case Attempted():
                self._to.warning(
                    "not delivered",
                    pixel=notice.pixel,
                    x_event=notice.event,
                    outcome=notice.outcome,
                    status=notice.status,
                    conversions=notice.conversions,
                    ambiguous=notice.ambiguous,
                    reason=without_echoes(notice.reason),
                )
            case Moved(trigger=trigger) if trigger in _MOVES:
                self._to.warning(
                    _MOVES[trigger],
                    pixel=notice.pixel,
                    deliveries=notice.deliveries,
                    reason=without_echoes(notice.reason),
                )
            case Moved():
                pass
            case Paused() | Resumed():
                self._see_pause(notice)
            case Troubled(where=where, reason=reason):
                self._to.error("trouble", where=where, reason=without_echoes(reason))
            case _:
                self._see_alarm(notice)

    def _see_pause(self, notice: Paused | Resumed) -> None:
        what = "event" if notice.event else "pixel"
        where = {"pixel": notice.pixel} | ({"x_event": notice.event} if notice.event else {})
        if isinstance(notice, Paused):
            self._to.error(f"{what} paused", **where, reason=without_echoes(notice.reason))
        else:
            self._to.info(f"{what} resumed", **where)

    def _see_alarm(self, notice: GatewayEvent) -> None:
        match notice:
            case Presented(turned=True, taken=True):
                self._to.info(
                    "X accepted a credential", pixel=notice.pixel, credential=notice.credential
                )
            case Presented(taken=True):
                self._to.debug(
                    "X accepted a credential again",
                    pixel=notice.pixel,
                    credential=notice.credential,
                )
            case Presented():
                self._to.warning(
                    "X refused a credential; trying the other",
                    pixel=notice.pixel,
                    credential=notice.credential,
                )
            case TurnedAway():
                self._to.warning(
                    "request refused", source=notice.source, door=notice.endpoint, code=notice.code
                )
            case TagSaid() | ClientSaid():
                self._see_said(notice)
            case Misdated(offset=offset) if abs(offset) > _TOLERABLE:
                self._to.error("the system clock is wrong", seconds_behind_x=round(offset / 1_000))
            case Misdated():
                self._to.info("the system clock agrees with X")
            case Alerted():
                self._see_alerted(notice)
            case WebhookTried(refused=str() as reason):
                self._to.warning("webhook failed", alert=notice.kind, reason=without_echoes(reason))
            case _:
                pass

    def _see_alerted(self, notice: Alerted) -> None:
        alert = notice.alert
        say = self._to.error if RULES[alert.kind].urgent else self._to.warning
        if notice.phase is AlertPhase.RESOLVED:
            say = self._to.info
        say(
            f"alert {notice.phase.replace('_', ' ')}",
            alert=alert.kind,
            subject=alert.subject,
            reason=alert.reason,
            help=page_of(alert.kind),
        )

    def _see_said(self, notice: TagSaid | ClientSaid) -> None:
        message = "sandbox message" if notice.own else "template message"
        if isinstance(notice, TagSaid):
            self._to.info(message, tag=notice.tag, text=notice.text)
        else:
            self._to.info(message, client=notice.client, text=notice.text)
