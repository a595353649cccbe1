"""Requests on unknown paths and on tag routes, with client templates configured."""

import gzip
from collections.abc import Awaitable, Callable
from ipaddress import ip_network

import pytest
from claiming_clients import CLAIMED, FakeClients, serving
from http_stage import Stage
from tag_stage import CLICK, TagStage, stage_arguments

from twite.domain.errors import ClientFailed, LedgerUnavailable, TemplatePaused, TemplatesBusy
from twite.gateway.ports.events import ProblemSeen
from twite.http import HttpLimits
from twite.tags.template.response import ClientResponse

Staged = Callable[..., Awaitable[Stage]]


async def test_response_of_a_client_template_is_sent(staged: Staged):
    stage = await staged(**serving(FakeClients(CLAIMED)))

    said = await stage.say(b"GET /in HTTP/1.1\r\nHost: t.shop.example\r\nConnection: close\r\n\r\n")

    head, _, body = said.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 201 Created"
    assert [line for line in lines if line.startswith(b"set-cookie")] == [
        b"set-cookie: a=1; Path=/",
        b"set-cookie: b=2; Path=/",
    ]
    assert b"x-a: \xc3\xa4" in lines
    assert b"content-length: 5" in lines
    assert body == b"taken"


async def test_client_template_gets_the_whole_request(staged: Staged):
    clients = FakeClients(CLAIMED)
    stage = await staged(**serving(clients))

    await stage.ask("PUT", "/some/path?a=1&b=%20", b"\xc3\xa4", key=None, headers={"X-One": "1"})

    [asked] = clients.asked
    assert (asked.method, asked.path, asked.query) == ("PUT", "/some/path", "a=1&b=%20")
    assert (asked.body, asked.remote_address) == ("ä", "127.0.0.1")
    assert dict(asked.headers)["x-one"] == "1"


@pytest.mark.parametrize("names", [(), ("x-gtm-identifier",)])
async def test_client_template_can_read_headers_of_the_proxy(
    staged: Staged, names: tuple[str, ...]
):
    clients = FakeClients(CLAIMED)
    stage = await staged(
        **serving(clients), trusted_proxies=(ip_network("127.0.0.1/32"),), container_headers=names
    )
    sent = {"X-Gtm-Identifier": "evil", "X-Gtm-Server-Preview": "evil"}

    await stage.ask("GET", "/in", key=None, headers=sent)

    [asked] = clients.asked
    assert tuple(name for name, _ in asked.headers if name.startswith("x-gtm-")) == names


async def test_client_template_gets_an_inflated_body_or_none(staged: Staged):
    clients = FakeClients(CLAIMED)
    stage = await staged(**serving(clients))

    await stage.ask("POST", "/in", gzip.compress(b"{}"), headers={"Content-Encoding": "gzip"})
    await stage.ask("GET", "/in")
    await stage.ask("POST", "/in")

    assert [request.body for request in clients.asked] == ["{}", None, None]


async def test_request_that_no_client_template_claims_is_404(staged: Staged):
    with_clients = await staged(**serving(FakeClients()))
    without = await staged()

    reply = [await stage.ask("POST", "/nowhere", b"x") for stage in (with_clients, without)]

    assert [response.status for response in reply] == [404, 404]
    assert reply[0].json() == reply[1].json()


@pytest.mark.parametrize(
    "path",
    [
        "/v1/conversions",
        "/v1/conversions/o8z6j/order-1",
        "/v1/accounting",
        "/v1/sgtm",
        "/12/measurement/conversions/o8z6j",
        "/stape-api/key/v1/twitter/auth-proxy",
        "/t",
        "/twite.js",
        "/console",
        "/console/sign-in",
        "/-/control",
        "/healthz",
        "/readyz",
        "/metrics",
    ],
)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_client_templates_are_not_asked_about_built_in_routes(
    staged: Staged, method: str, path: str
):
    clients = FakeClients(CLAIMED)
    stage = await staged(**serving(clients))

    await stage.ask(method, path)

    assert clients.asked == []


async def test_client_template_can_claim_a_tag_endpoint(staged: Staged):
    stage = await staged(**serving(FakeClients(CLAIMED)))

    reply = await stage.ask("POST", "/data?v=2&event=purchase", b"{}")

    assert (reply.status, reply.body) == (201, b"taken")


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_unclaimed_tag_request_is_read_by_its_route(staged: Staged, encoding: str):
    clients = FakeClients()
    needs, store = stage_arguments()
    api = TagStage(await staged(**needs, **serving(clients)), store)
    body = f'{{"event_name": "purchase", "transaction_id": "T-1", "twclid": "{CLICK}"}}'.encode()
    sent = gzip.compress(body) if encoding == "gzip" else body

    reply = await api.of_page("POST", "/data?v=2", sent, headers={"Content-Encoding": encoding})

    assert reply.status == 200
    assert [conversion["conversion_id"] for conversion in await api.sent()] == ["T-1"]
    assert [request.body for request in clients.asked] == [body.decode()]


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (ClientFailed(client="one"), 502, "client_failed"),
        (ClientFailed(client="one", late=True), 504, "client_late"),
        (TemplatesBusy(reason="full", retry_after=2), 429, "too_busy"),
        (TemplatePaused(template="one", retry_after=5), 503, "template_paused"),
        (LedgerUnavailable(reason="no disk", retry_after=5), 503, "ledger_unavailable"),
    ],
)
async def test_failure_of_a_client_template_is_reported_in_the_response(
    staged: Staged, fault, status, code
):
    stage = await staged(**serving(FakeClients(fault)))

    reply = await stage.ask("POST", "/in", b"{}")

    assert (reply.status, reply.json()["errors"][0]["code"]) == (status, code)


async def test_internal_error_is_reported_without_the_requested_path(staged: Staged):
    stage = await staged(**serving(FakeClients(RuntimeError("ouch"))))

    reply = await stage.ask("GET", "/shopper@example.com")

    assert reply.status == 500
    [reported] = [notice for notice in stage.notices.seen if isinstance(notice, ProblemSeen)]
    assert reported.where == "a client's route"


async def test_body_over_the_limit_is_413_before_a_client_template_is_asked(staged: Staged):
    clients = FakeClients(CLAIMED)
    stage = await staged(**serving(clients), limits=HttpLimits(body=1_000))

    reply = await stage.ask("POST", "/in", b"x" * 1_001)

    assert reply.status == 413
    assert clients.asked == []


async def test_requests_to_client_templates_are_rate_limited_by_address(staged: Staged):
    stage = await staged(**serving(FakeClients(CLAIMED)), browser_rate=2)

    reply = [await stage.ask("GET", "/in") for _ in range(3)]

    assert [response.status for response in reply] == [201, 201, 429]
    assert reply[2].json()["errors"][0]["code"] == "too_fast"


async def test_response_with_status_204_has_no_body(staged: Staged):
    stage = await staged(**serving(FakeClients(ClientResponse(status=204, body=b"x"))))

    reply = await stage.ask("GET", "/in")

    assert (reply.status, reply.body) == (204, b"")


async def test_page_of_a_client_template_is_sandboxed(staged: Staged):
    own = (("content-type", "text/html"), ("content-security-policy", "default-src *"))
    stage = await staged(**serving(FakeClients(ClientResponse(headers=own, body=b"<p>"))))

    said = await stage.say(b"GET /in HTTP/1.1\r\nHost: t.shop.example\r\nConnection: close\r\n\r\n")

    lines = said.partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert b"content-security-policy: sandbox" in lines
    assert b"x-content-type-options: nosniff" in lines


COOKIES = "a=1; twite=secret; __Host-twite=secret; _twite=1.2.x; twite-visitor=secret; b=2"


@pytest.mark.parametrize("path", ["/elsewhere", "/g/collect?v=2"])
async def test_client_template_cannot_read_the_cookies_of_the_console(staged: Staged, path: str):
    clients = FakeClients(CLAIMED)
    stage = await staged(**serving(clients))

    await stage.ask("GET", path, key=None, headers={"Cookie": COOKIES})
    await stage.ask("GET", path, key=None, headers={"Cookie": "__Host-twite-visitor=secret"})

    mixed, only = clients.asked
    assert dict(mixed.headers)["cookie"] == "a=1; _twite=1.2.x; b=2"
    assert "cookie" not in dict(only.headers)


async def test_client_templates_do_not_run_on_the_host_of_the_console(staged: Staged):
    clients = FakeClients(CLAIMED)
    stage = await staged(
        **serving(clients),
        public_url="https://t.shop.example",
        console_url="https://console.shop.example",
    )

    statuses = [
        (await stage.ask("GET", "/promo", key=None, headers={"Host": host})).status
        for host in ("console.shop.example", "CONSOLE.shop.example:443", "t.shop.example")
    ]

    assert (statuses, len(clients.asked)) == ([404, 404, 201], 1)
