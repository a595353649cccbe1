"""Check access at X: a user's role, an app's approval, a pixel token.

A role is read from `accounts/:account_id/authenticated_user_access` [doc CM]. X offers no check of
a pixel token, nor, as far as documented, of an app approved for conversions alone. Such credentials
are checked by a request without conversions: X judges credentials before it reads a body, so it
refuses the request either for the credentials, the app or the pixel, or for being empty. Being
refused as empty is no proof that a conversion would be accepted. [guess]
"""

from typing import Final
from urllib.parse import quote

import msgspec

from twite.domain.destination import OAuthKeys, PixelToken
from twite.x import spec
from twite.x.encode import conversions_url
from twite.x.inquiry import Inquiry, InquiryRefusal, Question, RefusalReason, refusal
from twite.x.oauth1 import sign

_NOTHING: Final = b'{"conversions":[]}'


class AdsAccountAccess(msgspec.Struct, frozen=True, kw_only=True):
    """An ads account."""

    id: str
    name: str = ""


def roles_question(version: str, account: str) -> Question:
    """Build the request for a user's roles on an account."""
    path = spec.ACCESS_PATH.format(version=version, account_id=quote(account, safe=""))
    return Question(method="GET", path=path)


def accounts_question(version: str) -> Question:
    """Build the request for a user's accounts. X allows five in fifteen minutes. [doc FUND]"""
    return Question(method="GET", path=spec.ACCOUNTS_PATH.format(version=version))


def read_roles(body: bytes) -> tuple[str, ...] | None:
    """Read a user's roles, in X's words; None if the response has none."""
    try:
        return tuple(permission[:64] for permission in _ROLES.decode(body).data.permissions[:50])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def read_accounts(body: bytes) -> tuple[AdsAccountAccess, ...] | None:
    """Read accounts; None if the response is not a list of them."""
    try:
        return tuple(_LISTED.decode(body).data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def may_manage(roles: tuple[str, ...]) -> bool:
    """Return whether one of a user's roles suffices to send conversions. [doc WEB, FUND]"""
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
    """Build a request without conversions. `timestamp`: seconds."""
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
    """Read its response: True if X objected only to the emptiness."""
    if status in {200, 400}:
        return True
    found = refusal(status, body)
    if isinstance(credentials, PixelToken) and found.why in {
        RefusalReason.TOKEN_REFUSED,
        RefusalReason.NO_ROLE,
    }:
        return msgspec.structs.replace(found, why=RefusalReason.PIXEL_TOKEN_REFUSED)
    return found


class _Rights(msgspec.Struct, frozen=True):
    permissions: list[str]


class _Roles(msgspec.Struct, frozen=True):
    data: _Rights


class _Listed(msgspec.Struct, frozen=True):
    data: list[AdsAccountAccess]


_ROLES: Final = msgspec.json.Decoder(_Roles)
_LISTED: Final = msgspec.json.Decoder(_Listed)
