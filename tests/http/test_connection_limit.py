"""Too many connections: the server closes the one that has been idle longest."""

import asyncio
import contextlib
import resource
import subprocess
import sys

from raw_http import parse_response, say
from twite.gateway.ports.events import ProblemSeen
from twite.http import HttpLimits

PING = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
FEW = HttpLimits(connections=20, sweep_seconds=0.02, tell_seconds=0.02, closing_seconds=0.1)


async def test_new_connection_replaces_an_idle_one_at_the_limit(staged):
    stage = await staged(limits=FEW)
    idle = [await asyncio.open_connection("127.0.0.1", stage.server.port) for _ in range(60)]

    statuses = [parse_response(await say(stage.server.port, PING)).status for _ in range(40)]
    async with asyncio.timeout(5):
        while not stage.notices.seen:  # noqa: ASYNC110 - the sweep sets no event
            await asyncio.sleep(0.01)

    assert statuses == [200] * 40
    assert isinstance(stage.notices.seen[0], ProblemSeen)
    assert "idle connection" in stage.notices.seen[0].reason
    for _, writer in idle:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_connection_that_has_been_idle_longest_is_closed_first(staged):
    stage = await staged(limits=HttpLimits(connections=2))
    first, unused = await asyncio.open_connection("127.0.0.1", stage.server.port)
    await asyncio.sleep(0.01)  # the loop's clock counts whole milliseconds
    second, writer = await asyncio.open_connection("127.0.0.1", stage.server.port)
    writer.write(PING.replace(b"Connection: close\r\n", b""))
    await second.readuntil(b"}")

    assert parse_response(await say(stage.server.port, PING)).status == 200

    assert await asyncio.wait_for(_left(first), 5) == b""
    writer.write(PING)
    assert parse_response(await asyncio.wait_for(second.read(), 5)).status == 200
    unused.close()
    writer.close()


def test_limit_of_open_files_is_raised_and_some_are_reserved():
    code = (
        "import resource as r; r.setrlimit(r.RLIMIT_NOFILE, (512, 2048));"
        "from twite.machine.system import raise_limit, room_for_connections as room;"
        "a = room(4096); raise_limit(); print(a, room(4096), r.getrlimit(r.RLIMIT_NOFILE)[0])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["256", "1792", "2048"]
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] >= 2_048


async def _left(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""
