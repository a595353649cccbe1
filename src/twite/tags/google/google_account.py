"""OAuth tokens of a Google service account, from its key or the machine's metadata server.

google-auth builds the requests and reads the responses. It blocks, so it runs in a thread. Its
requests use Twite's HTTP client, and `google.api_url` if set.
"""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import aiohttp
import msgspec

from twite.domain.secret import Secret
from twite.domain.times import SECOND
from twite.senders.http import read_into
from twite.tags.google.google_key import ServiceKey, signer_of
from twite.tags.google.requests import GoogleEndpoints
from twite.tags.ports.google import GoogleToken, NoGoogleToken

if TYPE_CHECKING:
    from google.auth.credentials import Scoped

# The metadata server of Google's machines.
METADATA: Final = "http://metadata.google.internal"
_PROJECT: Final = f"{METADATA}/computeMetadata/v1/project/project-id"
_FLAVOR: Final = {"Metadata-Flavor": "Google"}
_SECONDS: Final = 10.0
_AT_ONCE: Final = 4
_LONGEST_ANSWER: Final = 256 * 1024
_LONGEST_REASON: Final = 200


class GoogleAccount:
    """A service account: see gateway.tags.google. No `key`: the machine's account."""

    def __init__(
        self, key: ServiceKey | None, *, project: str | None = None, api_url: str | None = None
    ) -> None:
        """Raises WrongKey for a key that cannot sign."""
        self._signer = _of_this_machine() if key is None else signer_of(key)
        self._project = project or (None if key is None else key.project)
        self._is_machine = key is None
        self._way = _TokenTransport(api_url)
        # A separate pool: DNS lookups use the loop's pool, which waiting threads must not fill.
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="twite-google")

    async def token(self, scopes: tuple[str, ...]) -> GoogleToken | NoGoogleToken:
        from google.auth import exceptions  # noqa: PLC0415  # see google_key

        loop = asyncio.get_running_loop()
        asking = _Asking(self._way, loop)
        signer = self._signer.with_scopes(list(scopes))  # type: ignore[no-untyped-call]  # it declares no types
        try:
            await loop.run_in_executor(self._threads, signer.refresh, asking)
        except exceptions.GoogleAuthError as error:
            detail = error.args[0] if error.args else ""
            refused = asking.status is not None and 400 <= asking.status < 500
            return NoGoogleToken(reason=_in_short(detail, error), refused=refused)
        except Exception as error:  # noqa: BLE001  any error means that there is no token
            return NoGoogleToken(reason=type(error).__name__)
        if not isinstance(signer.token, str) or not signer.token:
            return NoGoogleToken(reason="the response contains no token")
        return GoogleToken(text=Secret(signer.token), lifetime=_lifetime(signer.expiry))

    async def project(self) -> str | None:
        """Return the project from the settings, else from the key, else from the machine."""
        if self._project is None and self._is_machine:
            try:
                came = await self._way.go("GET", _PROJECT, _FLAVOR, None)
            except (aiohttp.ClientError, OSError, TimeoutError):
                return None
            if came.status == 200:
                self._project = came.data.decode("utf-8", "replace").strip() or None
        return self._project

    async def stop(self) -> None:
        """Close the pool."""
        await self._way.stop()
        self._threads.shutdown(wait=False, cancel_futures=True)


class _TokenResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A response in the form that google-auth expects."""

    status: int
    headers: Mapping[str, str]
    data: bytes


class _TokenTransport:
    """The HTTP client for token requests."""

    def __init__(self, api_url: str | None) -> None:
        self._api_url = api_url
        self._places = GoogleEndpoints(api_url)
        self._session: aiohttp.ClientSession | None = None
        self.is_stopped = False

    async def go(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> _TokenResponse:
        """Send a request. Raises aiohttp.ClientError, OSError, TimeoutError."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=_SECONDS),
                headers={"User-Agent": "twite"},
            )
        async with self._session.request(
            method, self._there(url), headers=headers, data=body, allow_redirects=False
        ) as answer:
            data = bytearray()
            if not await read_into(data, answer, most=_LONGEST_ANSWER):
                raise OSError("the response is too long to be Google's")
            answer_headers = {name.lower(): text for name, text in answer.headers.items()}
            return _TokenResponse(status=answer.status, headers=answer_headers, data=bytes(data))

    def _there(self, url: str) -> str:
        if self._api_url is not None and url.startswith(METADATA):
            return self._api_url + url.removeprefix(METADATA)
        return self._places.of(url)

    async def stop(self) -> None:
        self.is_stopped = True
        if self._session is not None:
            await self._session.close()
            self._session = None


class _Asking:
    """The transport that google-auth calls in its thread. `status` is that of the last response."""

    def __init__(self, transport: _TokenTransport, loop: asyncio.AbstractEventLoop) -> None:
        self._way = transport
        self._loop = loop
        self.status: int | None = None

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        **_: object,
    ) -> _TokenResponse:
        """Send a request, and wait for the response. Raises TransportError, RuntimeError."""
        from google.auth import exceptions  # noqa: PLC0415  # see google_key

        self.status = None
        if self._way.is_stopped:
            # google-auth retries only its own errors, so it does not retry this one.
            raise RuntimeError("the account was stopped")
        sending = asyncio.run_coroutine_threadsafe(
            self._way.go(method, url, headers or {}, body), self._loop
        )
        try:
            came = sending.result(2 * _SECONDS)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            sending.cancel()
            why = f"no answer ({type(error).__name__})"
            raise exceptions.TransportError(why) from None  # type: ignore[no-untyped-call]  # as above
        self.status = came.status
        return came


def _of_this_machine() -> "Scoped":
    from google.auth import compute_engine  # noqa: PLC0415  # see google_key

    return compute_engine.Credentials()  # type: ignore[no-untyped-call]  # it declares no types


def _lifetime(expiry: datetime | None) -> int:
    """Return the milliseconds until `expiry`, a UTC time of google-auth without a time zone."""
    if expiry is None:
        return 0
    left = expiry.replace(tzinfo=UTC) - datetime.now(UTC)
    return max(0, int(left.total_seconds() * SECOND))


def _in_short(detail: object, error: Exception) -> str:
    text = str(detail) or type(error).__name__
    return "".join(character if character.isprintable() else " " for character in text)[
        :_LONGEST_REASON
    ]
