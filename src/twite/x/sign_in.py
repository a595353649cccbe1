"""Signing in at X by OAuth 1.0a, with a callback or a PIN: each step's request, and its answer.

    begin     POST /oauth/request_token     the app asks for a request token          → Requested
    page      /oauth/authorize              where a person says yes, and gets a PIN or is sent back
    finish    POST /oauth/access_token      the request token and the verifier        → SignedIn
    end       POST /1.1/oauth/invalidate_token.json     the access token is revoked

An answer that is none of these is a Refusal. [doc OA]
"""

from typing import Final
from urllib.parse import parse_qsl, urlencode

import msgspec

from twite.domain.destination import App, OAuthKeys
from twite.domain.secret import Secret
from twite.x import spec
from twite.x.inquiry import Inquiry, Refusal, Why, words_of
from twite.x.oauth1 import sign, sign_step

_LONGEST: Final = 256


class Requested(msgspec.Struct, frozen=True, kw_only=True):
    """A request token, good for one sign-in. `token` is shown in the address; `secret` is not."""

    token: str
    secret: Secret


class SignedIn(msgspec.Struct, frozen=True, kw_only=True):
    """Who signed in, and the credentials of theirs."""

    keys: OAuthKeys
    user_id: str
    screen_name: str


def begin(app: App, *, oauth_url: str, callback: str | None, nonce: str, timestamp: int) -> Inquiry:
    """Ask for a request token; without a `callback`, X will show a PIN. `timestamp`: seconds."""
    url = f"{oauth_url}{spec.REQUEST_TOKEN_PATH}"
    signed = sign_step(
        method="POST",
        url=url,
        app=app,
        nonce=nonce,
        timestamp=timestamp,
        callback=callback or spec.OUT_OF_BAND,
    )
    return Inquiry(method="POST", url=url, headers={"Authorization": signed})


def begun(*, status: int, body: bytes) -> Requested | Refusal:
    """Read the answer to `begin`."""
    if status != 200:
        return _refused(status, body, {401: Why.APP_UNKNOWN, 403: Why.CALLBACK_REFUSED})
    given = _form(body)
    token, secret = given.get("oauth_token"), given.get("oauth_token_secret")
    # X: "Your app should examine … the response to ensure that oauth_callback_confirmed is true".
    if not token or not secret or given.get("oauth_callback_confirmed") != "true":
        return Refusal(why=Why.UNREADABLE, status=status)
    return Requested(token=token, secret=Secret(secret))


def page(requested: Requested, *, oauth_url: str) -> str:
    """Return the address where a person signs in and says yes."""
    return f"{oauth_url}{spec.AUTHORIZE_PATH}?{urlencode({'oauth_token': requested.token})}"


def sent_back(query: str, requested: Requested) -> str | Refusal:
    """Read what the browser brought to the callback; return the verifier."""
    given = dict(parse_qsl(query[: 16 * _LONGEST]))
    if given.get("denied") == requested.token:
        return Refusal(why=Why.DENIED)
    verifier = given.get("oauth_verifier", "")
    if given.get("oauth_token") != requested.token or not 0 < len(verifier) <= _LONGEST:
        return Refusal(why=Why.STRANGER)
    return verifier


def finish(
    app: App, requested: Requested, verifier: str, *, oauth_url: str, nonce: str, timestamp: int
) -> Inquiry:
    """Ask for the access token; `verifier` is the PIN, or what the callback brought."""
    url = f"{oauth_url}{spec.ACCESS_TOKEN_PATH}"
    signed = sign_step(
        method="POST",
        url=url,
        app=app,
        nonce=nonce,
        timestamp=timestamp,
        requested=(requested.token, requested.secret),
        verifier=verifier,
    )
    return Inquiry(method="POST", url=url, headers={"Authorization": signed})


def finished(app: App, *, status: int, body: bytes) -> SignedIn | Refusal:
    """Read the answer to `finish`."""
    if status != 200:
        return _refused(status, body, {401: Why.VERIFIER_REFUSED, 403: Why.VERIFIER_REFUSED})
    given = _form(body)
    token, secret = given.get("oauth_token"), given.get("oauth_token_secret")
    if not token or not secret:
        return Refusal(why=Why.UNREADABLE, status=status)
    return SignedIn(
        keys=OAuthKeys(
            consumer_key=app.consumer_key,
            consumer_secret=app.consumer_secret,
            token=token,
            token_secret=Secret(secret),
        ),
        user_id=given.get("user_id", "")[:_LONGEST],
        screen_name=given.get("screen_name", "")[:_LONGEST],
    )


def end(keys: OAuthKeys, *, oauth_url: str, nonce: str, timestamp: int) -> Inquiry:
    """Ask for the access token to be revoked."""
    url = f"{oauth_url}{spec.INVALIDATE_TOKEN_PATH}"
    signed = sign(method="POST", url=url, keys=keys, nonce=nonce, timestamp=timestamp)
    return Inquiry(method="POST", url=url, headers={"Authorization": signed})


def ended(*, status: int, body: bytes) -> Refusal | bool:
    """Read the answer to `end`: True when the token is revoked."""
    return True if status == 200 else _refused(status, body, {401: Why.TOKEN_REFUSED})


def _refused(status: int, body: bytes, known: dict[int, Why]) -> Refusal:
    return Refusal(why=known.get(status, Why.UNREADABLE), status=status, said=words_of(body))


def _form(body: bytes) -> dict[str, str]:
    return dict(parse_qsl(body[: 16 * _LONGEST].decode("utf-8", "replace")))
