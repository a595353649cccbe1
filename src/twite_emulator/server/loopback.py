"""Whether a control request is from this machine, and not through a proxy."""

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final

_OF_PROXIES: Final = (b"forwarded", b"via", b"x-forwarded", b"x-real-ip")


def is_from_here(peer: str, headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return whether this machine sent a request: over loopback, no proxy, its own name as Host.

    The name check stops pages in a local browser that use DNS rebinding.
    """
    pairs = list(headers)
    hosts = [value.decode("latin-1") for name, value in pairs if name == b"host"]
    return (
        _is_loopback(peer)
        and not any(name.startswith(_OF_PROXIES) for name, _ in pairs)
        and len(hosts) == 1
        and _is_own_name(hosts[0])
    )


def _is_own_name(host: str) -> bool:
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return name.lower() == "localhost" or _is_loopback(name)


def _is_loopback(address: str) -> bool:
    try:
        read = ip_address(address)
    except ValueError:
        return False
    mapped = read.ipv4_mapped if read.version == 6 else None
    return (mapped or read).is_loopback
