import asyncio
import signal
import socket
from contextlib import suppress

import pytest
from http_stage import HEAD, ONE, QUICK, one_answer
from starlette.responses import StreamingResponse


async def test_stop_waits_for_running_requests(staged):
    stage = await staged()
    stage.accept.until = asyncio.Event()
    asking = asyncio.create_task(stage.submit(ONE))
    await stage.accept.came.wait()

    stopping = asyncio.create_task(stage.server.stop())
    await asyncio.sleep(0.05)
    stage.accept.until.set()
    answer = await asking
    await stopping

    assert answer.status == 202


async def test_stop_refuses_new_connections(staged):
    stage = await staged()

    await stage.server.stop()

    with pytest.raises(ConnectionError):
        await stage.ask("GET", "/healthz")


# In the turns after these, asyncio itself drops accepted connections.
@pytest.mark.parametrize("turns", range(2))
async def test_stop_answers_no_request_on_a_connection_made_during_the_stop(staged, turns):
    stage = await staged()
    client = socket.create_connection(("127.0.0.1", stage.server.port))
    client.settimeout(0)
    with client:
        for _ in range(turns):
            await asyncio.sleep(0)
        await stage.server.stop()
        loop = asyncio.get_running_loop()
        with suppress(ConnectionError):
            await loop.sock_sendall(client, HEAD + ONE)
            assert await asyncio.wait_for(loop.sock_recv(client, 1), 5) == b""

    assert stage.accept.seen == []


async def test_stop_closes_idle_connections_at_once(staged):
    stage = await staged()
    loop = asyncio.get_running_loop()

    async with stage.line() as (reader, writer):
        writer.write(HEAD + ONE)
        await one_answer(reader)
        begun = loop.time()
        await stage.server.stop()
        assert await reader.read() == b""

    assert loop.time() - begun < stage.server._limits.stop_seconds  # noqa: SLF001


async def test_stop_closes_unfinished_requests_at_the_deadline(staged, caplog):
    stage = await staged(limits=QUICK)
    stage.accept.until = asyncio.Event()
    asking = asyncio.create_task(stage.submit(ONE))
    await stage.accept.came.wait()

    await stage.server.stop()

    with pytest.raises((ConnectionError, IndexError)):
        await asking
    assert caplog.records == []


async def test_stop_cuts_an_endless_response_of_the_console_at_once(staged, caplog):
    left = asyncio.Event()

    async def console(scope, receive, send):
        async def parts():
            try:
                yield b"number\n"
                await asyncio.Event().wait()
            finally:
                left.set()

        await StreamingResponse(parts())(scope, receive, send)

    stage = await staged(console=console)
    loop = asyncio.get_running_loop()
    async with stage.line() as (reader, writer):
        writer.write(b"GET /console/export HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"number\n")
        begun = loop.time()
        await stage.server.stop()
        rest = b""
        with suppress(ConnectionError):
            rest = await reader.read()

    assert loop.time() - begun < stage.server._limits.stop_seconds  # noqa: SLF001
    assert rest.strip() == b""  # without the end of the transfer
    assert left.is_set()
    assert caplog.records == []


async def test_second_stop_does_nothing(staged):
    stage = await staged()

    await stage.server.stop()
    await stage.server.stop()


async def test_server_can_be_restarted_on_its_port(staged):
    stage = await staged()
    port = stage.server.port

    await stage.server.stop()
    await stage.server.start()

    assert stage.server.port == port
    assert (await stage.ask("GET", "/readyz")).status == 200


async def test_start_does_not_change_the_signal_handlers(stage):
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
