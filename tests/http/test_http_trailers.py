"""Framing around a body: trailers, chunk extensions, pipelined requests."""

import asyncio
import tracemalloc

import msgspec
import pytest

from raw_http import line_to, parse_response, say
from twite.http import HttpLimits, Server

LIMITS = HttpLimits(headers_seconds=5, body_seconds=5, closing_seconds=0.1, sweep_seconds=0.02)
ONE = b'{"event":"purchase"}'


class Echo:
    """A server that reads the body, then responds with the headers that it knows."""

    direct = None

    def opened(self) -> None:
        pass

    def closing(self) -> None:
        pass

    async def __call__(self, scope, receive, send):
        body = b""
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message["body"]
            if not message["more_body"]:
                break
        said = {name.decode(): value.decode() for name, value in scope["headers"]}
        answer = msgspec.json.encode({"headers": said, "body": body.decode()})
        length = (b"content-length", b"%d" % len(answer))
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": answer})


@pytest.fixture
async def echo():
    server = Server(Echo(), host="127.0.0.1", port=0, limits=LIMITS)
    await server.start()
    yield server
    await server.stop()


def chunked(path: bytes, *chunks: bytes, method: bytes = b"POST", headers: bytes = b"") -> bytes:
    head = b"%b %b HTTP/1.1\r\nHost: a\r\n%bTransfer-Encoding: chunked\r\n\r\n"
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return head % (method, path, headers) + body


async def test_trailer_does_not_become_a_header(echo):
    sent = chunked(b"/", ONE, headers=b"Connection: close\r\nTrailer: X-Forwarded-For\r\n")
    trailers = b"0\r\nX-Forwarded-For: 6.6.6.6\r\nAuthorization: Bearer a\r\nExpect: x\r\n\r\n"

    answer = parse_response(await say(echo.port, sent + trailers)).json()

    assert answer == {
        "headers": {
            "host": "a",
            "connection": "close",
            "trailer": "X-Forwarded-For",
            "transfer-encoding": "chunked",
        },
        "body": ONE.decode(),
    }


async def test_trailer_does_not_become_a_header_while_the_body_is_read(echo):
    async with line_to(echo.port) as (reader, writer):
        for piece in (chunked(b"/", ONE), b"0\r\n", b"X-Forwarded-For: 6.6.6.6\r\n", b"\r\n"):
            writer.write(piece)
            await asyncio.sleep(0.01)
        head = parse_response(await asyncio.wait_for(reader.readuntil(b"}"), 5))

    assert "x-forwarded-for" not in head.body.decode()


async def test_source_key_in_a_trailer_does_not_authenticate(stage):
    body = chunked(
        b"/v1/conversions",
        ONE,
        headers=b"Connection: close\r\nContent-Type: application/json\r\n",
    )

    answer = parse_response(
        await stage.say(body + b"0\r\nAuthorization: Bearer a-source-key\r\n\r\n")
    )

    assert answer.status == 401
    assert stage.accept.seen == []


@pytest.mark.parametrize(
    "endless",
    [
        pytest.param(b"0\r\n" + b"a:b\r\n" * 20_000, id="trailers"),
        pytest.param(b"0\r\nX: " + b"y" * 100_000, id="one trailer"),
        pytest.param(b"1;" + b"x" * 100_000, id="chunk extension"),
        pytest.param(b"1;name=value-of-it\r\nx\r\n" * 20_000, id="many chunk extensions"),
        pytest.param(b"0" * 100_000, id="zeros of a chunk's size"),
    ],
)
async def test_chunk_extensions_and_trailers_count_towards_the_limit_of_headers(echo, endless):
    answer = parse_response(await say(echo.port, chunked(b"/", ONE) + endless))

    assert answer.status == 431
    assert answer.faults() == [("", "headers_too_large")]


@pytest.mark.parametrize("method", [b"GET", b"POST"])
async def test_connection_closes_after_a_response_that_precedes_the_body(stage, method):
    async with stage.line() as (reader, writer):
        writer.write(chunked(b"/healthz", b"x", method=method))
        await reader.readuntil(b"}")
        writer.write(b"0\r\n" + b"a:b\r\n" * 20_000)
        rest = await asyncio.wait_for(_all_of(reader), 5)

    assert b"HTTP/1.1" not in rest


async def test_body_of_many_small_chunks_is_read(echo):
    sent = chunked(b"/", *[b"x"] * 30_000, headers=b"Connection: close\r\n")

    answer = parse_response(await say(echo.port, sent + b"0\r\n\r\n"))

    assert len(answer.json()["body"]) == 30_000


@pytest.mark.parametrize(
    "flood",
    [
        pytest.param(chunked(b"/", ONE) + b"0\r\n" + b"a:\r\n" * 16_000, id="trailers"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 16_000, id="headers"),
        pytest.param(
            b"GET / HTTP/1.1\r\n\r\n" * 2 + b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 16_000,
            id="headers of a request sent ahead",
        ),
    ],
)
async def test_endless_headers_and_trailers_use_at_most_8_mb(echo, flood):
    async def flood_once() -> None:
        async with line_to(echo.port) as (_, writer):
            writer.write(flood)
            await held.wait()

    held = asyncio.Event()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        flooding = [asyncio.create_task(flood_once()) for _ in range(30)]
        for _ in range(30):
            await say(echo.port, b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        peak = tracemalloc.get_traced_memory()[1] - before
        held.set()
        await asyncio.gather(*flooding)
    finally:
        tracemalloc.stop()

    assert peak < 8_000_000


async def _all_of(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""
