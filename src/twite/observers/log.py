"""The log: one line for what an operator may have to know, to standard error.

A line holds counts, reasons and names from the configuration. X's answers echo what callers sent,
in brackets or quotes [doc WEB]: of a reason only its beginning is logged, without what is echoed
and without control characters. The ledger keeps X's words whole.
"""

import logging
import re
import sys
from typing import Final

import structlog

from twite.gateway.notices import Accepted, Attempted, Moved, Notice, Paused, Resumed, Troubled

_LONGEST_REASON: Final = 200
# Echoes, from the first mark to the last: what is echoed may hold marks itself. And whatever looks
# like a hash or an address, wherever it stands.
_ECHOED: Final = re.compile(r"""\(.*\)|".*"|[0-9A-Fa-f]{32,}|\S+@\S+""", re.DOTALL)


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
            case Accepted(source=source, rejected=rejected) if rejected:
                self._to.info("conversions rejected", source=source, rejected=rejected)
            case Accepted():
                pass
            case Attempted(outcome="delivered") as one:
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
                    reason=_plain(one.reason),
                )
            case Moved(trigger="buried" | "held" | "lapsed") as one:
                self._to.warning(
                    f"deliveries {one.trigger}",
                    pixel=one.pixel,
                    deliveries=one.deliveries,
                    reason=_plain(one.reason),
                )
            case Moved():
                pass
            case Paused(pixel=pixel, reason=reason):
                self._to.error("pixel paused", pixel=pixel, reason=_plain(reason))
            case Resumed(pixel=pixel):
                self._to.info("pixel resumed", pixel=pixel)
            case Troubled(where=where, reason=reason):
                self._to.error("trouble", where=where, reason=_plain(reason))


def _plain(text: str) -> str:
    shown = _ECHOED.sub("…", text)[:_LONGEST_REASON]
    return "".join(c if c.isprintable() else "?" for c in shown)
