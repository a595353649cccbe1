from ipaddress import ip_network

import pytest

from twite.http.addresses import client_address, line_of

PROXIES = [ip_network("192.0.2.0/24"), ip_network("2001:db8:1::/48")]


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        # Without a proxy, the client's own headers are not trusted.
        ("203.0.113.7", [], "203.0.113.7"),
        ("203.0.113.7", [b"198.51.100.1"], "203.0.113.7"),
        # One proxy, and the address that it saw.
        ("192.0.2.1", [b"203.0.113.7"], "203.0.113.7"),
        ("192.0.2.1", [b" 203.0.113.7 "], "203.0.113.7"),
        ("2001:db8:1::1", [b"2001:db8:2::7"], "2001:db8:2::7"),
        # The left-most entry was made up by the client.
        ("192.0.2.1", [b"198.51.100.1, 203.0.113.7"], "203.0.113.7"),
        ("192.0.2.1", [b"198.51.100.1", b"203.0.113.7"], "203.0.113.7"),
        ("192.0.2.1", [b"127.0.0.1, 203.0.113.7"], "203.0.113.7"),
        # Two proxies.
        ("192.0.2.1", [b"203.0.113.7, 192.0.2.2"], "203.0.113.7"),
        ("192.0.2.1", [b"198.51.100.1, 203.0.113.7, 192.0.2.2"], "203.0.113.7"),
        ("192.0.2.1", [b"203.0.113.7", b"2001:db8:1::2"], "203.0.113.7"),
        # Nothing but proxies.
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", [b"192.0.2.3, 192.0.2.2"], "192.0.2.3"),
        # Ports, brackets, IPv4 inside IPv6, zones.
        ("192.0.2.1", [b"203.0.113.7:4711"], "203.0.113.7"),
        ("192.0.2.1", [b"[2001:db8:2::7]:4711"], "2001:db8:2::7"),
        ("192.0.2.1", [b"[2001:db8:2::7]"], "2001:db8:2::7"),
        ("::ffff:192.0.2.1", [b"::ffff:203.0.113.7"], "203.0.113.7"),
        ("192.0.2.1", [b"fe80::1%eth0"], "fe80::1"),
        # At an entry that is not an address, the search stops at the proxy that wrote it.
        ("192.0.2.1", [b"203.0.113.7, unknown"], "192.0.2.1"),
        ("192.0.2.1", [b"203.0.113.7, "], "192.0.2.1"),
        ("192.0.2.1", [b""], "192.0.2.1"),
        ("192.0.2.1", [b"203.0.113.7,\xff\xfe"], "192.0.2.1"),
        ("192.0.2.1", [b"203.0.113.007"], "192.0.2.1"),
        ("192.0.2.1", [b"[203.0.113.7"], "203.0.113.7"),
        # A connection without an address.
        ("", [b"203.0.113.7"], None),
        ("unix", [], None),
    ],
)
def test_client_address_is_the_last_one_before_the_trusted_proxies(peer, forwarded, address):
    assert client_address(peer, forwarded, PROXIES) == address


def test_forwarded_header_is_ignored_without_trusted_proxies():
    assert client_address("127.0.0.1", [b"203.0.113.7"], []) == "127.0.0.1"


def test_ipv6_clients_are_counted_by_their_64_bit_prefix():
    assert line_of("2001:db8:0:1::1") == line_of("2001:db8:0:1:ffff::2")
    assert line_of("2001:db8:0:1::1") != line_of("2001:db8:0:2::1")
    assert line_of("203.0.113.7") != line_of("203.0.113.8")
    assert line_of(None) == line_of("") == ""
