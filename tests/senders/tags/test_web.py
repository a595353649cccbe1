"""Requests of templates: only public addresses, no redirects, limited responses."""

import asyncio
import socket
from contextlib import closing
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver
from threaded_x import ACCEPTED, ThreadedX, block_until_the_timeout
from yarl import URL

from twite.gateway.ports.ownership import LEASE_IS_OVER
from twite.gateway.ports.transport import NoResponse, Response
from twite.tags.ports.web import WebRequest
from twite.tags.runtime.public_web import LONGEST_ANSWER, PublicWeb, is_public

HERE = frozenset({"127.0.0.1"})
HOSTS = [
    tuple(line.split()[:2])
    for line in Path(__file__).with_name("hosts.txt").read_text("utf-8").splitlines()
    if not line.startswith("#")
]


class Names(AbstractResolver):
    """A resolver that returns the same address for every name."""

    def __init__(self, address: str) -> None:
        self._address = address
        self.asked = 0

    async def resolve(self, host, port=0, family=socket.AF_INET):
        self.asked += 1
        family = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        return [
            {"hostname": host, "host": self._address, "port": port, "family": family,
             "proto": 0, "flags": socket.AI_NUMERICHOST}
        ]  # fmt: skip

    async def close(self):
        """There is nothing to close."""


@pytest.fixture
async def served():
    async def long(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * (LONGEST_ANSWER + 10))

    async def moved(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"location": "/long"})

    async def repeated(_: web.Request) -> web.Response:
        headers = [("Set-Cookie", "a=1, b"), ("X-A", "1"), ("set-cookie", "c=2"), ("x-a", "2")]
        return web.Response(headers=headers)

    async def never(_: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-length": "100"})
        await response.prepare(request)
        await response.write(b"abc")
        await asyncio.sleep(30)
        return response

    application = web.Application()
    application.add_routes(
        [
            web.get("/long", long),
            web.get("/moved", moved),
            web.get("/repeated", repeated),
            web.get("/never", never),
            web.get("/half", half),
        ]
    )
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def outbound():
    out = PublicWeb()
    yield out
    await out.stop()


def with_body(url: str, **said) -> WebRequest:
    return WebRequest(url=url, method="POST", body=b"{}", timeout=2_000, allow_hosts=HERE, **said)


def request_to(url: str, *, allow_hosts: frozenset[str] = HERE, timeout: int = 2_000) -> WebRequest:
    return WebRequest(url=url, method="GET", timeout=timeout, allow_hosts=allow_hosts)


def test_ip_addresses_are_public_as_in_the_table():
    for verdict, host in HOSTS:
        # The address of the connection is checked, not an earlier lookup.
        try:
            connected = URL(f"http://{host}/").raw_host or ""
        except ValueError:
            connected = ""
        assert is_public(connected) is (verdict == "taken"), host


@pytest.mark.parametrize("host", [host for verdict, host in HOSTS if verdict == "refused"])
async def test_request_to_a_forbidden_host_is_refused_before_it_is_sent(host, served, outbound):
    port = served.rpartition(":")[2]

    came = await outbound.ask(request_to(f"http://{host}:{port}/moved", allow_hosts=frozenset()))

    assert isinstance(came, NoResponse)
    assert not came.left
    assert "public address" in came.reason or "not a web address" in came.reason


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "64:ff9b::7f00:1", "2002:7f00:1::", "fe80::1%lo", "10.0.0.1"]
)
async def test_host_name_with_a_private_ip_address_is_not_connected(address, served):
    out = PublicWeb(names=Names(address))
    port = served.rpartition(":")[2]

    came = await out.ask(
        request_to(f"http://rebound.example:{port}/moved", allow_hosts=frozenset())
    )
    await out.stop()

    assert came == NoResponse(reason="rebound.example has no public address", left=False)


async def test_host_name_that_changes_its_ip_address_is_checked_again(served):
    # The name resolves to a local address: only the first request, whose host is allowed, is sent.
    names = Names("127.0.0.1")
    out = PublicWeb(names=names)
    address = f"http://rebound.example:{served.rpartition(':')[2]}/moved"

    allowed = await out.ask(request_to(address, allow_hosts=frozenset({"rebound.example"})))
    refused = await out.ask(request_to(address, allow_hosts=frozenset()))
    await out.stop()

    assert isinstance(allowed, Response)
    assert refused == NoResponse(reason="rebound.example has no public address", left=False)
    assert names.asked == 2


@pytest.mark.parametrize("allowed", ["127.0.0.1", "\uff11\uff12\uff17.0.0.1"])
async def test_allowed_host_can_have_any_spelling(allowed, served, outbound):
    came = await outbound.ask(request_to(f"{served}/moved", allow_hosts=frozenset({allowed})))

    assert isinstance(came, Response)


@pytest.mark.parametrize(
    "url", ["ftp://crm.example/", "//crm.example/", "https:///x", "https://a\\@crm.example/", ""]
)
async def test_invalid_url_is_reported(url, outbound):
    came = await outbound.ask(request_to(url))

    assert came == NoResponse(reason="its URL is not a web address", left=False)


async def test_connection_of_one_tag_is_not_used_by_another(served, outbound):
    allowed = await outbound.ask(request_to(f"{served}/moved"))
    refused = await outbound.ask(request_to(f"{served}/moved", allow_hosts=frozenset()))

    assert isinstance(allowed, Response)
    assert refused == NoResponse(reason="127.0.0.1 is not a public address", left=False)


async def test_redirect_is_returned_as_a_response(served, outbound):
    came = await outbound.ask(request_to(f"{served}/moved"))

    assert isinstance(came, Response)
    assert (came.status, came.headers["location"]) == (302, "/long")


async def test_repeated_headers_are_joined_but_cookies_stay_separate(served, outbound):
    came = await outbound.ask(request_to(f"{served}/repeated"))

    assert isinstance(came, Response)
    assert (came.headers["x-a"], came.cookies) == ("1, 2", ("a=1, b", "c=2"))
    assert "set-cookie" not in came.headers


async def test_endless_response_is_truncated(served, outbound):
    came = await outbound.ask(request_to(f"{served}/long"))

    assert isinstance(came, Response)
    assert (len(came.body), came.whole) == (LONGEST_ANSWER, False)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc",
    ],
    ids=["length", "chunks", "no gzip"],
)
async def test_truncated_response_is_a_failure_and_ambiguous(answer, outbound):
    async def half(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(half, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        came = await outbound.ask(request_to(f"http://127.0.0.1:{port}/in"))

    assert came == NoResponse(reason="the response (200) could not be read completely", left=True)


async def test_response_that_stalls_times_out(served, outbound):
    came = await outbound.ask(request_to(f"{served}/half", timeout=300))

    assert came == NoResponse(reason="no answer in time", left=True, is_late=True)


async def test_timeout_of_a_request_is_ambiguous(served, outbound):
    came = await outbound.ask(request_to(f"{served}/never", timeout=200))

    assert came == NoResponse(reason="no answer in time", left=True, is_late=True)


async def test_request_whose_name_lookup_timed_out_was_not_sent():
    class Slow(Names):
        async def resolve(self, *_asked, **_more):
            await asyncio.sleep(30)

    out = PublicWeb(names=Slow("127.0.0.1"))

    came = await out.ask(request_to("http://slow.example/in", timeout=200))
    await out.stop()

    assert came == NoResponse(reason="no answer in time", left=False, is_late=True)


async def test_request_that_cannot_be_encoded_was_not_sent(served, outbound):
    odd = WebRequest(url=f"{served}/moved", method="G T", timeout=2_000, allow_hosts=HERE)

    came = await outbound.ask(odd)

    assert came == NoResponse(reason="it could not be sent: ValueError", left=False)


async def test_connection_closed_without_a_response_is_ambiguous(outbound):
    async def mute(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        came = await outbound.ask(request_to(f"http://127.0.0.1:{port}/in"))

    assert came == NoResponse(reason="connection lost: ServerDisconnectedError", left=True)


async def test_request_whose_connection_timed_out_was_not_sent(outbound):
    with closing(socket.socket()) as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        there = full.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for socket_ in waiting:
            socket_.settimeout(0)
            socket_.connect_ex(there)
        came = await outbound.ask(request_to(f"http://127.0.0.1:{there[1]}/in", timeout=400))
        for socket_ in waiting:
            socket_.close()

    assert came == NoResponse(reason="no answer in time", left=False, is_late=True)


@pytest.mark.parametrize(
    "checks",
    [
        pytest.param([False], id="while it connects"),
        pytest.param([True, False], id="between the headers and the first byte"),
    ],
)
async def test_request_of_a_template_whose_lease_ends_before_its_first_byte_was_not_sent(checks):
    received = asyncio.get_running_loop().create_future()

    async def serve(reader, writer):
        received.set_result(await reader.read())
        writer.close()

    left, out = iter(checks), PublicWeb()
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        response = await out.ask(with_body(f"http://{host}:{port}/", may_send=lambda: next(left)))
        await out.stop()

        assert response == NoResponse(reason=LEASE_IS_OVER, left=False)
        assert await received == b""  # it was connected


async def test_responses_to_templates_that_arrived_while_the_process_was_stopped_are_used():
    x, out = ThreadedX(4, parts=(ACCEPTED[:-2], ACCEPTED[-2:])), PublicWeb()
    asked = [asyncio.create_task(out.ask(with_body(x.url))) for _ in range(4)]

    await block_until_the_timeout(x)

    came = await asyncio.gather(*asked)
    x.close()
    await out.stop()
    assert [answer.status for answer in came] == [200] * 4


async def test_request_of_a_template_without_a_response_fails_soon_after_the_process_was_stopped():
    x, out = ThreadedX(1, parts=()), PublicWeb()
    asked = asyncio.create_task(out.ask(with_body(x.url)))

    await block_until_the_timeout(x)

    came = await asked
    x.close()
    await out.stop()
    assert came == NoResponse(reason="no answer in time", left=True, is_late=True)
