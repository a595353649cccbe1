"""Loopback check: whether a request comes from this machine, and not through a proxy.

The console, `/metrics` and the emulator's control plane use it.
"""

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final

# Headers that proxies set. [RFC 7239; RFC 9110 7.6.3; RFC 8586; nginx, HAProxy, Apache, Envoy,
# IIS, Varnish and CDNs]
OF_PROXIES: Final = frozenset(
    {
        b"cdn-loop",
        b"client-ip",
        b"do-connecting-ip",
        b"fastly-client-ip",
        b"fly-client-ip",
        b"forwarded",
        b"front-end-https",
        b"proxy-client-ip",
        b"true-client-ip",
        b"via",
        b"wl-proxy-client-ip",
        b"x-appengine-user-ip",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"x-nginx-proxy",
        b"x-proxyuser-ip",
        b"x-real-ip",
        b"x-real-port",
        b"x-remote-addr",
        b"x-remote-ip",
        b"x-scheme",
        b"x-varnish",
    }
)
# Prefixes of further headers.
OF_PROXIES_BEGIN: Final = (b"cf-", b"x-azure-", b"x-envoy-", b"x-forwarded", b"x-original-")

Headers = Iterable[tuple[bytes, bytes]]


def is_passed_on(headers: Headers) -> bool:
    """Return whether a proxy set one of the headers (lower-case names)."""
    return any(name in OF_PROXIES or name.startswith(OF_PROXIES_BEGIN) for name, _ in headers)


def is_own_name(host: str) -> bool:
    """Return whether a Host header names this machine."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return name.lower() == "localhost" or is_loopback(name)


def is_loopback(address: str) -> bool:
    try:
        read = ip_address(address)
    except ValueError:
        return False
    mapped = read.ipv4_mapped if read.version == 6 else None
    return (mapped or read).is_loopback


def is_from_here(peer: str, headers: Headers) -> bool:
    """Return whether this machine sent a request: over loopback, no proxy, its own name as Host.

    The name check stops pages in a local browser that use DNS rebinding.
    """
    pairs = list(headers)
    hosts = [value for name, value in pairs if name == b"host"]
    return (
        is_loopback(peer)
        and not is_passed_on(pairs)
        and len(hosts) == 1
        and is_own_name(hosts[0].decode("latin-1"))
    )
