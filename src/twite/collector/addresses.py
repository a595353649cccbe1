"""Who is it that asks, when proxies stand in between?"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from starlette.types import Scope

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address


def client_address(peer: str, forwarded: Sequence[bytes], trusted: Iterable[Network]) -> str | None:
    """Return the address of the nearest hop that is not a trusted proxy.

    `peer` is the other end of the connection; `forwarded` are the values of X-Forwarded-For in the
    order of the request. They are walked from the right, and only as far as each address that
    vouches for the next is in `trusted`: what stands further left is the client's own invention. An
    entry that is no address ends the walk at the proxy that wrote it. None where `peer` is none.
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
    """Return the address of whoever sent a request, as `client_address` finds it."""
    peer = scope["client"][0] if scope.get("client") else ""
    forwarded = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    return client_address(peer, forwarded, trusted)


def _address(text: str) -> Address | None:
    """Read an address, with or without port and brackets; IPv4 inside IPv6 is IPv4."""
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
