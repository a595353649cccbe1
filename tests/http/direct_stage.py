"""Servers on a store, with and without the direct route, and requests to them."""

import asyncio
import json
import re
import sqlite3
from contextlib import asynccontextmanager

import msgspec
from http_stage import KEY, Stage, StoppedClock

from builders import a_destination, a_source
from fakes import SeededRandomness
from twite.domain.times import DAY
from twite.gateway.ingest.accept import Accept
from twite.gateway.ports.store import StoreOptions
from twite.stores.sqlite import SQLiteStore

ORDER = {
    "event": "purchase",
    "conversion_id": "order-1",
    "time": "2026-11-24T10:00:00Z",
    "value": "49.90",
    "currency": "EUR",
    "email": "a@shop.alt",
    "contents": [{"id": "SKU-1", "price": "24.95", "quantity": 2}],
}
ONE = json.dumps(ORDER).encode()
MIXED = json.dumps(
    {
        "conversions": [
            ORDER,
            ORDER,
            ORDER | {"conversion_id": "order-2", "email": "nobody"},
            ORDER | {"conversion_id": "order-3", "phone": "x"},
            ORDER | {"conversion_id": "order-4", "consent": {"ad_storage": "denied"}},
        ]
    }
).encode()
JSON = "Content-Type: application/json\r\n"


def post(
    body=ONE, *more, key=KEY, method="POST", target="/v1/conversions", version="1.1", length=True,
    kind=JSON, keep=False,
):  # fmt: skip
    """Return the bytes of a request."""
    head = f"{method} {target} HTTP/{version}\r\nHost: a\r\n{kind}"
    head += f"Authorization: Bearer {key}\r\n" if key else ""
    head += f"Content-Length: {len(body)}\r\n" if length else ""
    head += "" if keep else "Connection: close\r\n"
    return (head + "".join(f"{line}\r\n" for line in more) + "\r\n").encode() + body


def chunked(body):
    return post(b"", "Transfer-Encoding: chunked", length=False) + b"%x\r\n%b\r\n0\r\n\r\n" % (
        len(body), body,
    )  # fmt: skip


PING = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
# Handled by the direct route; all others by the ordinary one.


class Shop(Stage):
    """A server on a store, with or without the direct route."""

    def __init__(self, folder, *, is_direct, queue_limit=20_000, wake=lambda _pixel: None, **said):
        self.path = folder / f"direct-{is_direct}.db"
        self.is_direct = is_direct
        self.queue_limit = queue_limit
        self.wake = wake
        self.said = said
        self.taken = 0

    @asynccontextmanager
    async def running(self):
        self.store = await SQLiteStore.open(
            self.path, StoreOptions(dedup_window=7 * DAY, queue_limit=self.queue_limit)
        )
        source = msgspec.structs.replace(a_source(), pixels=frozenset({"o8z6j"}))
        destinations = {"o8z6j": a_destination()}
        accept = Accept(
            intake=self.store,
            clock=StoppedClock(),
            randomness=SeededRandomness(),
            destinations=destinations,
            salt=b"salt",
            wake=self.wake,
        )
        super().__init__(accept=accept, sources=[source], destinations=destinations, **self.said)
        accept._recorder.observer = self.notices  # noqa: SLF001
        if not self.is_direct:
            self.collector.direct = None
        await self.server.start()
        try:
            yield self
        finally:
            await self.server.stop()
            await self.store.close()

    @property
    def inside(self):
        """The number of requests being handled."""
        return self.collector._services.gate._inside  # noqa: SLF001

    def stored_rows(self):
        """Return all rows of the closed store, without random values and times."""
        reader = sqlite3.connect(self.path)
        tables = [
            name
            for (name,) in reader.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if name not in {"deployment", "sqlite_stat1", "sqlite_sequence"}
        ]
        rows = {
            name: sorted(map(repr, reader.execute(f'SELECT * FROM "{name}"')))  # noqa: S608
            for name in tables
        }
        reader.close()
        return rows


async def say_whole(shop, sent):
    """Send bytes, and return the answers without their dates."""
    async with shop.line() as (reader, writer):
        writer.write(sent)
        writer.write_eof()
        return undated(await asyncio.wait_for(reader.read(), 10))


def undated(answers):
    return re.sub(rb"date: [^\r]*\r\n", b"", answers)


async def both(tmp_path, play, **said):
    """Run with and without the direct route. Return the responses and the store of each server."""
    shown = []
    for is_direct in (True, False):
        shop = Shop(tmp_path, is_direct=is_direct, **said)
        async with shop.running():
            answers = await play(shop)
            inside = shop.inside
        shown.append((answers, inside, shop.notices.seen, shop.stored_rows()))
    return shown


class Transport(asyncio.Transport):
    """Records the written bytes."""

    def __init__(self):
        super().__init__()
        self.written = b""
        self.is_closed = False
        self.answered = asyncio.Event()

    def get_extra_info(self, name, default=None):
        return {"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)}.get(name, default)

    def write(self, data):
        self.written += data
        self.answered.set()

    def is_closing(self):
        return self.is_closed

    def close(self):
        self.is_closed = True

    abort = close

    def write_eof(self): ...

    def pause_reading(self): ...

    def resume_reading(self): ...


def connected(shop):
    """Return a connection of the server, and its transport."""
    server = shop.server._uvicorn  # noqa: SLF001
    protocol = server.config.http_protocol_class(
        config=server.config, server_state=server.server_state, app_state={}
    )
    transport = Transport()
    protocol.connection_made(transport)
    return protocol, transport
