"""Requests to X other than conversions, with misbehaving servers: no library exception escapes."""

import asyncio
import contextlib

import pytest

from twite.gateway.ports.transport import NoResponse, Response
from twite.senders.inquiries import HttpInquiries
from twite.x.analytics import LONGEST_FILE
from twite.x.inquiry import Inquiry


async def inquire(reply: bytes, *, cut: bool = False, within: int = 2_000):
    """Ask an X that sends `reply` and then nothing; with `cut`, it disconnects."""
    over, ended = asyncio.Event(), asyncio.Event()

    async def serve(reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(reply)
            await writer.drain()
            if not cut:
                await over.wait()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        ended.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        inquiry = Inquiry(
            method="GET", url=f"http://{host}:{port}/12/accounts", headers={"Authorization": "x"}
        )
        came = await HttpInquiries(timeout=within).ask(inquiry)
        over.set()
        await ended.wait()
    return came


@pytest.mark.parametrize(
    ("reply", "cut", "expected"),
    [
        (b"", False, NoResponse(reason="no answer in time", left=True, is_late=True)),
        (b"", True, NoResponse(reason="connection lost: ServerDisconnectedError", left=True)),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}",
            True,
            NoResponse(reason="connection lost: ClientPayloadError", left=True),
        ),
        (
            b"this is no HTTP\r\n\r\n",
            True,
            NoResponse(reason="connection lost: ClientResponseError", left=True),
        ),
    ],
)
async def test_failure_says_whether_the_request_may_have_reached_x(reply, cut, expected):
    assert await inquire(reply, cut=cut, within=300) == expected


async def test_refused_connection_did_not_reach_x():
    inquiry = Inquiry(method="GET", url="http://127.0.0.1:1/12/accounts", headers={})

    came = await HttpInquiries(timeout=2_000).ask(inquiry)

    assert came == NoResponse(reason="no connection: ClientConnectorError", left=False)


async def test_redirect_is_not_followed_with_credentials():
    came = await inquire(
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    )

    assert isinstance(came, Response)
    assert came.status == 302


@pytest.mark.parametrize(("longer", "is_whole"), [(0, True), (1, False)])
async def test_response_may_be_as_long_as_a_file_of_a_job(longer, is_whole):
    length = LONGEST_FILE + longer
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"
    came = await inquire(head.encode() + b" " * length, within=60_000)

    assert isinstance(came, Response)
    assert (len(came.body), came.whole) == (LONGEST_FILE, is_whole)
