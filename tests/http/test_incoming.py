"""Requests as templates see them: without source keys, and with container headers only from a
proxy.
"""

from ipaddress import ip_network

import pytest
from http_stage import KEY

from builders import a_source
from twite.http.authorization import SourceKeys
from twite.http.route import incoming_of
from twite.http.services import HttpSettings

CONTAINER = (b"x-gtm-identifier", b"mine")


def a_scope(query: bytes = b"", *headers: tuple[bytes, bytes], peer: str = "203.0.113.7"):
    return {
        "method": "GET",
        "path": "/data",
        "query_string": query,
        "headers": [(b"host", b"t.shop.example"), *headers],
        "client": (peer, 1),
    }


@pytest.mark.parametrize(
    "query",
    [
        f"a=1&api_secret={KEY}&b=2",
        f"a=1&api%5Fsecret={KEY.replace('-', '%2D')}&b=2",
        f"a=1&api_secret={KEY}&other={KEY}&b=2",
    ],
)
def test_source_key_is_removed_from_the_query(query):
    assert SourceKeys([a_source()]).removed(a_scope(query.encode()))["query_string"] == b"a=1&b=2"


@pytest.mark.parametrize(
    "header",
    [
        (b"authorization", f"Bearer {KEY}".encode()),
        (b"authorization", f"bearer  {KEY} ".encode()),
        (b"x-gtm-api-key", KEY.encode()),
    ],
)
def test_source_key_is_removed_from_the_headers(header):
    scope = SourceKeys([a_source()]).removed(a_scope(b"", header))

    assert scope["headers"] == [(b"host", b"t.shop.example")]


def test_keys_that_are_not_source_keys_are_unchanged():
    scope = a_scope(b"api_secret=of-another", (b"authorization", b"Bearer of-another"))

    assert SourceKeys([a_source()]).removed(scope) == scope


PROXY = ["127.0.0.1/32"]


@pytest.mark.parametrize(
    ("peer", "trusted", "set_by_proxy", "is_believed"),
    [
        ("203.0.113.7", [], [], False),
        ("127.0.0.1", [], ["x-gtm-identifier"], False),
        ("203.0.113.7", PROXY, ["x-gtm-identifier"], False),
        # Proxies pass on what visitors send, unless they are told to set or clear it.
        ("127.0.0.1", PROXY, [], False),
        ("127.0.0.1", PROXY, ["x-gtm-api-key"], False),
        ("127.0.0.1", PROXY, ["x-gtm-identifier"], True),
    ],
)
def test_container_headers_are_used_only_from_trusted_proxies(
    peer, trusted, set_by_proxy, is_believed
):
    request = incoming_of(
        a_scope(b"", CONTAINER, peer=peer),
        b"",
        HttpSettings(
            trusted_proxies=tuple(map(ip_network, trusted)), container_headers=tuple(set_by_proxy)
        ),
        address=None,
    )

    assert (("x-gtm-identifier", "mine") in request.headers) is is_believed
