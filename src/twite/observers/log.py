"""The log: one line for what an operator may have to know, to standard error.

A line holds counts, reasons and names from the configuration, and of X's words what `wording`
lets through.
"""

import logging
import sys
from typing import Final

import structlog

from twite.domain.alert import RULES, AlertPhase
from twite.domain.outcome import AttemptOutcome
from twite.domain.times import SECOND
from twite.gateway.alerts.webhook_message import page_of
from twite.gateway.ports.events import (
    Accepted,
    Alerted,
    Attempted,
    ClientSaid,
    Misdated,
    Moved,
    Notice,
    Paused,
    Presented,
    Resumed,
    TagSaid,
    Troubled,
    TurnedAway,
    WebhookTried,
)
from twite.gateway.ports.messages import plain

# Milliseconds between X's clock and the machine's.
_TOLERABLE: Final = 30 * SECOND


def logger(*, level: str, as_json: bool) -> structlog.typing.FilteringBoundLogger:
    """Return a logger of our own: no global configuration is touched."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    made: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
    )
    return made


class Log:
    """Writes notices down."""

    def __init__(self, to: structlog.typing.FilteringBoundLogger) -> None:
        self._to = to

    def see(self, notice: Notice) -> None:
        """Write a line, at the level that the notice deserves."""
        match notice:
            case Accepted(rejected=rejected) as one if rejected:
                self._to.info(
                    "conversions rejected",
                    source=one.source,
                    door=one.door,
                    rejected=rejected,
                    codes=dict(one.codes),
                )
            case Accepted():
                pass
            case Attempted(outcome=AttemptOutcome.DELIVERED) as one:
                self._to.debug(
                    "delivered", pixel=one.pixel, conversions=one.conversions, ms=one.took
                )
            case Attempted() as one:
                self._to.warning(
                    "not delivered",
                    pixel=one.pixel,
                    x_event=one.event,
                    outcome=one.outcome,
                    status=one.status,
                    conversions=one.conversions,
                    ambiguous=one.ambiguous,
                    reason=plain(one.reason),
                )
            case Moved(trigger="buried" | "held" | "lapsed") as one:
                self._to.warning(
                    f"deliveries {one.trigger}",
                    pixel=one.pixel,
                    deliveries=one.deliveries,
                    reason=plain(one.reason),
                )
            case Moved():
                pass
            case Paused() | Resumed():
                self._see_pause(notice)
            case Troubled(where=where, reason=reason):
                self._to.error("trouble", where=where, reason=plain(reason))
            case _:
                self._see_alarm(notice)

    def _see_pause(self, notice: Paused | Resumed) -> None:
        what = "event" if notice.event else "pixel"
        where = {"pixel": notice.pixel} | ({"event": notice.event} if notice.event else {})
        if isinstance(notice, Paused):
            self._to.error(f"{what} paused", **where, reason=plain(notice.reason))
        else:
            self._to.info(f"{what} resumed", **where)

    def _see_alarm(self, notice: Notice) -> None:
        match notice:
            case Presented(turned=True, taken=True) as one:
                self._to.info("X takes a credential", pixel=one.pixel, credential=one.credential)
            case Presented(taken=True) as one:
                self._to.debug("answered to", pixel=one.pixel, credential=one.credential)
            case Presented() as one:
                self._to.warning(
                    "X refuses a credential; the other is tried",
                    pixel=one.pixel,
                    credential=one.credential,
                )
            case TurnedAway() as one:
                self._to.warning("request refused", source=one.source, door=one.door, code=one.code)
            case TagSaid() | ClientSaid():
                self._see_said(notice)
            case Misdated(offset=offset) if abs(offset) > _TOLERABLE:
                self._to.error("the clock is wrong", seconds_behind_x=round(offset / 1_000))
            case Misdated():
                self._to.info("the clock is right, by X's")
            case Alerted() as one:
                self._see_alerted(one)
            case WebhookTried(refused=str() as reason) as one:
                self._to.warning("webhook failed", alert=one.kind, reason=plain(reason))
            case _:
                pass

    def _see_alerted(self, one: Alerted) -> None:
        alert = one.alert
        say = self._to.error if RULES[alert.kind].urgent else self._to.warning
        if one.phase is AlertPhase.RESOLVED:
            say = self._to.info
        say(
            f"alert {one.phase.replace('_', ' ')}",
            alert=alert.kind,
            subject=alert.subject,
            reason=alert.reason,
            help=page_of(alert.kind),
        )

    def _see_said(self, one: TagSaid | ClientSaid) -> None:
        said = "a sandbox says" if one.own else "a template says"
        if isinstance(one, TagSaid):
            self._to.info(said, tag=one.tag, text=one.text)
        else:
            self._to.info(said, client=one.client, text=one.text)
