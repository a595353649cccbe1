import ipaddress
import re
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twite.domain import normalize
from twite.domain.fault import Fault, fault
from twite.domain.normalize import ip_address, is_private_address, user_agent


def ip(text):
    read = ip_address(text, path="ip")
    return read.code if isinstance(read, Fault) else read


def agent(text):
    read = user_agent(text, path="user_agent")
    return read.code if isinstance(read, Fault) else read


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("203.0.113.7", "203.0.113.7"),
        (" 203.0.113.7\n", "203.0.113.7"),
        ("192.0.2.1", "192.0.2.1"),
        ("198.51.100.255", "198.51.100.255"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("2001:db8:0:0:0:0:0:1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2a02:8108:8ac0:4af0:1:2:3:4", "2a02:8108:8ac0:4af0:1:2:3:4"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("::FFFF:cb00:7107", "203.0.113.7"),
    ],
)
def test_ip_address_is_normalized(text, address):
    assert ip(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.1", "172.16.0.1", "192.168.1.1", "127.0.0.1", "169.254.169.254", "100.64.0.1",
        "0.0.0.1", "255.255.255.255", "224.0.0.1", "::", "::1", "fe80::1", "fd00::1", "ff02::1",
        "::ffff:10.0.0.1", "::ffff:127.0.0.1",
    ],
)  # fmt: skip
def test_private_ip_address_is_refused(text):
    assert ip_address(text, path="ip") == fault("ip", "ip_private")
    assert is_private_address(text)


@pytest.mark.parametrize(
    "text", ["203.0.113.7", "2001:db8::1", "unknown", "", "10.0.0.1".rjust(65)]
)
def test_text_that_is_not_an_ip_address_is_not_private(text):
    assert not is_private_address(text)
    assert is_private_address("10.0.0.1".rjust(64))


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "null", "unknown", "203.0.113", "203.0.113.256", "203.0.113.7.1", "0313.0.0161.7",
        "203.000.113.007", "0xcb.0.0x71.7", "3405803783", "203.0.113.7:443",
        "203.0.113.7, 192.0.2.1",
        "203.0.113.0/24", "fe80::1%eth0", "2001:db8::1%1", "2001:db8:::1", "\u0661.1.1.1", "1" * 65,
        "203.0.113.7\x00",
    ],
)  # fmt: skip
def test_invalid_ip_address_has_an_error_code(text):
    assert ip(text) == "ip_unusable"


@pytest.mark.parametrize(("length", "address"), [(64, "203.0.113.7"), (65, "ip_unusable")])
def test_ip_address_has_at_most_64_characters(length, address):
    assert ip("203.0.113.7".rjust(length)) == address


def test_user_agent_is_trimmed_and_otherwise_unchanged():
    assert agent("  Mozilla/5.0 (X11; Ünïcode\u00a0) ") == "Mozilla/5.0 (X11; Ünïcode\u00a0)"


@pytest.mark.parametrize(
    "text",
    [
        "", "  ", "null", "Unknown", "(not set)", "-", "a\r\nX-Evil: 1", "a\tb", "a\x00b", "a\x7fb",
        "a\x85b", "x" * 2_049, "x" * 65_536,
    ],
)  # fmt: skip
def test_invalid_user_agent_has_an_error_code(text):
    assert agent(text) == "user_agent_unusable"


@pytest.mark.parametrize("length", [1, 2_048])
def test_shortest_and_longest_user_agent_are_accepted(length):
    assert agent("x" * length) == "x" * length


@given(st.text(max_size=100))
def test_any_text_is_an_ip_address_or_has_an_error_code(text):
    assert isinstance(ip(text), str)


@given(st.ip_addresses())
def test_normalized_ip_address_is_not_changed_again(address):
    once = ip(str(address))

    assert once.startswith("ip_") or ip(once) == once


@given(
    st.ip_addresses(v=4).map(str) | st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){3}", fullmatch=True)
)
def test_ipv4_address_is_read_like_the_library_reads_it(text):
    with patch.object(normalize, "_PUBLIC_FIRST", frozenset()):
        thorough = ip(text)

    assert ip(text) == thorough


GROUPS = st.sampled_from(["0", "00", "1", "7f", "0a", "A", "2001", "fe80"])


@given(
    st.builds(
        lambda first, others: ":".join([first, *others]),
        st.sampled_from(["2a02", "3fff", "fe80", "1", "2A02"]),
        st.lists(GROUPS, min_size=6, max_size=8),
    )
)
def test_ipv6_address_of_eight_groups_is_read_like_the_library_reads_it(text):
    with patch.object(normalize, "_GLOBAL_IPV6", re.compile("(?!)")):
        thorough = ip(text)

    assert ip(text) == thorough


@given(st.ip_addresses(v=6, network="2000::/3").map(str))
def test_global_ipv6_address_is_read_like_the_library_reads_it(text):
    assert ip(text) == str(ipaddress.ip_address(text))
