"""Requests to Google, with an access token if needed."""

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from twite.domain.secret import Secret
from twite.gateway.ports.google_account import GoogleTokenSource, NoGoogleToken
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.transport import NoResponse, Response
from twite.gateway.ports.web import WebRequest
from twite.gateway.tags.google.endpoints import GoogleEndpoints, may_carry
from twite.gateway.tags.google.tokens import Found, Scopes, TokenCache

UNSET: Final = "[google] is not set in the settings"
_UNAUTHORIZED: Final = 401
_HEADER: Final = "authorization"
_MASKED: Final = "***"

Sends = Callable[[WebRequest], Awaitable[Response | NoResponse]]


class GoogleRequestDenied(msgspec.Struct, frozen=True, kw_only=True):
    """A request that is not sent. `why` goes to the log."""

    why: str


class GoogleClient:
    """Google for the templates of a gateway; without an `account`, what needs none alone."""

    def __init__(
        self,
        account: GoogleTokenSource | None = None,
        *,
        clock: Clock,
        places: GoogleEndpoints | None = None,
    ) -> None:
        self._account = account
        self._tokens = None if account is None else TokenCache(account, clock=clock)
        self._places = places or GoogleEndpoints()

    @property
    def is_set(self) -> bool:
        """Whether there are credentials."""
        return self._tokens is not None

    async def project(self) -> str | None:
        """Return what GOOGLE_CLOUD_PROJECT means."""
        return None if self._account is None else await self._account.project()

    async def send(
        self, asked: WebRequest, *, scopes: Scopes | None, by: Sends, own: bool = False
    ) -> Response | NoResponse | GoogleRequestDenied:
        """Send a request, with a token if there are scopes. `own`: a service of Google's needs it.

        A token that Google does not take is asked for anew, once. None goes to anybody else.
        """
        place = self._places.of(asked.url, own=own)
        there = msgspec.structs.replace(
            asked, url=place.url, allow_hosts=asked.allow_hosts | place.allow_hosts
        )
        if scopes is None:
            return await by(there)
        if self._tokens is None:
            return GoogleRequestDenied(why=UNSET)
        if not scopes:
            return GoogleRequestDenied(
                why="it requests no scope, or does not use the value that getGoogleAuth returned"
            )
        if not may_carry(asked.url):
            return GoogleRequestDenied(
                why="a Google token is sent only to https://*.googleapis.com"
            )
        return await self._with_token(there, self._tokens, scopes, by)

    async def _with_token(
        self, asked: WebRequest, tokens: TokenCache, scopes: Scopes, by: Sends
    ) -> Response | NoResponse:
        token = await tokens.of(scopes)
        came = await _carrying(asked, token, by)
        if (
            isinstance(came, Response)
            and came.status == _UNAUTHORIZED
            and isinstance(token, Secret)
        ):
            tokens.forget(scopes, token)
            came = await _carrying(asked, await tokens.of(scopes), by)
        return came

    async def stop(self) -> None:
        """Close what is open."""
        if self._tokens is not None:
            await self._tokens.stop()


async def _carrying(asked: WebRequest, token: Found, by: Sends) -> Response | NoResponse:
    if isinstance(token, NoGoogleToken):
        return NoResponse(reason=f"no token from Google: {token.reason}", left=False)
    text = token.reveal()
    # Whatever the template brought under that name.
    headers = {name: value for name, value in asked.headers.items() if name.lower() != _HEADER}
    headers[_HEADER] = f"Bearer {text}"
    came = await by(msgspec.structs.replace(asked, headers=headers))
    return came if isinstance(came, NoResponse) else _without(text, came)


def _without(token: str, came: Response) -> Response:
    """Return an answer that does not repeat the token: a template, and its log, get to see it."""
    headers = {name: text.replace(token, _MASKED) for name, text in came.headers.items()}
    body = came.body.replace(token.encode(), _MASKED.encode())
    return msgspec.structs.replace(came, headers=headers, body=body)
