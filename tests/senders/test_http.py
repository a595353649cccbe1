"""The HTTP client for X, with misbehaving servers: which failures are ambiguous."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from threaded_x import ACCEPTED, ThreadedX, block_until_the_timeout

from twite.gateway.ports.ownership import LEASE_IS_OVER
from twite.gateway.ports.transport import NoResponse, OutboundRequest, Response
from twite.senders.http import HttpTransport


@contextlib.asynccontextmanager
async def fake_x(reply, *, read=True) -> AsyncIterator[str]:
    """Listen, read one complete request, and let `reply` do the rest."""

    handled = asyncio.Event()

    async def serve(reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            if read:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
            await reply(writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        handled.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}/12/measurement/conversions/o8z6j"
        await handled.wait()


async def posted(url, *, within=2_000):
    transport = HttpTransport(timeout=within)
    await transport.start()
    try:
        return await transport.post(
            OutboundRequest(url=url, headers={"X-Pixel-Token": "t"}, body=b"{}")
        )
    finally:
        await transport.stop()


def saying(data):
    async def reply(writer):
        writer.write(data)
        await writer.drain()

    return reply


async def test_names_of_response_headers_are_in_lower_case():
    data = b"HTTP/1.1 200 OK\r\nX-Rate-Limit-Reset: 7\r\nContent-Length: 2\r\n\r\n{}"
    async with fake_x(saying(data)) as url:
        came = await posted(url)

    assert came == Response(
        status=200, headers={"x-rate-limit-reset": "7", "content-length": "2"}, body=b"{}"
    )


async def test_request_on_a_refused_connection_was_not_sent():
    came = await posted("http://127.0.0.1:1/")

    assert came == NoResponse(reason="no connection: ClientConnectorError", left=False)


async def to_x(url, may_send):
    transport = HttpTransport(timeout=2_000)
    await transport.start()
    try:
        return await transport.post(
            OutboundRequest(url=url, headers={}, body=b"{}", may_send=may_send)
        )
    finally:
        await transport.stop()


@pytest.mark.parametrize(
    "checks",
    [
        pytest.param([False], id="while it connects"),
        pytest.param([True, False], id="between the headers and the first byte"),
    ],
)
async def test_request_whose_lease_ends_before_its_first_byte_was_not_sent(checks):
    received = asyncio.get_running_loop().create_future()

    async def serve(reader, writer):
        received.set_result(await reader.read())
        writer.close()

    left = iter(checks)
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        response = await to_x(f"http://{host}:{port}/", lambda: next(left))

        assert response == NoResponse(reason=LEASE_IS_OVER, left=False)
        assert await received == b""  # it was connected


async def test_request_to_an_unknown_host_name_was_not_sent():
    came = await posted("http://x.invalid/")

    assert isinstance(came, NoResponse)
    assert not came.left


async def test_server_without_tls_never_gets_the_request():
    async with fake_x(saying(b"220 mail.example ESMTP\r\n"), read=False) as url:
        came = await posted(url.replace("http://", "https://"))

    assert isinstance(came, NoResponse)
    assert not came.left


async def test_connection_closed_without_a_response_is_ambiguous():
    async with fake_x(saying(b"")) as url:
        came = await posted(url)

    assert came == NoResponse(reason="connection lost: ServerDisconnectedError", left=True)


async def test_timeout_of_a_request_is_ambiguous():
    async def silence(writer):
        await asyncio.sleep(1)

    async with fake_x(silence) as url:
        came = await posted(url, within=200)

    assert came == NoResponse(reason="no answer in time", left=True, is_late=True)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
    ],
    ids=["shorter than its length", "without its last chunk"],
)
async def test_truncated_response_is_marked_as_truncated(data):
    async with fake_x(saying(data)) as url:
        came = await posted(url)

    assert isinstance(came, Response)
    assert (came.status, came.body, came.whole) == (200, b"{}", False)


async def test_endless_response_is_truncated():
    async def endless(writer):
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(100):
            writer.write(b" " * 100_000)
            await writer.drain()

    async with fake_x(endless) as url:
        came = await posted(url)

    assert isinstance(came, Response)
    assert (len(came.body), came.whole) == (1024 * 1024, False)


async def test_redirect_is_not_followed_with_credentials():
    data = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    async with fake_x(saying(data)) as url:
        came = await posted(url)

    assert isinstance(came, Response)
    assert came.status == 302


async def test_response_that_is_not_http_is_ambiguous():
    async with fake_x(saying(b"\x00\x01\x02nonsense\r\n\r\n")) as url:
        came = await posted(url)

    assert isinstance(came, NoResponse)
    assert came.left


def test_repr_of_a_request_hides_credentials():
    outbound = OutboundRequest(
        url="https://x.example/", headers={"X-Pixel-Token": "secret"}, body=b"person"
    )

    assert "secret" not in repr(outbound)
    assert "person" not in repr(outbound)


async def test_responses_that_arrived_while_the_process_was_stopped_are_used():
    x = ThreadedX(4, parts=(ACCEPTED[:-2], ACCEPTED[-2:]))
    asked = [asyncio.create_task(to_x(x.url, lambda: True)) for _ in range(4)]

    await block_until_the_timeout(x)

    came = await asyncio.gather(*asked)
    x.close()
    assert [answer.status for answer in came] == [200] * 4


async def test_request_without_a_response_fails_soon_after_the_process_was_stopped():
    x = ThreadedX(1, parts=())
    asked = asyncio.create_task(to_x(x.url, lambda: True))

    await block_until_the_timeout(x)

    came = await asked
    x.close()
    assert came == NoResponse(reason="no answer in time", left=True, is_late=True)


async def test_response_that_is_incomplete_at_the_timeout_is_truncated():
    x = ThreadedX(1, parts=(ACCEPTED[:-1],))
    x.may_answer.set()

    came = await posted(x.url, within=1_500)

    x.close()
    assert (came.status, came.whole) == (200, False)
