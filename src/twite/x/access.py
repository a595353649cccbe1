"""What X lets who do: the role of a signed-in user, the approval of an app, a pixel token.

A role is read of `accounts/:account_id/authenticated_user_access` [doc CM]; where no account is
named, the list of accounts shows at least whether X knows the token and has approved the app. Of a
pixel token X has nothing to be read: a request without a single conversion is refused either for
its token, which says that it is wrong, or for being empty, which says no more than that. [guess]
"""

from typing import Final

import msgspec

from twite.domain.destination import OAuthKeys, PixelToken
from twite.x import spec
from twite.x.encode import conversions_url
from twite.x.oauth1 import sign
from twite.x.sign_in import Ask, Refusal, Why, words_of


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """What a user may do. `account` is None where none was named: then nobody knows the roles.

    `accounts` are (id, name) of those that the user may see.
    """

    account: str | None
    roles: tuple[str, ...] = ()
    accounts: tuple[tuple[str, str], ...] = ()


def ask_access(
    keys: OAuthKeys,
    *,
    account: str | None,
    api_url: str,
    version: str,
    nonce: str,
    timestamp: int,
) -> Ask:
    """Ask for a user's roles on an account, or for the accounts. `timestamp`: seconds."""
    path = (
        spec.ACCOUNTS_PATH.format(version=version)
        if account is None
        else spec.ACCESS_PATH.format(version=version, account_id=account)
    )
    url = f"{api_url}{path}"
    signed = sign(method="GET", url=url, keys=keys, nonce=nonce, timestamp=timestamp)
    return Ask(method="GET", url=url, headers={"Authorization": signed})


def read_access(account: str | None, *, status: int, body: bytes) -> Access | Refusal:
    """Read the answer: who may manage conversions, or why not."""
    if status != 200:
        why = {401: Why.TOKEN_REFUSED, 403: Why.APP_UNAPPROVED, 429: Why.LIMITED}.get(status)
        said = words_of(body)
        if status == 404 or (status == 403 and _is_of_the_account(said)):
            why = Why.NO_ROLE
        return Refusal(why=why or Why.UNREADABLE, status=status, said=said)
    try:
        if account is None:
            listed = _LISTED.decode(body).data
            return Access(account=None, accounts=tuple((one.id, one.name) for one in listed[:50]))
        roles = tuple(_ROLES.decode(body).data.permissions)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Refusal(why=Why.UNREADABLE, status=status)
    if not set(roles) & set(spec.MANAGING_ROLES):
        return Refusal(why=Why.WRONG_ROLE, status=status, said=", ".join(roles)[:200])
    return Access(account=account, roles=roles)


def ask_with_nothing(token: PixelToken, *, pixel: str, api_url: str, version: str) -> Ask:
    """Ask X to take no conversion at all, with a pixel token."""
    return Ask(
        method="POST",
        url=conversions_url(api_url=api_url, version=version, pixel=pixel),
        headers={
            "Content-Type": "application/json",
            spec.PIXEL_TOKEN_HEADER: token.token.reveal(),
        },
        body=b'{"conversions":[]}',
    )


def read_nothing(*, status: int, body: bytes) -> Refusal | None:
    """Read the answer: None where X did not refuse the token: no proof that it takes it."""
    if status in {401, 403, 404}:
        return Refusal(why=Why.PIXEL_TOKEN_REFUSED, status=status, said=words_of(body))
    if status == 429:
        return Refusal(why=Why.LIMITED, status=status, said=words_of(body))
    return Refusal(why=Why.UNREADABLE, status=status) if status >= 500 else None


def _is_of_the_account(said: str) -> bool:
    """Two of X's pages file an account that is not there under 403. [conflict, FUND and GH]"""
    return "ACCOUNT_NOT_FOUND" in said or said.startswith(spec.NOT_FOUND)


class _Rights(msgspec.Struct, frozen=True):
    permissions: list[str]


class _Roles(msgspec.Struct, frozen=True):
    data: _Rights


class _Account(msgspec.Struct, frozen=True):
    id: str
    name: str = ""


class _Listed(msgspec.Struct, frozen=True):
    data: list[_Account]


_ROLES: Final = msgspec.json.Decoder(_Roles)
_LISTED: Final = msgspec.json.Decoder(_Listed)
