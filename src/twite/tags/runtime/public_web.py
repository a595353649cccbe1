"""HTTP client for templates' requests, which must not reach private networks (SSRF protection).

A template's URL comes from its author, or from the visitor if a field contains event data. The URL
is parsed once, and the host name is resolved here, so the connection uses exactly the host and the
addresses that were checked. Private networks are those that RFC 6890's registries mark as not
globally reachable. They are listed here because Python's list differs between versions. If an IPv6
address embeds an IPv4 address, both are checked, because a gateway on the path could connect to the
IPv4 address.
"""

import asyncio
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from twite.gateway.ports.ownership import LEASE_IS_OVER
from twite.gateway.ports.transport import NoResponse, Response
from twite.senders.http import (
    LeaseIsOver,
    Leaving,
    read_into,
    response_of,
    response_timeout,
    watching_what_leaves,
)
from twite.tags.ports.web import WebRequest

LONGEST_ANSWER: Final = 1024 * 1024
_CONNECT: Final = 5.0  # seconds
# Headers of the connection itself; a template cannot set them.
_OWN: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer",
     "expect", "keep-alive", "proxy-authorization", "proxy-connection"}
)  # fmt: skip
NOT_PUBLIC: Final = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this host
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # shared by a carrier's customers; clouds serve metadata here
            "127.0.0.0/8",  # loopback
            "168.63.129.16/32",  # Azure's host address, reachable from each of its machines
            "169.254.0.0/16",  # link-local; clouds serve metadata here
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocol assignments
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # relays of 6to4
            "192.168.0.0/16",  # private
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
        ),
    )
)
# Everything assigned for the internet (RFC 4291), except these.
_GLOBAL: Final = IPv6Network("2000::/3")
NOT_PUBLIC_6: Final = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments, Teredo among them
            "2001:db8::/32",  # documentation
            "3fff::/20",  # documentation
        ),
    )
)
# Networks with an embedded IPv4 address, and the number of bits after that address.
_CARRIES: Final = (
    (IPv6Network("::ffff:0:0/96"), 0),  # IPv4-mapped
    (IPv6Network("64:ff9b::/96"), 0),  # NAT64 (RFC 6052)
    (IPv6Network("2002::/16"), 80),  # 6to4 (RFC 3056)
)
_ISATAP: Final = frozenset({0x5EFE, 0x0200_5EFE})  # RFC 5214: the interface id's upper half
_LOW: Final = (1 << 32) - 1


class NotPublic(OSError):
    """The host is not public, or its name resolves to no public address."""


class _CutOff(OSError):
    """The response ended early, or does not match its headers.

    A template must not act on an incomplete response.
    """


class PublicWeb:
    """Implements `Web`. `names` resolves host names; the default is the machine's resolver."""

    def __init__(self, *, names: AbstractResolver | None = None) -> None:
        self._names = names
        # By allowed private hosts, so that no tag reuses a connection that it may not open.
        self._sessions: dict[frozenset[str], aiohttp.ClientSession] = {}

    async def stop(self) -> None:
        """Close the connection pools."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    async def ask(self, request: WebRequest) -> Response | NoResponse:
        url = _read_url(request.url)
        if url is None:
            return NoResponse(reason="its URL is not a web address", left=False)
        host = url.raw_host or ""
        allow_hosts = _as_connected(request.allow_hosts)
        if not is_public(host) and host not in allow_hosts:
            return NoResponse(reason=f"{host} is not a public address", left=False)
        seconds = request.timeout / 1_000
        leaving = Leaving(request.may_send)
        try:
            async with (
                response_timeout(seconds),
                self._session(allow_hosts).request(
                    request.method,
                    url,
                    data=request.body or None,
                    headers={k: v for k, v in request.headers.items() if k.lower() not in _OWN},
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT),
                    trace_request_ctx=leaving,
                ) as response,
            ):
                return await _read(response)
        except (LeaseIsOver, aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            if leaving.is_lease_over:
                return NoResponse(reason=LEASE_IS_OVER, left=False)
            return NoResponse(
                reason=_why(error, left=leaving.began),
                left=leaving.began,
                # Templates get "timed_out" for every time limit, as in Google's container.
                is_late=isinstance(error, TimeoutError),
            )

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
    """Resolves a name, and drops addresses that are not public."""

    def __init__(self, allow_hosts: frozenset[str], names: AbstractResolver | None) -> None:
        self._allow_hosts = allow_hosts
        self._inner = names or aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        if host in self._allow_hosts:
            return found
        public = [address for address in found if is_public_address(address["host"])]
        if not public:
            raise NotPublic(f"{host} has no public address")
        return public

    async def close(self) -> None:
        await self._inner.close()


def _read_url(text: str) -> URL | None:
    """Parse a URL as aiohttp does: the host in lower case, without invalid characters."""
    try:
        url = URL(text)
    except ValueError:
        return None
    return url if url.scheme in {"http", "https"} and url.raw_host else None


def _as_connected(hosts: Iterable[str]) -> frozenset[str]:
    """Return hosts in the spelling that aiohttp uses."""
    found = set()
    for host in hosts:
        bare = host.strip("[]")
        url = _read_url(f"http://[{bare}]/" if ":" in bare else f"http://{bare}/")
        if url is not None and url.raw_host:
            found.add(url.raw_host)
    return frozenset(found)


def _why(error: Exception, *, left: bool) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, NotPublic | _CutOff):
        return str(error)
    if isinstance(error, aiohttp.InvalidURL):
        return "its URL is not a web address"
    if isinstance(error, aiohttp.ClientConnectorError):
        inner = error.os_error
        return str(inner) if isinstance(inner, NotPublic) else "no connection"
    if not left:
        return f"it could not be sent: {type(error).__name__}"
    return f"connection lost: {type(error).__name__}"


async def _read(response: aiohttp.ClientResponse) -> Response:
    """Return the response, truncated if it is too long. Raises _CutOff if the connection ended."""
    body = bytearray()
    try:
        whole = await read_into(body, response, most=LONGEST_ANSWER)
    except TimeoutError:
        raise
    except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
        raise _CutOff(f"the response ({response.status}) could not be read completely") from error
    return response_of(response, body, whole=whole)


def is_public(host: str) -> bool:
    """Return whether a host may be public: a public address, or a name to resolve.

    IPv4 addresses in unusual notation (`127.1`, `0x7f000001`) are not public.
    """
    try:
        return is_public_address(host.strip("[]"))
    except ValueError:
        name = host.rstrip(".").lower()
        last = name.rpartition(".")[2]
        is_number = last.isdigit() or last.startswith("0x")
        is_odd = not name or any(sign in name for sign in "%:")
        return not (is_number or is_odd or last == "localhost")


def is_public_address(address: str) -> bool:
    """Return whether an address is globally reachable. Raises ValueError for an invalid one."""
    plain, zone, _ = address.partition("%")
    found = ip_address(plain)
    if zone:
        return False
    return _four(found) if isinstance(found, IPv4Address) else _six(found)


def _four(address: IPv4Address) -> bool:
    return not any(address in network for network in NOT_PUBLIC)


def _six(address: IPv6Address) -> bool:
    for network, below in _CARRIES:
        if address in network:
            return _four(IPv4Address(int(address) >> below & _LOW))
    if address not in _GLOBAL or any(address in network for network in NOT_PUBLIC_6):
        return False
    if int(address) >> 32 & _LOW in _ISATAP:
        return _four(IPv4Address(int(address) & _LOW))
    return True
