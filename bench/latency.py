"""Latency in an open loop: requests come at a fixed rate, whether or not the gateway answers.

From a request until its 202, and from its 202 until X has the conversion. The generator takes the
place of X as well, so that all times are by one clock. A request waits if no connection is free.
"""

import asyncio
import re
import time
from collections import deque
from collections.abc import Collection
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

import uvloop

from bench import fill
from bench.orders import bodies
from bench.rig import fresh
from bench.servers import free_port
from bench.shapes import rig_of

if TYPE_CHECKING:
    from bench.figures import Bench

# Shapes of input, and requests a second.
STREAMS: Final = (
    ("usual", 100), ("usual", 1_000), ("usual", 5_000), ("pixels-500", 500), ("pixels-500", 1_000),
)  # fmt: skip
_CONNECTIONS: Final = 128
_PATIENCE: Final = 60.0  # seconds
_ID: Final = re.compile(rb'"conversion_id":"(bench-\d+)"')


class Latencies(NamedTuple):
    """Milliseconds, at these fractions: of a 202, and from it until X has the conversion.

    `cpu` is seconds of CPU for each conversion.
    """

    answered: tuple[float, ...]
    at_x: tuple[float, ...]
    offered: int
    missing: int
    cpu: float


_FRACTIONS: Final = (0.5, 0.99)


class Arrivals:
    """When X got each conversion first."""

    def __init__(self) -> None:
        self.times: dict[bytes, float] = {}
        self._more = asyncio.Event()

    def add(self, ids: list[bytes]) -> None:
        now = time.perf_counter()
        for id_ in ids:
            self.times.setdefault(id_, now)
        self._more.set()

    async def all_of(self, ids: Collection[bytes]) -> None:
        """Wait until all have arrived, but not for ever."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                while not self.times.keys() >= set(ids):
                    self._more.clear()
                    await self._more.wait()


class StandInForX(asyncio.Protocol):
    """Accepts what it gets."""

    def __init__(self, arrivals: Arrivals) -> None:
        self.arrivals = arrivals
        self.rest = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.rest += data
        while (end := self.rest.find(b"\r\n\r\n")) >= 0:
            at = self.rest[:end].lower().find(b"content-length:")
            length = int(self.rest[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.rest) < end + 4 + length:
                return
            ids = _ID.findall(self.rest, end, end + 4 + length)
            del self.rest[: end + 4 + length]
            self.arrivals.add(ids)
            body = b'{"data":{"conversions_processed":%d,"debug_id":"d"}}' % len(ids)
            self.transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            )


class Connection(asyncio.Protocol):
    """One connection to the gateway: it is free until it posts, and after the response."""

    def __init__(self, run: "OpenLoop") -> None:
        self.run = run
        self.rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def post(self, id_: bytes, request: bytes) -> None:
        self.id = id_
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.rest += data
        end = self.rest.find(b"\r\n\r\n")
        if end < 0:
            return
        at = self.rest.lower().index(b"content-length:") + 15
        if len(self.rest) < end + 4 + int(self.rest[at:].split(b"\r\n", 1)[0]):
            return
        if not self.rest.startswith(b"HTTP/1.1 202"):
            raise SystemExit(f"the run is void: {self.rest[:200]!r}")
        self.rest = b""
        self.run.answered[self.id] = time.perf_counter()
        self.run.free(self)


class OpenLoop:
    def __init__(self, url: str) -> None:
        self.host = urlsplit(url)
        self.begun: dict[bytes, float] = {}
        self.answered: dict[bytes, float] = {}
        self._free: list[Connection] = []
        self._waiting: deque[tuple[bytes, bytes]] = deque()

    def free(self, connection: Connection) -> None:
        if self._waiting:
            connection.post(*self._waiting.popleft())
        else:
            self._free.append(connection)

    async def run(self, rate: int, seconds: float, shape: str) -> None:
        many = int(rate * seconds)
        first = fresh(many)
        head = (
            f"POST /v1/conversions HTTP/1.1\r\nHost: {self.host.netloc}\r\n"
            f"Authorization: Bearer {fill.KEY}\r\nContent-Type: application/json\r\n"
            "Content-Length: "
        ).encode()
        requests = [
            head + b"%d\r\n\r\n" % len(body) + body for body in bodies(first, many, 1, shape)
        ]
        loop = asyncio.get_running_loop()
        for _ in range(_CONNECTIONS):
            _, connection = await loop.create_connection(
                lambda: Connection(self), self.host.hostname, self.host.port
            )
            self._free.append(connection)
        began = time.perf_counter()
        for number, request in zip(count(), requests):
            due = began + number / rate
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            if number % 50 == 0:
                await asyncio.sleep(0)  # responses are read even if the generator is late
            id_ = b"bench-%d" % (first + number)
            # A late generator is no delay of the gateway.
            self.begun[id_] = time.perf_counter()
            if self._free:
                self._free.pop().post(id_, request)
            else:
                self._waiting.append((id_, request))


def latency(bench: "Bench") -> None:
    bench.store()  # its making needs an event loop of its own
    for shape, rate in STREAMS:
        bench.runs(f"open loop, {rate:,} a second, {shape}")
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            bench.latencies[shape, rate] = runner.run(_measured(bench, shape, rate))


async def _measured(bench: "Bench", shape: str, rate: int) -> Latencies:
    arrivals = Arrivals()
    port = free_port()
    x = await asyncio.get_running_loop().create_server(
        lambda: StandInForX(arrivals), "127.0.0.1", port
    )
    with rig_of(bench, shape, x=f"http://127.0.0.1:{port}") as rig:
        warm = OpenLoop(rig.url)
        await warm.run(min(rate, 500), 1.0, shape)
        loop = OpenLoop(rig.url)
        spent = rig.gateway.cpu()
        await loop.run(rate, bench.chosen.seconds, shape)
        await arrivals.all_of(loop.begun)
        cpu = (rig.gateway.cpu() - spent) / len(loop.begun)
    x.close()
    received = arrivals.times
    answered = [loop.answered[id_] - at for id_, at in loop.begun.items() if id_ in loop.answered]
    at_x = [max(0.0, received[id_] - at) for id_, at in loop.answered.items() if id_ in received]
    missing = 2 * len(loop.begun) - len(answered) - len(at_x)
    return Latencies(fractions(answered), fractions(at_x), len(loop.begun), missing, cpu)


def fractions(seconds: list[float]) -> tuple[float, ...]:
    """Return p50 and p99 in milliseconds."""
    ordered = sorted(seconds)
    return tuple(1_000 * ordered[int(len(ordered) * part)] for part in _FRACTIONS)


def verdict(found: dict[tuple[str, int], Latencies]) -> list[str]:
    lines = []
    for (shape, rate), latencies in found.items():
        said = ", ".join(
            f"{name} p50 {parts[0]:.1f} ms, p99 {parts[1]:.1f} ms"
            for name, parts in (("202", latencies.answered), ("then at X", latencies.at_x))
        )
        late = f"; {latencies.missing} missing" if latencies.missing else ""
        cpu = f"{latencies.cpu * 1_000_000:.0f} µs of CPU"
        lines.append(f"  open loop, {shape}, {rate:,} a second: {said}, {cpu}{late}")
    return lines
