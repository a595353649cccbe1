"""Find the client's IP address behind trusted proxies (X-Forwarded-For)."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import urlsplit

import msgspec
from starlette.types import Scope

from twite.domain.loopback import is_from_here, is_loopback, is_passed_on

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address
_MOST_HOST: Final = 253


def client_address(peer: str, forwarded: Sequence[bytes], trusted: Iterable[Network]) -> str | None:
    """Return the address of the nearest hop that is not a trusted proxy.

    `peer` is the other end of the connection; `forwarded` has the values of X-Forwarded-For in the
    order in which they were received. The entries are read from right to left as long as each hop
    is in `trusted`, because a client can forge all entries further left. An entry that is not an
    address ends the search at the proxy that wrote it. None if `peer` is None.
    """
    here = _address(peer)
    if here is None:
        return None
    networks = tuple(trusted)
    if networks:
        for entry in reversed(b",".join(forwarded).split(b",")):
            if not _within(here, networks):
                break
            before = _address(entry.decode("latin-1").strip())
            if before is None:
                break
            here = before
    return str(here)


def address_of(scope: Scope, trusted: Iterable[Network]) -> str | None:
    """Return the client's address, as found by `client_address`, for an ASGI scope."""
    forwarded = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    return client_address(_peer(scope), forwarded, trusted)


def line_of(address: str | None) -> str:
    """Return a key for an Internet connection: an IPv4 address, or a /64 of IPv6.

    A household or a phone can use any address in its /64. "" for an unknown address.
    """
    read = _address(address or "")
    return str(int(read) >> 64) if isinstance(read, IPv6Address) else address or ""


def comes_from(scope: Scope, trusted: Iterable[Network]) -> bool:
    here = _address(_peer(scope))
    return here is not None and _within(here, trusted)


class Front(msgspec.Struct, frozen=True, kw_only=True):
    """Tells requests from this machine apart from requests through a proxy.

    `is_proxied` is whether the gateway is behind a proxy. nginx's `proxy_pass` sets no forwarding
    header, and uses the upstream's name as the host, so a request without a forwarding header may
    come from anyone. Only requests to `local_port`, which no proxy uses, certainly come from this
    machine.
    """

    trusted: tuple[Network, ...] = ()
    is_proxied: bool = False
    local_port: int | None = None

    def is_machine(self, scope: Scope) -> bool:
        """Return whether the request comes from this machine itself, without a proxy."""
        peer = _peer(scope)
        return is_from_here(peer, scope["headers"]) and not self._may_hide(scope, peer)

    def client(self, scope: Scope) -> str | None:
        """Return the client's address; None if a proxy does not forward it."""
        address = address_of(scope, self.trusted)
        peer = client_address(_peer(scope), [], ())
        hidden = is_passed_on(scope["headers"]) or (
            peer is not None and self._may_hide(scope, peer)
        )
        return None if hidden and address == peer else address

    def _may_hide(self, scope: Scope, peer: str) -> bool:
        """Return whether this request, without a forwarding header, may come from a proxy."""
        here = _address(peer)
        is_trusted = here is not None and _within(here, self.trusted)
        is_local = scope.get("server", ("", None))[1] == self.local_port is not None
        return self.is_proxied and (is_trusted or is_loopback(peer)) and not is_local


def host_of(address: str) -> str | None:
    """Return the host of an origin, a URL or a `Host` header, in lower case."""
    try:
        host = urlsplit(address if "//" in address else f"//{address}").hostname
    except ValueError:
        return None
    return host if host and len(host) <= _MOST_HOST and host.isascii() else None


def _peer(scope: Scope) -> str:
    return scope["client"][0] if scope.get("client") else ""


@lru_cache(maxsize=4_096)
def _address(text: str) -> Address | None:
    """Parse an address, with or without port and brackets; IPv4-mapped IPv6 becomes IPv4."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            address = IPv6Address(int(address))
        return address.ipv4_mapped or address
    return address


def _within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks if network.version == address.version)
