"""The OAuth sign-in: request token, authorize (page, PIN or callback), access token, revocation.

[doc OA] X has these routes on api.x.com; here they are on the same server.
"""

from collections.abc import Mapping
from html import escape
from random import Random
from typing import Final
from urllib.parse import urlencode

import msgspec
from msgspec import Struct

from twite_emulator import spec
from twite_emulator.exchange import (
    CALLBACK_REFUSED,
    CALLBACK_REFUSED_CODE,
    COULD_NOT_AUTHENTICATE,
    COULD_NOT_AUTHENTICATE_CODE,
    XAnswer,
    XRequestReceived,
    json_answer,
)
from twite_emulator.oauth import SEVEN, Signed, UnsignedError, verify
from twite_emulator.state import EmulatedState
from twite_emulator.world import EmulatedApp, EmulatedToken, World

OUT_OF_BAND: Final = "oob"
_WITHOUT_TOKEN: Final = (SEVEN - {"oauth_token"}) | {"oauth_callback"}
_WITH_VERIFIER: Final = SEVEN | {"oauth_verifier"}
_PAGES: Final = ("/oauth/authorize", "/oauth/authenticate")
_REVOKE: Final = ("/1.1/oauth/invalidate_token", "/1.1/oauth/invalidate_token.json")
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


class Pending(Struct, frozen=True, kw_only=True):
    """A pending sign-in, by its request token."""

    app: str
    secret: str
    callback: str
    user: str | None = None  # who consented
    verifier: str | None = None

    def __repr__(self) -> str:
        return f"Pending(app={self.app!r}, user={self.user!r})"


class OAuthFlow:
    """The pending sign-ins. A verifier or PIN works once."""

    def __init__(self, randomness: Random) -> None:
        self._randomness = randomness
        self._pending: dict[str, Pending] = {}

    def answer(self, request: XRequestReceived, state: EmulatedState) -> XAnswer | None:
        """Return None if the request is not a step of the flow."""
        step = (request.method, request.path)
        if request.path in _PAGES and request.method in ("GET", "POST"):
            return self._consent(request, state.world)
        if step == ("POST", "/oauth/request_token"):
            names, secrets = _WITHOUT_TOKEN, {}
        elif step == ("POST", "/oauth/access_token"):
            secrets = {token: pending.secret for token, pending in self._pending.items()}
            names = _WITH_VERIFIER if "oauth_verifier=" in _header(request) else SEVEN
        elif request.method == "POST" and request.path in _REVOKE:
            names, secrets = SEVEN, None
        else:
            return None
        try:
            signed = verify(request, state, names=names, secret_of=secrets)
            return self._step(request, signed, state.world)
        except UnsignedError as error:
            return _refused(error)

    def _step(self, request: XRequestReceived, signed: Signed, world: World) -> XAnswer:
        if request.path == "/oauth/request_token":
            return self._begin(signed)
        if request.path == "/oauth/access_token":
            return self._finish(request, signed, world)
        return _revoke(signed, world)

    def _begin(self, signed: Signed) -> XAnswer:
        callback = signed.parameters["oauth_callback"]
        if callback != OUT_OF_BAND and callback not in signed.app.callbacks:
            return _error(403, CALLBACK_REFUSED_CODE, CALLBACK_REFUSED)
        token, secret = self._text(27), self._text(32)
        self._pending[token] = Pending(app=signed.app.id, secret=secret, callback=callback)
        return _form(
            {
                "oauth_token": token,
                "oauth_token_secret": secret,
                "oauth_callback_confirmed": "true",
            }
        )

    def _consent(self, request: XRequestReceived, world: World) -> XAnswer:
        given = dict(request.query_pairs()) | dict(request.form_pairs())
        token = given.get("oauth_token", "")
        pending = self._pending.get(token)
        if pending is None:
            return _page(401, "<p>This request token is unknown or has already been used.</p>")
        if request.method == "GET":
            return _page(200, _consent_form(token, world.apps[pending.app], world))
        if given.get("deny"):
            del self._pending[token]
            return _sent_back(pending.callback, {"denied": token})
        user = given.get("user_id") or next(iter(world.users), "")
        if user not in world.users:
            return _page(400, "<p>There is no such user.</p>")
        pin = pending.callback == OUT_OF_BAND
        verifier = str(self._randomness.randrange(10**6, 10**7)) if pin else self._text(32)
        self._pending[token] = msgspec.structs.replace(pending, user=user, verifier=verifier)
        if pin:
            return _page(200, f"<p>Enter this PIN to finish:</p><code>{verifier}</code>")
        return _sent_back(pending.callback, {"oauth_token": token, "oauth_verifier": verifier})

    def _finish(self, request: XRequestReceived, signed: Signed, world: World) -> XAnswer:
        token = signed.parameters["oauth_token"]
        pending = self._pending[token]
        given = dict(request.query_pairs()) | dict(request.form_pairs()) | dict(signed.parameters)
        verifier = given.get("oauth_verifier")
        if pending.app != signed.app.id or not verifier or verifier != pending.verifier:
            raise UnsignedError("wrong verifier")
        del self._pending[token]
        user = world.users[pending.user or ""]
        access = EmulatedToken(
            token=f"{user.id}-{self._text(40)}",
            secret=self._text(45),
            user=user.id,
            app=pending.app,
        )
        world.put_token(access)
        return _form(
            {
                "oauth_token": access.token,
                "oauth_token_secret": access.secret,
                "user_id": user.id,
                "screen_name": user.screen_name,
            }
        )

    def _text(self, length: int) -> str:
        return "".join(self._randomness.choices(_LETTERS, k=length))


def _revoke(signed: Signed, world: World) -> XAnswer:
    if signed.token is None:
        raise UnsignedError("no token")
    world.put_token(msgspec.structs.replace(signed.token, revoked=True))
    return json_answer(200, {"access_token": signed.token.token})


def _refused(error: UnsignedError) -> XAnswer:
    if error.revoked:
        return _error(401, spec.INVALID_TOKEN_CODE, spec.INVALID_TOKEN)
    return _error(401, COULD_NOT_AUTHENTICATE_CODE, COULD_NOT_AUTHENTICATE)


def _error(status: int, code: int, message: str) -> XAnswer:
    return json_answer(status, {"errors": [{"code": code, "message": message}]})


def _form(pairs: Mapping[str, str]) -> XAnswer:
    kind = (("content-type", "application/x-www-form-urlencoded"),)
    return XAnswer(status=200, body=urlencode(pairs).encode(), headers=kind)


def _page(status: int, inner: str) -> XAnswer:
    text = f"<!doctype html><html lang=en><title>X (emulated)</title><body>{inner}</body></html>"
    kind = (("content-type", "text/html; charset=utf-8"),)
    return XAnswer(status=status, body=text.encode(), headers=kind)


def _sent_back(callback: str, pairs: Mapping[str, str]) -> XAnswer:
    if callback == OUT_OF_BAND:
        return _page(200, "<p>You have denied access.</p>")
    joint = "&" if "?" in callback else "?"
    return XAnswer(status=302, headers=(("location", f"{callback}{joint}{urlencode(pairs)}"),))


def _consent_form(token: str, app: EmulatedApp, world: World) -> str:
    options = "".join(
        f'<option value="{escape(user.id)}">@{escape(user.screen_name)}</option>'
        for user in world.users.values()
    )
    return (
        f"<h1>Authorize {escape(app.name)} to use your account?</h1><form method=post>"
        f'<input type=hidden name=oauth_token value="{escape(token)}">'
        f"<select name=user_id>{options}</select>"
        "<button name=allow value=1>Authorize app</button>"
        "<button name=deny value=1>Cancel</button></form>"
    )


def _header(request: XRequestReceived) -> str:
    return request.headers.get("authorization", "")
