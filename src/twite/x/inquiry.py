"""Requests to X other than conversions, X's refusals, and checks of access.

A Question is unsigned, an Inquiry is the signed request. An error response becomes an
InquiryRefusal, which is a value, because a user must resolve most refusals.

What must be corrected after an error of the Ads API:

    401                      the credentials, or this machine's clock
    403                      the app, or the account
    404                      the account, the event or the ad: it does not exist, or is not this
                             user's
    other 4xx                the parameters
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Final, TypeVar
from urllib.parse import quote

import msgspec

from twite.domain.destination import OAuthKeys, PixelToken
from twite.domain.outcome import XComplaint
from twite.x import spec
from twite.x.decode import ErrorEntry, complaints_of
from twite.x.encode import conversions_url
from twite.x.oauth1 import sign

_LONGEST_WORDS: Final = 512
_T = TypeVar("_T")
_NOTHING: Final = b'{"conversions":[]}'


class RefusalReason(StrEnum):
    APP_UNKNOWN = "app_unknown"  # the consumer key or secret is wrong, or the clock
    CALLBACK_REFUSED = "callback_refused"  # the URL is not one of the app
    DENIED = "denied"  # the user denied access
    STRANGER = "stranger"  # the callback belongs to another sign-in
    VERIFIER_REFUSED = "verifier_refused"  # the PIN is wrong, used, or expired
    TOKEN_REFUSED = "token_refused"  # noqa: S105  a name; revoked, or never X's
    APP_UNAPPROVED = "app_unapproved"  # the app may not use the Ads API
    NO_ROLE = "no_role"  # the user has no access to the account, or there is no such account
    WRONG_ROLE = "wrong_role"  # the user's roles are not sufficient
    PIXEL_TOKEN_REFUSED = "pixel_token_refused"  # noqa: S105  a name
    NO_EVENT = "no_event"  # the account has no such event
    NOT_LIKE_THAT = "not_like_that"  # a parameter is wrong
    UNREADABLE = "unreadable"  # X does not document this response


class InquiryRefusal(msgspec.Struct, frozen=True, kw_only=True):
    """A refusal by X.

    `status` is 0 if no request was sent; `said` is X's message, which may echo the request.
    """

    reason: RefusalReason
    status: int = 0
    said: str = ""


class Question(msgspec.Struct, frozen=True, kw_only=True):
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
    return (
        InquiryRefusal(reason=RefusalReason.UNREADABLE, status=status) if found is None else found
    )


def refusal(status: int, body: bytes) -> InquiryRefusal:
    codes = {complaint.code for complaint in complaints(body)}
    if status == 401:
        why = RefusalReason.TOKEN_REFUSED
    elif spec.UNAUTHORIZED_CLIENT_APPLICATION in codes:
        why = RefusalReason.APP_UNAPPROVED
    elif spec.WEB_EVENT_TAG_NOT_FOUND in codes:
        why = RefusalReason.NO_EVENT
    elif codes & spec.ADS_NOT_FOUND:
        why = RefusalReason.NOT_LIKE_THAT
    elif status in {403, 404}:
        # Two of X's pages list a missing account under 403. [conflict, FUND and GH]
        why = RefusalReason.NO_ROLE
    elif 400 <= status < 500:
        why = RefusalReason.NOT_LIKE_THAT
    else:
        why = RefusalReason.UNREADABLE
    return InquiryRefusal(reason=why, status=status, said=words_of(body))


def words_of(body: bytes) -> str:
    texts = (
        ": ".join(filter(None, (complaint.code, complaint.message)))
        for complaint in complaints(body)[:3]
    )
    return "; ".join(dict.fromkeys(texts))[:_LONGEST_WORDS]


def complaints(body: bytes) -> tuple[XComplaint, ...]:
    """Read X's errors; empty if there are none. [doc FUND]"""
    read = decoded(body, _Errors)
    return () if read is None else complaints_of(read.errors)


class _Errors(msgspec.Struct, frozen=True):
    errors: list[ErrorEntry] = []


def decoded(body: bytes, kind: type[_T]) -> _T | None:
    """Decode a response of this type; return None for any other body."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


class AdsAccountAccess(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    name: str = ""


def roles_question(version: str, account: str) -> Question:
    path = spec.ACCESS_PATH.format(version=version, account_id=quote(account, safe=""))
    return Question(method="GET", path=path)


def accounts_question(version: str) -> Question:
    """Build the request for a user's accounts. X allows five in fifteen minutes. [doc FUND]"""
    return Question(method="GET", path=spec.ACCOUNTS_PATH.format(version=version))


def read_roles(body: bytes) -> tuple[str, ...] | None:
    read = decoded(body, _Roles)
    return None if read is None else tuple(role[:64] for role in read.data.permissions[:50])


def read_accounts(body: bytes) -> tuple[AdsAccountAccess, ...] | None:
    read = decoded(body, _Listed)
    return None if read is None else tuple(read.data)


def may_manage(roles: tuple[str, ...]) -> bool:
    """Return whether one of a user's roles is sufficient to send conversions. [doc WEB, FUND]"""
    return bool(set(roles) & set(spec.MANAGING_ROLES))


def with_nothing(
    credentials: OAuthKeys | PixelToken,
    *,
    pixel: str,
    api_url: str,
    version: str,
    nonce: str,
    timestamp: int,
) -> Inquiry:
    """Build a request without conversions, to check credentials. `timestamp`: seconds.

    X has no request that checks a pixel token, or an app approved only for conversions. X checks
    credentials before it reads a body, so it refuses this request either because of the
    credentials, the app or the pixel, or because it is empty. If X refuses it as empty, this does
    not prove that X would accept a conversion. [guess]
    """
    url = conversions_url(api_url=api_url, version=version, pixel=pixel)
    headers = {"Content-Type": "application/json"}
    if isinstance(credentials, PixelToken):
        headers[spec.PIXEL_TOKEN_HEADER] = credentials.token.reveal()
    else:
        headers["Authorization"] = sign(
            method="POST", url=url, keys=credentials, nonce=nonce, timestamp=timestamp
        )
    return Inquiry(method="POST", url=url, headers=headers, body=_NOTHING)


def read_nothing(
    credentials: OAuthKeys | PixelToken, *, status: int, body: bytes
) -> InquiryRefusal | bool:
    """Read the response to `with_nothing`: True if X refused it only because it is empty."""
    if status in {200, 400}:
        return True
    found = refusal(status, body)
    if isinstance(credentials, PixelToken) and found.reason in {
        RefusalReason.TOKEN_REFUSED,
        RefusalReason.NO_ROLE,
    }:
        return msgspec.structs.replace(found, reason=RefusalReason.PIXEL_TOKEN_REFUSED)
    return found


class _Rights(msgspec.Struct, frozen=True):
    permissions: list[str]


class _Roles(msgspec.Struct, frozen=True):
    data: _Rights


class _Listed(msgspec.Struct, frozen=True):
    data: list[AdsAccountAccess]
