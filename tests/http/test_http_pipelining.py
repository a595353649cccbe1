"""Pipelined requests are answered in order, and parsed no faster than they are answered."""

import asyncio
import tracemalloc

import pytest

from raw_http import line_to, parse_response
from twite.http import HttpLimits

SUBMIT = (
    b"POST /v1/conversions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer a-source-key\r\n"
    b"Content-Type: application/json\r\n"
)
ONE = SUBMIT + b"Content-Length: 2\r\n\r\n{}"
PING = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"


async def one_answer(reader: asyncio.StreamReader) -> bytes:
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    return head + await reader.readexactly(int(parse_response(head).headers["content-length"]))


async def test_thousands_of_pipelined_requests_are_all_answered(stage):
    async with stage.line() as (reader, writer):
        writer.write(PING * 5_000)
        statuses = {parse_response(await one_answer(reader)).status for _ in range(5_000)}

    assert statuses == {200}


@pytest.mark.parametrize("size", [0, 700, 3_000, 300_000])
async def test_pipelined_bodies_arrive_whole_and_in_order(stage, size):
    bodies = [b'{"n":%d,"x":"%b"}' % (n, b"y" * size) for n in range(12)]
    counted = [SUBMIT + b"Content-Length: %d\r\n\r\n%b" % (len(body), body) for body in bodies[::2]]
    chunks = [
        SUBMIT + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        for body in bodies[1::2]
    ]
    pairs = zip(counted, chunks, strict=True)

    async with stage.line() as (reader, writer):
        writer.write(b"".join(request for pair in pairs for request in pair))
        for _ in bodies:
            assert parse_response(await one_answer(reader)).status == 202

    assert [body for _, body, _ in stage.accept.seen] == bodies


async def test_pipelined_requests_that_wait_stop_the_reading_from_the_socket(staged):
    stage = await staged(limits=HttpLimits(closing_seconds=0.1, sweep_seconds=0.02))
    stage.accept.until = asyncio.Event()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        async with line_to(stage.server.port) as (reader, writer):
            writer.write(ONE + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 14_000)
            await stage.accept.came.wait()
            assert (await stage.ask("GET", "/healthz")).status == 200
            [connection] = stage.server._uvicorn.server_state.connections  # noqa: SLF001
            assert len(connection.pipeline) < 100
            held = tracemalloc.get_traced_memory()[0] - before
            stage.accept.until.set()
            assert parse_response(await one_answer(reader)).status == 202
    finally:
        tracemalloc.stop()

    assert held < 3_000_000


MALFORMED = {
    "no HTTP": (b"NONSENSE\r\n\r\n", 400),
    "large headers": (b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"a" * 20_000, 431),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "no host, and more requests": (b"GET / HTTP/1.1\r\n\r\n" + PING + PING, 400),
    "a malformed body": (SUBMIT + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    "a late end": (b"GET / HTTP/1.1\r\nHost", 408),
    "a late body": (SUBMIT + b"Content-Length: 9\r\n\r\n{", 408),
}


@pytest.mark.parametrize(("sent", "status"), MALFORMED.values(), ids=MALFORMED)
@pytest.mark.parametrize("ahead", [1, 3])
async def test_malformed_request_is_refused_after_the_earlier_responses(
    staged, ahead, sent, status
):
    limits = HttpLimits(
        headers_seconds=0.05, body_seconds=0.05, sweep_seconds=0.01, closing_seconds=1.0
    )
    stage = await staged(limits=limits)
    stage.accept.until = asyncio.Event()

    async with stage.line() as (reader, writer):
        writer.write(ONE * ahead + sent)
        await stage.accept.came.wait()
        await asyncio.sleep(0.15)  # longer than all deadlines
        early = bytes(reader._buffer)  # noqa: SLF001
        stage.accept.until.set()
        statuses = [parse_response(await one_answer(reader)).status for _ in range(ahead + 1)]
        rest = await asyncio.wait_for(reader.read(), 5)

    assert (early, statuses, rest) == (b"", [202] * ahead + [status], b"")
    assert [body for _, body, _ in stage.accept.seen] == [b"{}"] * ahead


async def test_client_that_closes_its_sending_side_gets_all_responses(stage):
    stage.accept.until = asyncio.Event()

    async with stage.line() as (reader, writer):
        writer.write(ONE + b"NONSENSE\r\n\r\n")
        writer.write_eof()
        await stage.accept.came.wait()
        await asyncio.sleep(0.01)
        stage.accept.until.set()
        statuses = [parse_response(await one_answer(reader)).status for _ in range(2)]

    assert statuses == [202, 400]


async def test_request_that_was_answered_before_its_body_ended_gets_one_response(stage):
    wrong = SUBMIT.replace(b"a-source-key", b"another-key") + b"Transfer-Encoding: chunked\r\n\r\n"

    async with stage.line() as (reader, writer):
        writer.write(wrong + b"1\r\n{\r\n")
        first = parse_response(await one_answer(reader))
        writer.write(b"zz\r\n")
        rest = await asyncio.wait_for(reader.read(), 5)

    assert (first.status, rest) == (401, b"")
