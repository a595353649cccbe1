"""`GET /`, on a real socket."""

import json
from ipaddress import ip_network

import pytest
from http_stage import Stage

BROWSER = {"Accept": "text/html,application/xhtml+xml;q=0.9"}
LOOPBACK = (ip_network("127.0.0.0/8"),)


async def a_console(_scope, _receive, _send):
    """A console that only has to exist."""


@pytest.fixture
async def gateway(staged) -> Stage:
    return await staged(console=a_console, console_networks=LOOPBACK)


async def test_browser_that_may_use_the_console_is_redirected_to_it(gateway):
    answer = await gateway.ask("GET", "/", key=None, headers=BROWSER)

    assert (answer.status, answer.headers["location"]) == (303, "/console")
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "said", [{"console_networks": (ip_network("192.0.2.0/24"),)}, {"console": None}]
)
async def test_browser_that_may_not_use_the_console_gets_a_short_page(staged, said):
    gateway = await staged(**{"console": a_console, "console_networks": LOOPBACK} | said)

    answer = await gateway.ask("GET", "/", key=None, headers=BROWSER)

    assert answer.status == 200
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert b"/healthz" in answer.body
    assert b"console" not in answer.body


async def test_program_gets_json_with_the_health_check_and_the_routes(gateway):
    answer = await gateway.ask("GET", "/", key=None)

    assert (answer.status, json.loads(answer.body)) == (
        200,
        {
            "service": "Twite, a conversion gateway for X",
            "health": "/healthz",
            "routes": "/v1/openapi.json",
        },
    )
    assert (await gateway.ask("GET", "/healthz", key=None)).status == 200
    assert (await gateway.ask("GET", "/v1/openapi.json", key=None)).status == 200


@pytest.mark.parametrize("headers", [{}, BROWSER])
async def test_response_to_root_must_not_be_sniffed_for_its_type(gateway, headers):
    answer = await gateway.ask("GET", "/", key=None, headers=headers)

    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_head_response_to_root_has_no_body(gateway):
    answer = await gateway.ask("HEAD", "/", key=None)

    assert (answer.status, answer.body) == (200, b"")
