"""Requests to Google: endpoints, cached access tokens, and the requests that use them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import msgspec

from twite.domain.secret import Secret
from twite.domain.times import MINUTE, SECOND
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.transport import NoResponse, Response
from twite.tags.ports.google import GoogleTokenSource, NoGoogleToken
from twite.tags.ports.web import WebRequest

if TYPE_CHECKING:
    from yarl import URL

# A token must still be valid when the request arrives.
AHEAD: Final = 2 * MINUTE
# Google would refuse the same request again, so its refusal is reused for this long.
REFUSED_FOR: Final = 30 * SECOND
# Scopes may contain data of an event, so their number is limited.
MOST_SCOPES: Final = 64

Found = Secret | NoGoogleToken
Scopes = tuple[str, ...]
_APIS: Final = "googleapis.com"
# Other hosts that Twite's own service calls use. Requests by templates to these hosts stay
# unchanged.
_BESIDE: Final = frozenset({"www.google-analytics.com", "www.googletagmanager.com"})
UNSET: Final = "[google] is not set in the settings"
_UNAUTHORIZED: Final = 401
_HEADER: Final = "authorization"
_MASKED: Final = "***"


class _CachedToken(msgspec.Struct, frozen=True, kw_only=True):
    found: Found
    until: int


class TokenCache:
    """A cache with one token for each set of scopes, renewed shortly before it expires."""

    def __init__(self, token_source: GoogleTokenSource, *, clock: Clock) -> None:
        self._account = token_source
        self._clock = clock
        self._kept: dict[Scopes, _CachedToken] = {}
        self._asking: dict[Scopes, asyncio.Task[Found]] = {}

    async def of(self, scopes: Scopes) -> Found:
        """Return a token for scopes, or the reason why there is none."""
        key = tuple(sorted(set(scopes)))
        kept = self._kept.get(key)
        if kept is not None and self._clock.elapsed() < kept.until:
            return kept.found
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking[key] = asyncio.create_task(self._ask(key))
            asking.add_done_callback(lambda _: self._asking.pop(key, None))
        # If one caller gives up, the others continue to wait for the same token.
        return await asyncio.shield(asking)

    def forget(self, scopes: Scopes, token: Secret) -> None:
        """Remove a token that Google refused; a newer token stays."""
        key = tuple(sorted(set(scopes)))
        kept = self._kept.get(key)
        if kept is not None and kept.found == token:
            del self._kept[key]

    async def stop(self) -> None:
        asking = tuple(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        await self._account.stop()

    async def _ask(self, key: Scopes) -> Found:
        came = await self._account.token(key)
        now = self._clock.elapsed()
        if isinstance(came, NoGoogleToken):
            if came.refused:
                self._keep(key, _CachedToken(found=came, until=now + REFUSED_FOR))
            return came
        # A token with a shorter lifetime is used for half of its lifetime.
        lifetime = max(came.lifetime - AHEAD, came.lifetime // 2)
        self._keep(key, _CachedToken(found=came.text, until=now + lifetime))
        return came.text

    def _keep(self, key: Scopes, token: _CachedToken) -> None:
        self._kept.pop(key, None)
        if len(self._kept) >= MOST_SCOPES:
            self._kept.pop(next(iter(self._kept)))
        self._kept[key] = token


class GoogleEndpoints:
    """The addresses to which Google requests are sent.

    `api_url` replaces all hosts under googleapis.com; paths stay unchanged.
    """

    def __init__(self, api_url: str | None = None) -> None:
        self._instead = None if api_url is None else _parsed(api_url)

    def of(self, url: str, *, own: bool = False) -> str:
        """Return the address to use for `url`; `own` is whether a Google service call uses it."""
        instead, meant = self._instead, read(url)
        if instead is None or meant is None:
            return url
        host = meant.raw_host or ""
        if not is_of_the_apis(host) and not (own and host in _BESIDE):
            return url
        there = meant.with_scheme(instead.scheme).with_host(instead.host or "")
        moved = str(there.with_port(instead.explicit_port))
        if instead.raw_path != "/":
            origin = str(there.with_port(instead.explicit_port).origin())
            moved = f"{origin}{instead.raw_path}{moved.removeprefix(origin)}"
        return moved

    def redirected(self, request: WebRequest, *, own: bool) -> WebRequest:
        """Return a request to the new address. The host of `api_url` may have a private address."""
        url = self.of(request.url, own=own)
        if self._instead is None or url == request.url:
            return request
        hosts = request.allow_hosts | {self._instead.raw_host or ""}
        return msgspec.structs.replace(request, url=url, allow_hosts=hosts)


def may_carry(url: str) -> bool:
    """Return whether a token may be sent to an address: only to Google's APIs over TLS."""
    meant = read(url)
    return (
        meant is not None
        and meant.scheme == "https"
        and meant.port == 443
        and meant.user is None
        and is_of_the_apis(meant.raw_host or "")
    )


def is_of_the_apis(host: str) -> bool:
    """Return whether a host, in the form used for connections, is under googleapis.com."""
    return host == _APIS or host.endswith(f".{_APIS}")


def read(url: str) -> "URL | None":
    """Parse an address as the connection does; None if it is invalid."""
    try:
        found = _parsed(url)
    except ValueError:
        return None
    return found if found.scheme in {"http", "https"} and found.raw_host else None


def _parsed(url: str) -> "URL":
    from yarl import URL  # noqa: PLC0415  # few gateways call Google

    return URL(url)


Sends = Callable[[WebRequest], Awaitable[Response | NoResponse]]


class GoogleRequestDenied(msgspec.Struct, frozen=True, kw_only=True):
    """A request that is not sent. `why` goes to the log."""

    why: str


class GoogleClient:
    """A client for Google's services.

    Without an `account`, it sends only requests that need no token.
    """

    def __init__(
        self,
        token_source: GoogleTokenSource | None = None,
        *,
        clock: Clock,
        endpoints: GoogleEndpoints | None = None,
    ) -> None:
        self._account = token_source
        self._tokens = None if token_source is None else TokenCache(token_source, clock=clock)
        self._places = endpoints or GoogleEndpoints()

    @property
    def is_set(self) -> bool:
        return self._tokens is not None

    async def project(self) -> str | None:
        """Return the default project (at Google: GOOGLE_CLOUD_PROJECT)."""
        return None if self._account is None else await self._account.project()

    async def send(
        self, request: WebRequest, *, scopes: Scopes | None, by: Sends, own: bool = False
    ) -> Response | NoResponse | GoogleRequestDenied:
        """Send a request, with a token if `scopes` is given.

        `own` is whether a Google service call makes the request. If Google refuses the token, the
        request is repeated once with a new token. Tokens are sent only to Google.
        """
        there = self._places.redirected(request, own=own)
        if scopes is None:
            return await by(there)
        if self._tokens is None:
            return GoogleRequestDenied(why=UNSET)
        if not scopes:
            return GoogleRequestDenied(
                why="the call requests no scope, or does not use the value that getGoogleAuth "
                "returned"
            )
        if not may_carry(request.url):
            return GoogleRequestDenied(
                why="a Google token is sent only to https://*.googleapis.com"
            )
        return await self._with_token(there, self._tokens, scopes, by)

    async def _with_token(
        self, request: WebRequest, tokens: TokenCache, scopes: Scopes, by: Sends
    ) -> Response | NoResponse:
        token = await tokens.of(scopes)
        came = await _carrying(request, token, by)
        if (
            isinstance(came, Response)
            and came.status == _UNAUTHORIZED
            and isinstance(token, Secret)
        ):
            tokens.forget(scopes, token)
            came = await _carrying(request, await tokens.of(scopes), by)
        return came

    async def stop(self) -> None:
        if self._tokens is not None:
            await self._tokens.stop()


async def _carrying(request: WebRequest, token: Found, by: Sends) -> Response | NoResponse:
    if isinstance(token, NoGoogleToken):
        return NoResponse(reason=f"no token from Google: {token.reason}", left=False)
    text = token.reveal()
    # Overrides a header of this name from the template.
    headers = {name: value for name, value in request.headers.items() if name.lower() != _HEADER}
    headers[_HEADER] = f"Bearer {text}"
    came = await by(msgspec.structs.replace(request, headers=headers))
    return came if isinstance(came, NoResponse) else _without(text, came)


def _without(token: str, response: Response) -> Response:
    """Mask the token in a response, because templates can read and log the response."""
    headers = {name: text.replace(token, _MASKED) for name, text in response.headers.items()}
    cookies = tuple(text.replace(token, _MASKED) for text in response.cookies)
    body = response.body.replace(token.encode(), _MASKED.encode())
    return msgspec.structs.replace(response, headers=headers, cookies=cookies, body=body)
