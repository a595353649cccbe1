"""Templates' requests over HTTP, kept away from whatever is not public.

A template's address is its author's word, or the visitor's where a field holds what an event said.
So it is read once, as the connection reads it, and the name is looked up here: the host and the
addresses that were judged (see `public`) are those that are connected to.
"""

import asyncio
import socket
from collections.abc import Iterable
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from twite.gateway.ports.store import NoResponse, Response
from twite.gateway.ports.web import WebRequest
from twite.senders.leaving import Leaving, watching_what_leaves
from twite.senders.public import is_public, is_public_address

LONGEST_ANSWER: Final = 1024 * 1024
_CONNECT: Final = 5.0  # seconds
# What the connection itself says; a template has no say in it.
_OWN: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer",
     "expect", "keep-alive", "proxy-authorization", "proxy-connection"}
)  # fmt: skip


class NotPublic(OSError):
    """A name or address that only some network knows."""


class _CutOff(OSError):
    """An answer ended before it was whole, or is not what it says it is.

    Nobody knows what the rest would have said: a template is not to act upon the half.
    """


class PublicWeb:
    """See gateway.tags.web.Web. `names` looks names up; else the machine's own does."""

    def __init__(self, *, names: AbstractResolver | None = None) -> None:
        self._names = names
        # A connection that one tag may use must not be found by another that may not.
        self._sessions: dict[frozenset[str], aiohttp.ClientSession] = {}

    async def stop(self) -> None:
        """Close the pools."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    async def ask(self, asked: WebRequest) -> Response | NoResponse:
        """Send it."""
        url = _read_url(asked.url)
        if url is None:
            return NoResponse(reason="what it asks for is no address of the web", left=False)
        host = url.raw_host or ""
        allow_hosts = _as_connected(asked.allow_hosts)
        if not is_public(host) and host not in allow_hosts:
            return NoResponse(reason=f"{host} is not a public address", left=False)
        seconds = asked.timeout / 1_000
        leaving = Leaving()
        try:
            async with self._session(allow_hosts).request(
                asked.method,
                url,
                data=asked.body or None,
                headers={k: v for k, v in asked.headers.items() if k.lower() not in _OWN},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=seconds, sock_connect=_CONNECT),
                trace_request_ctx=leaving,
            ) as response:
                headers = {name.lower(): text for name, text in response.headers.items()}
                body, whole = await _read(response)
                return Response(status=response.status, headers=headers, body=body, whole=whole)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            return NoResponse(reason=_why(error, left=leaving.began), left=leaving.began)

    def _session(self, allow_hosts: frozenset[str]) -> aiohttp.ClientSession:
        found = self._sessions.get(allow_hosts)
        if found is None:
            found = self._sessions[allow_hosts] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0, resolver=_Guarded(allow_hosts, self._names)
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "twite"},
                trace_configs=[watching_what_leaves()],
            )
        return found


class _Guarded(AbstractResolver):
    """Looks a name up, and leaves out what is not public."""

    def __init__(self, allow_hosts: frozenset[str], names: AbstractResolver | None) -> None:
        self._allow_hosts = allow_hosts
        self._inner = names or aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        if host in self._allow_hosts:
            return found
        public = [one for one in found if is_public_address(one["host"])]
        if not public:
            raise NotPublic(f"{host} has no public address")
        return public

    async def close(self) -> None:
        await self._inner.close()


def _read_url(text: str) -> URL | None:
    """Read an address as the connection does: its letters folded, what has no place left out."""
    try:
        url = URL(text)
    except ValueError:
        return None
    return url if url.scheme in {"http", "https"} and url.raw_host else None


def _as_connected(hosts: Iterable[str]) -> frozenset[str]:
    """Return hosts in the spelling that a connection has them in."""
    found = set()
    for host in hosts:
        bare = host.strip("[]")
        url = _read_url(f"http://[{bare}]/" if ":" in bare else f"http://{bare}/")
        if url is not None and url.raw_host:
            found.add(url.raw_host)
    return frozenset(found)


def _why(error: Exception, *, left: bool) -> str:
    if isinstance(error, TimeoutError):
        # Its template is told "timed_out", as by Google, whichever time has run out.
        return "no answer in time"
    if isinstance(error, NotPublic | _CutOff):
        return str(error)
    if isinstance(error, aiohttp.InvalidURL):
        return "what it asks for is no address of the web"
    if isinstance(error, aiohttp.ClientConnectorError):
        inner = error.os_error
        return str(inner) if isinstance(inner, NotPublic) else "no connection"
    if not left:
        return f"it could not be sent: {type(error).__name__}"
    return f"connection lost: {type(error).__name__}"


async def _read(response: aiohttp.ClientResponse) -> tuple[bytes, bool]:
    """Return the body, and whether it is all of it. Raises _CutOff where the connection ended."""
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in response.content.iter_any():
            chunks.append(chunk)
            size += len(chunk)
            if size > LONGEST_ANSWER:
                response.close()
                return b"".join(chunks)[:LONGEST_ANSWER], False
    except TimeoutError:
        raise
    except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
        raise _CutOff(f"the answer ({response.status}) could not be read whole") from error
    return b"".join(chunks), True
