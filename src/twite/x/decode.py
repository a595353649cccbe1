"""Convert X's response to a batch to one outcome.

Response                                               Outcome
200, conversions_processed = conversions sent          Delivered
200 with another number, or without one, or with       Errored, ambiguous: X may have counted some
errors, or not JSON
400 with X's errors                                    Rejected, CONVERSION: X has accepted none
400 about the event id, which a request has only once  Rejected, EVENT
400 "Conversion count limit is 500"                    Rejected, COUNT
413                                                    Rejected, SIZE
404, every NOT_FOUND about event_id                    Rejected, EVENT
401; 404 otherwise, 403, 3xx, other 4xx with X's       Rejected, PIXEL: settings, not conversions
errors
400 and these without X's errors (an HTML page)        Rejected, UNCLEAR: perhaps a firewall
408, 423                                               Errored, ambiguous (undocumented); waits for
                                                       Retry-After
429                                                    Errored, not processed; waits for the reset
5xx, a truncated response                              Errored, ambiguous: a proxy may have given
                                                       up after X had done the work

According to X's documentation, a request fails as a whole or not at all [doc WEB]. Error responses
without JSON occur; the status then decides [doc FUND].
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC
from email.utils import formatdate, parsedate_to_datetime
from typing import Final

import msgspec

from twite.domain.destination import LONGEST_X_WAIT
from twite.domain.outcome import Delivered, Errored, Outcome, Rejected, RejectionScope, XComplaint
from twite.domain.times import HOUR, MINUTE, SECOND
from twite.x import spec

# How long to wait after a 429 without a reset time. [guess] X's window is fifteen minutes.
DEFAULT_WAIT: Final = MINUTE
# The headers with X's reset of a limit, by priority.
_RESETS: Final = (spec.ACCOUNT_RATE_RESET, spec.USER_RATE_RESET)
_RETRY_AFTER: Final = "retry-after"
_LONGEST_WORDS: Final = 512
_ECHOES: Final = (
    re.compile(r"^\w+ \((.*)\) is not a valid SHA-256 hash$", re.DOTALL),
    re.compile(r'^Expected [^,]*, got "(.*)" for \w+$', re.DOTALL),
)


class RetriedStatus(msgspec.Struct, frozen=True, kw_only=True):
    """An error after which Twite sends the conversions again.

    `ambiguous`: X may have processed the request. `limited`: the rate limit is used up.
    """

    ambiguous: bool
    limited: bool = False


# These say nothing about the conversions. All other statuses below 500 are rejections.
RETRIED: Final = {
    408: RetriedStatus(ambiguous=True),
    423: RetriedStatus(ambiguous=True),
    429: RetriedStatus(ambiguous=False, limited=True),
}
_SERVER_ERROR: Final = RetriedStatus(ambiguous=True)


class ErrorEntry(msgspec.Struct, frozen=True):
    code: str | int | None = ""
    message: str | None = ""
    parameter: str | None = None


class _Counted(msgspec.Struct, frozen=True):
    conversions_processed: int | None = None
    debug_id: object = None  # only shown: no type of it may make the response unreadable


class _Body(msgspec.Struct, frozen=True):
    data: _Counted | None = None
    errors: list[ErrorEntry] | None = None


_DECODER: Final = msgspec.json.Decoder(_Body)


def decode(
    *, status: int, headers: Mapping[str, str], body: bytes, whole: bool, sent: int, now: int
) -> Outcome:
    """Classify the response to a request of `sent` conversions.

    `headers` have lower-case names; `whole` says whether the response is complete; `now` is in
    milliseconds.
    """
    if not whole:
        return Errored(
            reason=f"the response ({status}) was truncated", ambiguous=True, status=status
        )
    read = _read(body)
    if 200 <= status < 300:
        return _success(status, read, sent)
    complaints = complaints_of(None if read is None else read.errors)
    words = _words(status, complaints)
    retried = _retried(status)
    if retried is not None:
        wait = _reset if retried.limited else _retry_after
        return Errored(
            reason="; ".join([words, *_ignored(status, headers, now)])[:_LONGEST_WORDS],
            ambiguous=retried.ambiguous,
            status=status,
            limited=retried.limited,
            retry_at=wait(headers, now),
        )
    return Rejected(
        scope=_scope(status, complaints), reason=words, status=status, complaints=complaints
    )


def is_ambiguous(status: int) -> bool:
    """Whether X may have processed the request although it responded with this error."""
    retried = _retried(status)
    return retried is not None and retried.ambiguous


def _retried(status: int) -> RetriedStatus | None:
    return RETRIED.get(status, _SERVER_ERROR if status >= 500 else None)


def limit_of(headers: Mapping[str, str]) -> tuple[int, int] | None:
    """Return (conversions remaining, reset in ms) from X's headers.

    The account's limit has priority.
    """
    for remaining, reset in (
        (spec.ACCOUNT_RATE_REMAINING, spec.ACCOUNT_RATE_RESET),
        (spec.USER_RATE_REMAINING, spec.USER_RATE_RESET),
    ):
        left, at = _whole(headers.get(remaining)), _whole(headers.get(reset))
        if left is not None and at is not None:
            return left, at * SECOND
    return None


def asked_again_at(status: int, headers: Mapping[str, str], now: int) -> int:
    """Return when X may be asked again after a 429 or a 5xx (ms); `now` is X's time.

    A 429 names the reset of its window; a 503 may have a Retry-After. Others wait DEFAULT_WAIT.
    """
    if status == 429:
        return _reset(headers, now)
    after = _retry_after(headers, now)
    return now + DEFAULT_WAIT if after is None else after


def ignored_waits(status: int, headers: Mapping[str, str], now: int) -> str:
    """Say which headers are ignored, because they ask to wait longer than LONGEST_X_WAIT."""
    return "; ".join(_ignored(status, headers, now))


def names_time(status: int, headers: Mapping[str, str], now: int) -> bool:
    """Whether X names a time before which it is not to be asked again; `now` is X's time."""
    if status == 429 and any(_reset_in(headers, name, now) is not None for name in _RESETS):
        return True
    return _retry_after(headers, now) is not None


def names_window(headers: Mapping[str, str]) -> bool:
    """Whether a response names the reset of the account's or the user's rate limit."""
    return any(name in headers for name in _RESETS)


def _success(status: int, body: _Body | None, sent: int) -> Outcome:
    if body is None or body.data is None or body.data.conversions_processed is None:
        words = f"{status} without a count of conversions processed"
    elif body.data.conversions_processed != sent:
        words = f"X processed {body.data.conversions_processed} of {sent}"
    elif body.errors:
        words = f"{_words(status, complaints_of(body.errors))} alongside a success"
    else:
        return Delivered(debug_id=str(body.data.debug_id or "")[:_LONGEST_WORDS])
    return Errored(reason=words, ambiguous=True, status=status)


def _scope(status: int, complaints: tuple[XComplaint, ...]) -> RejectionScope:
    if any(complaint.message == spec.TOO_MANY_CONVERSIONS for complaint in complaints):
        return RejectionScope.COUNT
    if status == 413:
        return RejectionScope.SIZE
    return _scope_of(status, complaints)


def _scope_of(status: int, complaints: tuple[XComplaint, ...]) -> RejectionScope:
    if status == 404 and complaints:
        # X reports an unknown event as NOT_FOUND together with INVALID_PARAMETER, both on event_id.
        about = {
            complaint.parameter for complaint in complaints if complaint.code == spec.NOT_FOUND
        }
        return RejectionScope.EVENT if about == {"event_id"} else RejectionScope.PIXEL
    if status == 400 and complaints:
        if any(_is_about_the_event(complaint) for complaint in complaints):
            # All conversions of a request have the same event, so none of them is at fault by
            # itself.
            return RejectionScope.EVENT
        return RejectionScope.CONVERSION
    if status == 401 or complaints:
        return RejectionScope.PIXEL
    # An HTML page, or no body: the response may not be from X, so do not blame the credentials.
    return RejectionScope.UNCLEAR


def _is_about_the_event(complaint: XComplaint) -> bool:
    return complaint.parameter == "event_id" or complaint.message == spec.EVENT_MISSING


def _read(body: bytes) -> _Body | None:
    try:
        return _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def complaints_of(errors: Sequence[ErrorEntry] | None) -> tuple[XComplaint, ...]:
    """Return X's errors, shortened, because X's text is untrusted."""
    return tuple(
        XComplaint(
            code=str("" if error.code is None else error.code)[:64],
            message=(error.message or "")[:_LONGEST_WORDS],
            parameter=(error.parameter or "")[:64],
            echoed=_echoed((error.message or "")[:_LONGEST_WORDS]),
        )
        for error in (errors or ())[:1_000]
    )


def _echoed(message: str) -> str | None:
    """Return the submitted value that X repeats in an error, if it does [doc WEB]."""
    found = (echo.match(message) for echo in _ECHOES)
    return next((match.group(1) for match in found if match is not None), None)


def _words(status: int, complaints: tuple[XComplaint, ...]) -> str:
    text = "; ".join(
        dict.fromkeys(f"{complaint.code}: {complaint.message}" for complaint in complaints[:5])
    )
    return f"{status} {text}".strip()[:_LONGEST_WORDS]


def _reset(headers: Mapping[str, str], now: int) -> int:
    for name in _RESETS:
        reset = _reset_in(headers, name, now)
        if reset is not None:
            return reset
    after = _retry_after(headers, now)
    return now + DEFAULT_WAIT if after is None else after


def _reset_in(headers: Mapping[str, str], name: str, now: int) -> int | None:
    seconds = _whole(headers.get(name))
    if seconds is None or not now < seconds * SECOND <= now + LONGEST_X_WAIT:
        return None
    return seconds * SECOND


def _retry_after(headers: Mapping[str, str], now: int) -> int | None:
    at = _retry_time(headers, now)
    return at if at is not None and now <= at <= now + LONGEST_X_WAIT else None


def _retry_time(headers: Mapping[str, str], now: int) -> int | None:
    """Return the time of Retry-After (ms): a number of seconds, or a date (RFC 9110, 10.2.3)."""
    text = headers.get(_RETRY_AFTER, "")
    seconds = _whole(text)
    if seconds is not None:
        return now + seconds * SECOND
    try:
        date = parsedate_to_datetime(text)
        return int(date.replace(tzinfo=date.tzinfo or UTC).timestamp()) * SECOND
    except (ValueError, TypeError, OverflowError):
        return None


def _ignored(status: int, headers: Mapping[str, str], now: int) -> list[str]:
    resets = [(name, _whole(headers.get(name))) for name in _RESETS if status == 429]
    times = [(name, None if reset is None else reset * SECOND) for name, reset in resets]
    return [
        f"{name} is more than {LONGEST_X_WAIT // HOUR} hours ahead, so it is ignored: "
        f"{_shown(headers[name], at)}"
        for name, at in [*times, (_RETRY_AFTER, _retry_time(headers, now))]
        if at is not None and at > now + LONGEST_X_WAIT
    ]


def _shown(text: str, at: int) -> str:
    # A date may have anything behind it.
    return text if _whole(text) is not None else formatdate(at / SECOND, usegmt=True)


def _whole(text: str | None) -> int | None:
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 12:
        return None
    return int(text)
