"""Why conversions were not sent, and what to do."""

import msgspec

from twite.app.reports.conversion_report import why_waiting
from twite.app.reports.find_conversions import MOST, Findings, find, find_not_sent
from twite.app.reports.text import shown, shown_id
from twite.config.settings import Settings
from twite.console.remedies import remedy_of, remedy_of_code
from twite.domain.delivery import State
from twite.domain.fault import MaskedFault
from twite.domain.history import History
from twite.domain.submission import Rejection


class WhyNotSent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a conversion, or a copy for a tag, was not sent. `fix` says what to do.

    `state` is `rejected` if the conversion was refused at intake, and `not_fired` for a tag that
    did not fire; `code` is the cause or the error code, and `reason` the details.
    """

    pixel: str
    event: str
    conversion_id: str
    state: str
    reason: str
    code: str = ""
    what: str = ""
    fix: str = ""


class NotSentReport(msgspec.Struct, frozen=True, kw_only=True):
    """The number of `sent` copies of a conversion, and why others were not sent."""

    sent: int
    not_sent: tuple[WhyNotSent, ...]
    more: bool = False


async def why_not_sent(
    settings: Settings, name: str | None, pixel: str | None = None, *, limit: int = MOST
) -> NotSentReport:
    """Return why the conversions that `find` finds, or the latest, were not sent.

    Raises as `find`.
    """
    return not_sent_report(await find_any(settings, name, pixel, limit=limit))


async def find_any(
    settings: Settings, name: str | None, pixel: str | None, *, limit: int = MOST
) -> Findings:
    """Find conversions by a name, or without one the latest that were not sent."""
    if name is None:
        return await find_not_sent(settings, pixel, limit=limit)
    return await find(settings, name, pixel, limit=limit)


def not_sent_report(findings: Findings) -> NotSentReport:
    unsent = [history for history in findings.histories if history.state is not State.DELIVERED]
    return NotSentReport(
        sent=len(findings.histories) - len(unsent),
        not_sent=(
            *(_why(history, findings) for history in unsent),
            *(
                WhyNotSent(
                    pixel=tag.tag,
                    event=shown_id(history.event),
                    conversion_id=shown_id(history.conversion_id),
                    state="not_fired",
                    reason=shown(tag.why),
                )
                for history in findings.histories
                for tag in history.not_fired
            ),
            *(
                _why_rejected(rejection, fault)
                for rejection in findings.rejections
                for fault in rejection.faults
            ),
        ),
        more=findings.more,
    )


def _why(history: History, findings: Findings) -> WhyNotSent:
    code = what = fix = ""
    if history.state in {State.DEAD, State.HELD}:
        remedy = remedy_of(history.cause, history.state, history)
        what, fix = shown(remedy.what), shown(remedy.fix)
    if history.cause is not None:
        code = history.cause.value
    waits = why_waiting(history, now=findings.now, stalled=findings.stalled.get(history.pixel))
    return WhyNotSent(
        pixel=history.pixel,
        event=shown_id(history.event),
        conversion_id=shown_id(history.conversion_id),
        state=history.state.value,
        reason=shown(history.reason or waits or "it is next in the queue"),
        code=code,
        what=what,
        fix=fix,
    )


def _why_rejected(rejection: Rejection, fault: MaskedFault) -> WhyNotSent:
    remedy = remedy_of_code(fault.code)
    return WhyNotSent(
        pixel=rejection.pixel,
        event=shown(rejection.event),
        conversion_id=shown_id(rejection.conversion_id),
        state="rejected",
        reason=shown(f"{fault.path}: {fault.message}" if fault.path else fault.message),
        code=fault.code,
        what=remedy.what,
        fix=remedy.fix,
    )
