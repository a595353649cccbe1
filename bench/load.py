"""A load generator: connections that each post, wait for the answer, and post again.

It runs in a process of its own and does as little as it can, so that the server is what is
measured. Every answer must be a 200, 201, 202 or 204: any other voids the run.

    python -m bench.load URL KEY CONNECTIONS EACH SECONDS FIRST [SHAPE]
    python -m bench.load flood URL PATH CONNECTIONS     request it without a pause, until killed
"""

import asyncio
import json
import sys
import time
from itertools import count
from typing import Final
from urllib.parse import urlsplit

import uvloop

from bench.orders import bodies, route_of

_PREPARED = 4_000
_TAKEN = (b"HTTP/1.1 200", b"HTTP/1.1 201", b"HTTP/1.1 202", b"HTTP/1.1 204")


class Client(asyncio.Protocol):
    def __init__(self, run: "Run") -> None:
        self.run = run
        self.rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.post()

    def post(self) -> None:
        body = self.run.next_request()
        if body is None:
            self.run.left()
            return
        self.began = time.perf_counter()
        self.transport.write(body)

    def data_received(self, data: bytes) -> None:
        self.rest += data
        end = self.rest.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self.rest[:end].lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self.rest) < end + 4 + length:
            return
        if not self.rest.startswith(_TAKEN):
            self.run.fail(self.rest[:200])
            return
        self.rest = self.rest[end + 4 + length :]
        self.run.took(time.perf_counter() - self.began)
        self.post()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.run.over:
            self.run.fail(repr(error).encode())


class Run:
    def __init__(
        self, host: str, key: str, *, each: int, seconds: float, first: int, shape: str
    ) -> None:
        self.head = (
            f"POST {route_of(shape)[0]} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        ).encode()
        self.each = each
        self.shape = shape
        self.seconds = seconds
        self.numbers = count(first, _PREPARED * each)
        self.requests = iter(())
        self.over = False
        self.latencies: list[float] = []
        self.done = asyncio.get_running_loop().create_future()
        self.open = 0
        self.prepare()

    def prepare(self) -> None:
        """Render requests ahead, outside the measured time where it can be."""
        first = next(self.numbers)
        requests = _PREPARED if self.each == 1 else _PREPARED // 20
        self.requests = iter(
            [
                self.head + str(len(body)).encode() + b"\r\n\r\n" + body
                for body in bodies(first, requests, self.each, self.shape)
            ]
        )

    def next_request(self) -> bytes | None:
        if self.over:
            return None
        request = next(self.requests, None)
        if request is None:
            # Time spent here is the generator's, not the server's: it is taken off the clock.
            began = time.perf_counter()
            self.prepare()
            self.end += time.perf_counter() - began
            request = next(self.requests)
        if time.perf_counter() >= self.end:
            self.over = True
            return None
        return request

    def took(self, seconds: float) -> None:
        self.latencies.append(seconds)

    def left(self) -> None:
        self.open -= 1
        if self.open == 0 and not self.done.done():
            self.done.set_result(None)

    def fail(self, why: bytes) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError(f"the run is void: {why!r}"))


# Headers of requests with a wrong secret.
WRONG: Final = {
    "/webhooks/orders": f"X-Shopify-Hmac-SHA256: {'A' * 43}=",
    "/v1/batch": "Authorization: Basic d3Jvbmc6",
}


class Flood(asyncio.Protocol):
    """Asks for a page again as soon as it has come."""

    def __init__(self, request: bytes) -> None:
        self.request = request
        self.rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.rest += data
        end = self.rest.find(b"\r\n\r\n")
        if end < 0:
            return
        at = self.rest.lower().index(b"content-length:") + 15
        if len(self.rest) >= end + 4 + int(self.rest[at:].split(b"\r\n", 1)[0]):
            self.rest = b""
            self.transport.write(self.request)


def flooding(path: str, host: str) -> bytes:
    """Return a request for a page, or one that is refused because its secret is wrong."""
    if path not in WRONG:
        return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    body = b'{"id": 1, "batch": [], "note": "%b"}' % (b"x" * 4_000)
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\n{WRONG[path]}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def flood(url: str, path: str, connections: int) -> None:
    parts = urlsplit(url)
    request = flooding(path, parts.netloc)
    for _ in range(connections):
        await asyncio.get_running_loop().create_connection(
            lambda: Flood(request), parts.hostname, parts.port
        )
    await asyncio.get_running_loop().create_future()


async def main(
    url: str, key: str, *, connections: int, each: int, seconds: float, first: int, shape: str
) -> None:
    parts = urlsplit(url)
    run = Run(parts.netloc, key, each=each, seconds=seconds, first=first, shape=shape)
    loop = asyncio.get_running_loop()
    run.open = connections
    run.end = time.perf_counter() + seconds
    for _ in range(connections):
        await loop.create_connection(lambda: Client(run), parts.hostname, parts.port)
    await run.done
    took = sorted(run.latencies)
    print(
        json.dumps(
            {
                "requests": len(took),
                "per_second": len(took) / seconds,
                "conversions_per_second": len(took) * each / seconds,
                "p50_ms": took[len(took) // 2] * 1_000,
                "p99_ms": took[len(took) * 99 // 100] * 1_000,
            }
        )
    )


if __name__ == "__main__":
    if sys.argv[1] == "flood":
        uvloop.run(flood(sys.argv[2], sys.argv[3], int(sys.argv[4])))
    where, key = sys.argv[1:3]
    uvloop.run(
        main(
            where,
            key,
            connections=int(sys.argv[3]),
            each=int(sys.argv[4]),
            seconds=float(sys.argv[5]),
            first=int(sys.argv[6]),
            shape=sys.argv[7] if len(sys.argv) > 7 else "usual",
        )
    )
