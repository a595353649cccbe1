"""Tell public hosts and IP addresses from private ones (SSRF protection).

The networks are those of RFC 6890's registries that are not globally reachable, listed here because
Python's own list differs between versions. An IPv6 address that embeds an IPv4 address is judged by
that one, too: a gateway on the way would extract it and connect to it.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

NOT_PUBLIC: Final = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this host
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # shared by a carrier's customers; clouds serve metadata here
            "127.0.0.0/8",  # loopback
            "168.63.129.16/32",  # Azure's host, beside each of its machines
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
# All that is assigned for the internet (RFC 4291), except these.
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
# The position of the embedded IPv4 address: how many bits are below it.
_CARRIES: Final = (
    (IPv6Network("::ffff:0:0/96"), 0),  # IPv4-mapped
    (IPv6Network("64:ff9b::/96"), 0),  # NAT64 (RFC 6052)
    (IPv6Network("2002::/16"), 80),  # 6to4 (RFC 3056)
)
_ISATAP: Final = frozenset({0x5EFE, 0x0200_5EFE})  # RFC 5214, the upper half of the interface
_LOW: Final = (1 << 32) - 1


def is_public(host: str) -> bool:
    """Return whether a host may be public: a public address, or a name to resolve.

    An IPv4 address in any spelling but the usual one (`127.1`, `0x7f000001`) is not.
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
