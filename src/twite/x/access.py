"""What X lets who do: the role of a signed-in user, the approval of an app, a pixel token.

A role is read of `accounts/:account_id/authenticated_user_access` [doc CM]. Of a pixel token X has
nothing to be read, nor, for all that X says, of an app that is approved for conversions alone. Then
a request without a single conversion tells: X judges who asks before it reads a body, so it is
refused either for its credentials, the app or the pixel, or for being empty. That it is no more
than refused is no proof that a conversion would be taken. [guess]
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
    """Ask what the user may do with an account."""
    path = spec.ACCESS_PATH.format(version=version, account_id=quote(account, safe=""))
    return Question(method="GET", path=path)


def accounts_question(version: str) -> Question:
    """Ask for the accounts of the user. X answers this five times in fifteen minutes. [doc FUND]"""
    return Question(method="GET", path=spec.ACCOUNTS_PATH.format(version=version))


def read_roles(body: bytes) -> tuple[str, ...] | None:
    """Read what the user may do, in X's words; None where the answer does not say."""
    try:
        return tuple(permission[:64] for permission in _ROLES.decode(body).data.permissions[:50])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def read_accounts(body: bytes) -> tuple[AdsAccountAccess, ...] | None:
    """Read accounts; None where the answer is no list of them."""
    try:
        return tuple(_LISTED.decode(body).data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def may_manage(roles: tuple[str, ...]) -> bool:
    """Return whether one of a user's roles is enough to send conversions. [doc WEB, FUND]"""
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
    """Ask X to take no conversion at all. `timestamp`: seconds."""
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
    """Read the answer: True where X refused nothing but the emptiness."""
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
