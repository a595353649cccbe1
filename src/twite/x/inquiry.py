"""Requests to X other than conversions, and X's refusals.

A Question is unsigned, an Inquiry is the signed request. An error response becomes an
InquiryRefusal: a value, since most refusals are for a person to resolve.

The Ads API, by who must act:

    401                      the credentials, or this machine's clock
    403                      the app, or the account
    404                      the account or the event: another one, or not this user's
    other 4xx                the parameters
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Final, TypeVar

import msgspec

from twite.domain.destination import OAuthKeys
from twite.domain.outcome import XComplaint
from twite.x import spec
from twite.x.oauth1 import sign

_LONGEST_WORDS: Final = 512
_T = TypeVar("_T")


class RefusalReason(StrEnum):
    """Why X, or the person, refused."""

    APP_UNKNOWN = "app_unknown"  # the consumer key or secret is wrong, or the clock
    CALLBACK_REFUSED = "callback_refused"  # it is not among those of the app
    DENIED = "denied"  # the person said no
    STRANGER = "stranger"  # the callback is of another sign-in
    VERIFIER_REFUSED = "verifier_refused"  # the PIN is wrong, used, or too old
    TOKEN_REFUSED = "token_refused"  # noqa: S105  a name; revoked, or never X's
    APP_UNAPPROVED = "app_unapproved"  # the app may not use the Ads API
    NO_ROLE = "no_role"  # the user has no access to the account, or there is no such account
    WRONG_ROLE = "wrong_role"  # the user's roles do not suffice
    PIXEL_TOKEN_REFUSED = "pixel_token_refused"  # noqa: S105  a name
    NO_EVENT = "no_event"  # the account has no such event
    NOT_LIKE_THAT = "not_like_that"  # a parameter is wrong
    UNREADABLE = "unreadable"  # the response is none that X documents


class InquiryRefusal(msgspec.Struct, frozen=True, kw_only=True):
    """`status` is 0 if X was not asked; `said` is X's message, which echoes the request."""

    why: RefusalReason
    status: int = 0
    said: str = ""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """An unsigned Ads API request: a method, and a path with its query."""

    method: str
    path: str


class Inquiry(msgspec.Struct, frozen=True, kw_only=True):
    """A signed request. Its headers hold credentials: its repr is masked."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes = b""

    def __repr__(self) -> str:
        return f"Inquiry({self.method} {self.url.partition('?')[0]})"


def signed(
    question: Question, keys: OAuthKeys, *, api_url: str, nonce: str, timestamp: int
) -> Inquiry:
    """Sign as a user. `timestamp`: seconds."""
    url = f"{api_url}{question.path}"
    signature = sign(method=question.method, url=url, keys=keys, nonce=nonce, timestamp=timestamp)
    return Inquiry(method=question.method, url=url, headers={"Authorization": signature})


def answered(
    read: Callable[[bytes], _T | None], *, status: int, body: bytes
) -> _T | InquiryRefusal:
    """Read a response of the Ads API; `read` returns None for an unexpected body."""
    if not 200 <= status < 300:
        return refusal(status, body)
    found = read(body)
    return InquiryRefusal(why=RefusalReason.UNREADABLE, status=status) if found is None else found


def refusal(status: int, body: bytes) -> InquiryRefusal:
    """Read an error response of the Ads API."""
    codes = {complaint.code for complaint in complaints(body)}
    if status == 401:
        why = RefusalReason.TOKEN_REFUSED
    elif spec.UNAUTHORIZED_CLIENT_APPLICATION in codes:
        why = RefusalReason.APP_UNAPPROVED
    elif spec.WEB_EVENT_TAG_NOT_FOUND in codes:
        why = RefusalReason.NO_EVENT
    elif status in {403, 404}:
        # Two of X's pages list a missing account under 403. [conflict, FUND and GH]
        why = RefusalReason.NO_ROLE
    elif 400 <= status < 500:
        why = RefusalReason.NOT_LIKE_THAT
    else:
        why = RefusalReason.UNREADABLE
    return InquiryRefusal(why=why, status=status, said=words_of(body))


def words_of(body: bytes) -> str:
    """Return the beginning of X's own error message, which is untrusted text."""
    texts = (
        ": ".join(filter(None, (complaint.code, complaint.message)))
        for complaint in complaints(body)[:3]
    )
    return "; ".join(dict.fromkeys(texts))[:_LONGEST_WORDS]


def complaints(body: bytes) -> tuple[XComplaint, ...]:
    """Read X's errors: empty if there are none to read. [doc FUND]"""
    try:
        errors = _ERRORS.decode(body).errors
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()
    return tuple(
        XComplaint(
            code=str(error.code or "")[:64],
            message=(error.message or "")[:_LONGEST_WORDS],
            parameter=(error.parameter or "")[:64],
        )
        for error in errors[:100]
    )


class _Error(msgspec.Struct, frozen=True):
    code: str | int | None = ""
    message: str | None = ""
    parameter: str | None = ""


class _Errors(msgspec.Struct, frozen=True):
    errors: list[_Error] = []


_ERRORS: Final = msgspec.json.Decoder(_Errors)
