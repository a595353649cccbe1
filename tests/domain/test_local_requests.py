"""Whether a request comes from this machine."""

import pytest

from twite.domain.loopback import is_from_here, is_loopback, is_own_name, is_passed_on

OWN = (b"host", b"localhost:8080")


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("203.0.113.7", False),
        ("::ffff:203.0.113.7", False),
        ("2001:db8::1", False),
        ("localhost", False),
        ("", False),
    ],
)
def test_loopback_addresses_are_those_of_this_machine(address, loopback):
    assert is_loopback(address) is loopback


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("localhost", True),
        ("LocalHost:8080", True),
        ("127.0.0.1:8080", True),
        ("127.8.9.10", True),
        ("[::1]:8080", True),
        ("[::1]", True),
        ("[::ffff:127.0.0.1]:8080", True),
        ("", False),
        ("t.shop.example", False),
        ("localhost.shop.example", False),
        ("127.0.0.1.shop.example", False),
        ("10.0.0.1", False),
        ("[::1", True),
        ("::1", False),
    ],
)
def test_localhost_and_loopback_addresses_are_names_of_this_machine(host, own):
    assert is_own_name(host) is own


@pytest.mark.parametrize(
    "name",
    [
        "Forwarded",
        "Via",
        "CDN-Loop",
        "X-Real-IP",
        "X-Client-IP",
        "X-Cluster-Client-IP",
        "True-Client-IP",
        "Fastly-Client-IP",
        "Fly-Client-IP",
        "DO-Connecting-IP",
        "CF-Connecting-IP",
        "CF-Ray",
        "X-Azure-ClientIP",
        "X-Appengine-User-IP",
        "X-Envoy-External-Address",
        "X-Original-Forwarded-For",
        "X-Original-Host",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Forwarded-Port",
        "X-Forwarded-Server",
        "X-Forwarded-By",
        "X-Forwarded-Prefix",
        "X-Forwarded-Ssl",
        "X-Forwarded-Scheme",
        "X-Forwarded",
        "X-Scheme",
        "X-Varnish",
        "Front-End-Https",
        "Proxy-Client-IP",
        "WL-Proxy-Client-IP",
    ],
)
def test_proxy_header_marks_a_request_as_forwarded(name):
    headers = [OWN, (name.lower().encode(), b"anything")]

    assert is_passed_on(headers)
    assert not is_from_here("127.0.0.1", headers)


def test_ordinary_header_does_not_mark_a_request_as_forwarded():
    names = (
        b"host user-agent accept accept-encoding accept-language authorization connection cookie "
        b"origin referer sec-fetch-site sec-ch-ua upgrade-insecure-requests cache-control "
        b"x-prometheus-scrape-timeout-seconds traceparent x-request-id x-requested-with dnt"
    )

    assert not is_passed_on([(name, b"") for name in names.split()])


@pytest.mark.parametrize(
    ("peer", "headers", "here"),
    [
        ("127.0.0.1", [OWN], True),
        ("::1", [(b"host", b"[::1]:8080")], True),
        ("203.0.113.7", [OWN], False),
        ("", [OWN], False),
        ("127.0.0.1", [], False),
        ("127.0.0.1", [(b"host", b"t.shop.example")], False),
        ("127.0.0.1", [OWN, (b"host", b"t.shop.example")], False),
        ("127.0.0.1", [(b"host", b"t.shop.example"), OWN], False),
    ],
)
def test_local_request_comes_from_loopback_and_names_this_machine(peer, headers, here):
    assert is_from_here(peer, headers) is here
