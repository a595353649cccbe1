import asyncio
import socket
import struct

import pytest
from direct_stage import connected
from http_stage import HEAD, ONE, QUICK, Stage, a_receipt, one_answer

from raw_http import parse_response
from twite.domain.errors import QueueFull, SettingsError
from twite.http import HttpLimits, Server


async def write_for_ever(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b" " * 65_536)
        await writer.drain()


async def test_port_0_is_replaced_by_a_free_port(stage):
    assert stage.server.port > 0
    assert stage.server.url == f"http://127.0.0.1:{stage.server.port}"


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:8080"),  # noqa: S104 - never bound
        ("::", "http://[::1]:8080"),
        ("t.shop.example", "http://t.shop.example:8080"),
    ],
)
def test_url_of_a_server_has_a_host_that_clients_can_request(host, url):
    assert Server(Stage().collector, host=host, port=8080).url == url


async def test_address_in_use_is_a_settings_error(stage):
    second = Server(stage.collector, host="127.0.0.1", port=stage.server.port)

    with pytest.raises(SettingsError) as caught:
        await second.start()

    assert str(caught.value) == (
        f"server.listen: cannot listen on 127.0.0.1:{stage.server.port} (Address already in use). "
        "Stop the process that listens there, or choose another address"
    )


async def test_connection_serves_many_requests(stage):
    async with stage.line() as (reader, writer):
        for _ in range(3):
            writer.write(HEAD + ONE)
            assert parse_response(await one_answer(reader)).status == 202


async def test_pipelined_requests_are_answered_in_order(stage):
    async with stage.line() as (reader, writer):
        writer.write(HEAD + ONE + b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n" + HEAD + ONE)
        statuses = [parse_response(await one_answer(reader)).status for _ in range(3)]

    assert statuses == [202, 200, 202]


async def test_responses_have_a_date_header(stage):
    answer = await stage.ask("GET", "/healthz")

    assert answer.headers["date"].endswith(" GMT")


async def test_slow_headers_are_refused_at_the_deadline(stage):
    protocol, transport = connected(stage)
    protocol.data_received(HEAD[:1])
    deadline = protocol.due
    for byte in HEAD[1:-1]:
        protocol.data_received(bytes([byte]))

    protocol.sweep(deadline - 0.001)
    before = transport.written
    protocol.sweep(deadline)
    protocol.connection_lost(None)

    answer = parse_response(transport.written)
    assert before == b""
    assert answer.status == 408
    assert answer.faults() == [("", "too_slow")]
    assert stage.accept.seen == []


async def test_slow_body_is_refused_at_the_deadline(staged):
    stage = await staged(limits=QUICK)

    answer = parse_response(await stage.say(HEAD + ONE[:-1]))

    assert answer.status == 408
    assert stage.accept.seen == []


@pytest.mark.parametrize("sent", [b"", b"\r\n", b"\r\n\r\n"])
async def test_connection_without_a_request_is_closed_without_a_response(stage, sent):
    protocol, transport = connected(stage)
    protocol.data_received(sent)

    protocol.sweep(protocol.due - 0.001)
    before = transport.is_closed
    protocol.sweep(protocol.due)
    protocol.connection_lost(None)

    assert (before, transport.is_closed, transport.written) == (False, True, b"")


async def test_idle_connection_is_closed_after_the_timeout(staged):
    stage = await staged(limits=QUICK)

    async with stage.line() as (reader, writer):
        writer.write(HEAD + ONE)
        await one_answer(reader)
        rest = await asyncio.wait_for(reader.read(), 30)

    assert rest == b""


async def test_deadline_of_the_client_does_not_run_while_the_gateway_works(staged):
    stage = await staged(limits=QUICK)
    stage.accept.until = asyncio.Event()

    asking = asyncio.create_task(stage.submit(ONE))
    await asyncio.sleep(0.3)
    stage.accept.until.set()

    assert (await asking).status == 202


async def test_client_that_does_not_read_its_response_is_disconnected(staged):
    stage = await staged(limits=QUICK)
    many = b"GET /v1/openapi.json HTTP/1.1\r\nHost: a\r\n\r\n" * 2_000

    async with stage.line() as (reader, writer):
        reader._transport.pause_reading()  # noqa: SLF001 - streams have no public method to stop reading
        writer.write(many)
        async with asyncio.timeout(30):
            while not writer.transport.is_closing():
                writer.write(b"x")
                await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    "headers",
    [
        b"X: " + b"y" * 20_000,
        b"\r\n".join(b"X-%d: y" % n for n in range(3_000)),
    ],
)
async def test_headers_over_the_limit_are_refused(stage, headers):
    answer = parse_response(
        await stage.say(b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + headers + b"\r\n\r\n")
    )

    assert answer.status == 431
    assert answer.faults() == [("", "headers_too_large")]


async def test_endless_headers_are_refused_before_they_end(stage):
    answer = parse_response(await stage.say(b"GET /healthz HTTP/1.1\r\nX: " + b"y" * 100_000))

    assert answer.status == 431


async def test_endless_path_is_refused_before_it_ends(stage):
    answer = parse_response(await stage.say(b"GET /" + b"y" * 100_000))

    assert answer.status == 431


async def test_connections_above_the_limit_get_retry_after(staged):
    stage = await staged(limits=HttpLimits(connections=1))
    stage.accept.until = asyncio.Event()

    async with stage.line() as (first_reader, first_writer):
        first_writer.write(HEAD + ONE)
        await stage.accept.came.wait()
        second = parse_response(await stage.say(b""))
        stage.accept.until.set()
        assert parse_response(await one_answer(first_reader)).status == 202

    assert second.status == 503
    assert second.faults() == [("", "too_many_connections")]
    assert second.headers["retry-after"] == "1"


async def test_connection_can_be_used_after_a_refused_body(stage):
    head = HEAD.replace(b"Length: 20", b"Length: 2000000")

    async with stage.line() as (reader, writer):
        writer.write(head + b" " * 2_000_000)
        refused = parse_response(await one_answer(reader))
        writer.write(HEAD + ONE)
        taken = parse_response(await one_answer(reader))

    assert (refused.status, taken.status) == (413, 202)


async def test_refused_body_is_read_up_to_a_limit(staged):
    stage = await staged(limits=HttpLimits(discarded=1_000_000))
    head = HEAD.replace(b"Length: 20", b"Length: 1000000000")

    async with stage.line() as (reader, writer):
        writer.write(head)
        refused = parse_response(await one_answer(reader))
        with pytest.raises(ConnectionError):
            await write_for_ever(writer)

    assert refused.status == 413


async def test_expect_continue_is_not_answered_for_a_body_over_the_limit(stage):
    head = HEAD.replace(b"Length: 20", b"Length: 2000000\r\nExpect: 100-continue")

    answer = parse_response(await stage.say(head))

    assert answer.status == 413


async def test_expect_continue_is_answered(stage):
    async with stage.line() as (reader, writer):
        writer.write(HEAD.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
        leave = await reader.readuntil(b"\r\n\r\n")
        writer.write(ONE)
        answer = parse_response(await one_answer(reader))

    assert leave == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert answer.status == 202


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /%zz\x00 HTTP/1.1\r\n\r\n",
        b"NONSENSE\r\n\r\n",
        HEAD.replace(b"Content-Length: 20", b"Content-Length: 20\r\nTransfer-Encoding: chunked"),
        HEAD.replace(b"Content-Length: 20", b"Content-Length: 20\r\nContent-Length: 21"),
        HEAD.replace(b"Content-Length: 20", b"Content-Length: -1"),
        HEAD.replace(b"Content-Length: 20", b"Transfer-Encoding: chunked") + b"zz\r\n",
    ],
)
async def test_malformed_http_request_is_400(stage, sent):
    answer = parse_response(await stage.say(sent + ONE))

    assert answer.status == 400
    assert answer.faults() == [("", "http_malformed")]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert stage.accept.seen == []


@pytest.mark.parametrize("part", [0, 10, len(HEAD), len(HEAD) + 5])
async def test_partial_request_is_not_logged(stage, part, caplog):
    async with stage.line() as (_, writer):
        writer.write((HEAD + ONE)[:part])
        await writer.drain()
    await stage.ask("GET", "/healthz")

    assert stage.accept.seen == []
    assert stage.notices.seen == []
    assert caplog.records == []


async def test_submission_is_stored_if_the_client_disconnects_before_the_response(stage, caplog):
    stage.accept.until = asyncio.Event()
    async with stage.line() as (_, writer):
        writer.write(HEAD + ONE)
        await stage.accept.came.wait()
    stage.accept.until.set()
    await stage.ask("GET", "/healthz")

    assert stage.accept.seen == [("shop", ONE, None)]
    assert caplog.records == []


@pytest.mark.parametrize("ahead", [1, 2, 3])
async def test_reset_connections_are_not_logged(stage, ahead, caplog):
    stage.accept.until = asyncio.Event()
    lines = [await asyncio.open_connection("127.0.0.1", stage.server.port) for _ in range(8)]
    for _, writer in lines:
        writer.write((HEAD + ONE) * ahead)
    while len(stage.accept.seen) < len(lines):  # noqa: ASYNC110 - all of them, not the first
        await asyncio.sleep(0.001)

    for _, writer in lines:
        reset = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        writer.close()
    await asyncio.sleep(0.01)
    stage.accept.until.set()
    answer = await stage.ask("GET", "/healthz")

    assert answer.status == 200
    assert caplog.records == []


@pytest.mark.parametrize("answer", [a_receipt(accepted=1), QueueFull(reason="", retry_after=1)])
async def test_response_to_a_closed_connection_is_not_an_error(stage, answer, caplog):
    stage.accept.native_answer = answer
    stage.accept.until = asyncio.Event()
    async with stage.line() as (_, writer):
        writer.write(HEAD + ONE)
        await stage.accept.came.wait()
        # The request continues in the loop's next turn, before the protocol learns of the
        # disconnect.
        stage.accept.until.set()
        for connection in stage.server._uvicorn.server_state.connections:  # noqa: SLF001
            connection.transport.abort()
        await stage.ask("GET", "/healthz")

    assert caplog.records == []
    assert stage.notices.seen == []


async def test_client_that_closes_its_sending_side_gets_its_response(stage):
    stage.accept.until = asyncio.Event()
    async with stage.line() as (reader, writer):
        writer.write(HEAD + ONE)
        writer.write_eof()
        await stage.accept.came.wait()
        await asyncio.sleep(0.02)
        stage.accept.until.set()
        answer = parse_response(await asyncio.wait_for(reader.read(), 30))

    assert (answer.status, answer.headers["connection"]) == (202, "close")


def test_server_can_listen_on_ipv6(unused_tcp_port):
    if not socket.has_ipv6:
        pytest.skip("no IPv6 on this machine")

    async def start_and_stop() -> str:
        stage = Stage()
        stage.server = Server(stage.collector, host="::1", port=unused_tcp_port)
        await stage.server.start()
        url = stage.server.url
        await stage.server.stop()
        return url

    assert asyncio.run(start_and_stop()) == f"http://[::1]:{unused_tcp_port}"
