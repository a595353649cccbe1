"""Sign in at X by OAuth 1.0a, with a callback or a PIN: the request of each step, and X's response.

    begin     POST /oauth/request_token     the app asks for a request token          → Requested
    page      /oauth/authorize              the user allows access, and gets a PIN or is redirected
    finish    POST /oauth/access_token      the request token and the verifier        → SignedIn
    end       POST /1.1/oauth/invalidate_token.json     the access token is revoked

Any other response is a Refusal. [doc OA]
"""

from typing import Final
from urllib.parse import parse_qsl, urlencode

import msgspec

from twite.domain.destination import OAuthKeys, XApp
from twite.domain.secret import Secret
from twite.x import spec
from twite.x.inquiry import Inquiry, InquiryRefusal, RefusalReason, words_of
from twite.x.oauth1 import sign, sign_step

_LONGEST: Final = 256


class SignInRequested(msgspec.Struct, frozen=True, kw_only=True):
    """A request token, valid for one sign-in. `token` appears in the URL; `secret` does not."""

    token: str
    secret: Secret


class XCredentials(msgspec.Struct, frozen=True, kw_only=True):
    keys: OAuthKeys
    screen_name: str


def begin(
    app: XApp, callback: str | None, nonce: str, timestamp: int, *, oauth_url: str
) -> Inquiry:
    """Build the request for a request token; without a `callback`, X shows a PIN.

    `timestamp`: seconds.
    """
    url = f"{oauth_url}{spec.REQUEST_TOKEN_PATH}"
    signed = sign_step(
        url=url,
        app=app,
        nonce=nonce,
        timestamp=timestamp,
        callback=callback or spec.OUT_OF_BAND,
    )
    return _post(url, signed)


def begun(status: int, body: bytes) -> SignInRequested | InquiryRefusal:
    if status != 200:
        return _refused(
            status, body, {401: RefusalReason.APP_UNKNOWN, 403: RefusalReason.CALLBACK_REFUSED}
        )
    given = _form(body)
    token, secret = given.get("oauth_token"), given.get("oauth_token_secret")
    # X: "Your app should examine … the response to ensure that oauth_callback_confirmed is true".
    if not token or not secret or given.get("oauth_callback_confirmed") != "true":
        return InquiryRefusal(reason=RefusalReason.UNREADABLE, status=status)
    return SignInRequested(token=token, secret=Secret(secret))


def page(requested: SignInRequested, *, oauth_url: str) -> str:
    return f"{oauth_url}{spec.AUTHORIZE_PATH}?{urlencode({'oauth_token': requested.token})}"


def sent_back(query: str, requested: SignInRequested) -> str | InquiryRefusal:
    given = dict(parse_qsl(query[: 16 * _LONGEST]))
    if given.get("denied") == requested.token:
        return InquiryRefusal(reason=RefusalReason.DENIED)
    verifier = given.get("oauth_verifier", "")
    if given.get("oauth_token") != requested.token or not 0 < len(verifier) <= _LONGEST:
        return InquiryRefusal(reason=RefusalReason.STRANGER)
    return verifier


def finish(
    app: XApp,
    requested: SignInRequested,
    verifier: str,
    nonce: str,
    timestamp: int,
    *,
    oauth_url: str,
) -> Inquiry:
    """Build the request for the access token; `verifier` is the PIN, or that of the callback."""
    url = f"{oauth_url}{spec.ACCESS_TOKEN_PATH}"
    signed = sign_step(
        url=url,
        app=app,
        nonce=nonce,
        timestamp=timestamp,
        requested=(requested.token, requested.secret),
        verifier=verifier,
    )
    return _post(url, signed)


def finished(app: XApp, status: int, body: bytes) -> XCredentials | InquiryRefusal:
    if status != 200:
        return _refused(
            status, body, {401: RefusalReason.VERIFIER_REFUSED, 403: RefusalReason.VERIFIER_REFUSED}
        )
    given = _form(body)
    token, secret = given.get("oauth_token"), given.get("oauth_token_secret")
    if not token or not secret:
        return InquiryRefusal(reason=RefusalReason.UNREADABLE, status=status)
    return XCredentials(
        keys=OAuthKeys(
            consumer_key=app.consumer_key,
            consumer_secret=app.consumer_secret,
            token=token,
            token_secret=Secret(secret),
        ),
        screen_name=given.get("screen_name", "")[:_LONGEST],
    )


def end(keys: OAuthKeys, nonce: str, timestamp: int, *, oauth_url: str) -> Inquiry:
    url = f"{oauth_url}{spec.INVALIDATE_TOKEN_PATH}"
    return _post(url, sign(method="POST", url=url, keys=keys, nonce=nonce, timestamp=timestamp))


def ended(status: int, body: bytes) -> InquiryRefusal | bool:
    return True if status == 200 else _refused(status, body, {401: RefusalReason.TOKEN_REFUSED})


def _post(url: str, authorization: str) -> Inquiry:
    return Inquiry(method="POST", url=url, headers={"Authorization": authorization})


def _refused(status: int, body: bytes, known: dict[int, RefusalReason]) -> InquiryRefusal:
    return InquiryRefusal(
        reason=known.get(status, RefusalReason.UNREADABLE), status=status, said=words_of(body)
    )


def _form(body: bytes) -> dict[str, str]:
    return dict(parse_qsl(body[: 16 * _LONGEST].decode("utf-8", "replace")))
