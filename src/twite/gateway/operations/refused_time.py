"""X's errors of a conversion, and whether X refused its time, which no replay can change."""

from typing import Final

import msgspec

from twite.domain.cause import DeliveryCause
from twite.domain.history import History
from twite.domain.times import spelled

REFUSED_TIME: Final = (
    "X refuses the time, which a replay keeps. Send the conversion again from its source "
    "with the right time and the same conversion id, which replaces this one, or discard it"
)


class AnsweredError(msgspec.Struct, frozen=True):
    """One of X's errors, as stored with an attempt. `parameter` is the field that X names."""

    code: str | int | None = ""
    message: str | None = ""
    parameter: str | None = None


class _XAnswer(msgspec.Struct, frozen=True):
    errors: list[AnsweredError] | None = None


class _Timed(msgspec.Struct, frozen=True):
    conversion_time: str = ""


_TIMED: Final = msgspec.json.Decoder(_Timed)
_ANSWER: Final = msgspec.json.Decoder(_XAnswer)


def errors_of(history: History) -> list[AnsweredError]:
    """Return X's errors of the last attempt; empty if its response is not X's JSON."""
    last = history.attempts[-1].answer if history.attempts else ""
    try:
        return _ANSWER.decode(last).errors or []
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return []


def refused_field(history: History) -> str | None:
    """Return the field that X's refusal names, "" if it names none; None without a refusal."""
    if history.cause not in {None, DeliveryCause.REFUSED}:
        return None
    errors = errors_of(history)
    return (errors[0].parameter or "") if errors else None


def no_replay(history: History) -> str | None:
    """Return why X would refuse this conversion again, whatever the edit; None if it may not."""
    if refused_field(history) != "conversion_time" or _is_ahead(history):
        return None
    return REFUSED_TIME


def _is_ahead(history: History) -> bool:
    """Return whether the time was later than the receipt, so that X may accept it later."""
    try:
        time = _TIMED.decode(history.sent).conversion_time
    except (msgspec.DecodeError, UnicodeError):
        return False
    return time > spelled(history.received_at)
