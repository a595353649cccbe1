"""All pixels share one client for X, but requests without a response delay only their own pixel."""

import asyncio

from twite.gateway.ports.transport import OutboundRequest, Response
from twite.senders.http import HttpTransport

HANGING = 200


async def test_requests_of_one_pixel_without_a_response_delay_no_other_pixel():
    hung = asyncio.Semaphore(0)
    over = asyncio.Event()

    async def serve(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(2)
        if b"/dead" in head:
            hung.release()
            await over.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=HANGING)
    async with server:
        host, port = server.sockets[0].getsockname()
        transport = HttpTransport(timeout=60_000)
        await transport.start()

        def posted(pixel):
            outbound = OutboundRequest(url=f"http://{host}:{port}/{pixel}", headers={}, body=b"{}")
            return asyncio.ensure_future(transport.post(outbound))

        dead = [posted("dead") for _ in range(HANGING)]
        for _ in dead:
            await hung.acquire()
        came = await posted("alive")

        assert isinstance(came, Response)
        assert not any(letter.done() for letter in dead)
        over.set()
        await asyncio.gather(*dead)
        await transport.stop()
