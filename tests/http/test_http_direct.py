"""The usual request is answered without a task, and just as the ordinary route answers it."""

import asyncio
import gzip
import json
import re
import sqlite3
from contextlib import asynccontextmanager

import msgspec
import pytest
from http_stage import KEY, QUICK, Stage, StoppedClock, one_answer

from raw_http import heard
from twite.domain.times import DAY
from twite.gateway.ingest.accept import Accept
from twite.gateway.ports.events import Troubled
from twite.http import HttpLimits
from twite.http.direct import DirectIntake
from twite.stores.sqlite import SQLiteStore
from twite.testing.builders import a_destination, a_source
from twite.testing.fakes import SeededRandomness

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
# Taken by the direct route; all others by the ordinary one.
USUAL = {
    "one": post(),
    "several": post(MIXED),
    "rejected": post(json.dumps(ORDER | {"event": "x"}).encode()),
    "not JSON": post(b'{"event": '),
    "not UTF-8": post(ONE.replace(b"SKU-1", b"\xff")),
    "half a character": post(ONE.replace(b"SKU-1", b"\\ud800")),
    "a list": post(b"[]"),
    "empty": post(b""),
    "no conversions": post(b'{"conversions": []}'),
    "too many": post(json.dumps({"conversions": [{}] * 1_001}).encode()),
    "too deep": post(b'{"value":' + b"[" * 5_000),
    "a name": post(ONE, "Idempotency-Key: a"),
    "a name with the key": post(ONE, f"Idempotency-Key: {KEY}"),
    "the source key within": post(ONE.replace(b"SKU-1", KEY.encode())),
    "with a charset": post(kind="content-type: Application/JSON; charset=utf-8\r\n"),
    "kept alive": post(keep=True) + post(MIXED),
    "two names": post(ONE, "Idempotency-Key: a", keep=True)
    + post(ONE, "Idempotency-Key: a", keep=True)
    + post(MIXED, "Idempotency-Key: a"),
    "with unknown headers": post(ONE, "X-Forwarded-For: 1.2.3.4", "TE: trailers"),
    "large": post(MIXED + b" " * 300_000),
}
UNUSUAL = {
    "wrong key": post(key="b-source-key"),
    "no key": post(key=None),
    "not a bearer": post(ONE, "Authorization: Basic x", key=None),
    "no length": post(length=False),
    "chunks": chunked(ONE),
    "compressed": post(gzip.compress(ONE), "Content-Encoding: gzip"),
    "not compressed": post(ONE, "Content-Encoding: gzip"),
    "as text": post(kind="Content-Type: text/plain\r\n"),
    "without a type": post(kind=""),
    "a wrong name": post(ONE, "Idempotency-Key: \x07"),
    "an empty name": post(ONE, "Idempotency-Key: "),
    "with a query": post(target="/v1/conversions?a=1"),
    "another spelling": post(target="/v1/%63onversions"),
    "another path": post(target="/v1/conversions/"),
    "another method": post(method="PUT"),
    "old HTTP": post(version="1.0"),
    "to be continued": post(ONE, "Expect: 100-continue"),
    "an upgrade": post(ONE, "Upgrade: websocket", "Connection: upgrade", keep=True),
    "too large": post(b" " * 1_048_577 + ONE),
    "a wrong length": post(ONE, "Content-Length: 1"),
    "malformed": post().replace(b"HTTP/1.1", b"HTTP/9.1"),
}
CASES = USUAL | UNUSUAL | {
    "sent ahead": post(keep=True) + PING + post(b"{", keep=True) + post(MIXED, keep=True) + post(),
    "sent ahead of chunks": post(keep=True) + chunked(ONE),
}  # fmt: skip


class Shop(Stage):
    """A server on a store, whose usual requests are answered directly or not."""

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
            self.path, dedup_window=7 * DAY, queue_limit=self.queue_limit
        )
        source = msgspec.structs.replace(a_source(), pixels=frozenset({"o8z6j"}))
        destinations = {"o8z6j": a_destination()}
        accept = Accept(
            ledger=self.store,
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
        """How many requests are in the gate."""
        return self.collector._services.gate._inside  # noqa: SLF001

    def kept(self):
        """Return all rows of the closed store, but for what is random or the time of the run."""
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
    """Play on a direct and on an ordinary server; return what each showed, and kept."""
    shown = []
    for is_direct in (True, False):
        shop = Shop(tmp_path, is_direct=is_direct, **said)
        async with shop.running():
            answers = await play(shop)
            inside = shop.inside
        shown.append((answers, inside, shop.notices.seen, shop.kept()))
    return shown


@pytest.mark.parametrize("sent", CASES.values(), ids=CASES)
async def test_each_request_is_answered_and_kept_as_on_the_ordinary_route(tmp_path, sent):
    async def play(shop):
        return [await say_whole(shop, sent), await say_whole(shop, sent)]

    direct, ordinary = await both(tmp_path, play)

    assert direct == ordinary
    assert direct[0][0]


@pytest.mark.parametrize("name", [*USUAL, *UNUSUAL])
async def test_the_usual_requests_and_no_others_take_the_direct_route(tmp_path, monkeypatch, name):
    taken = []
    submit = DirectIntake.submit
    monkeypatch.setattr(
        DirectIntake, "submit", lambda self, request: (taken.append(1), submit(self, request))
    )
    shop = Shop(tmp_path, is_direct=True)

    async with shop.running():
        await say_whole(shop, CASES[name])

    assert bool(taken) == (name in USUAL)


async def test_noise_after_a_request_is_refused(tmp_path):
    async def play(shop):
        return await say_whole(shop, post(keep=True) + b"\x00\x01\r\n\r\n")

    # Whether the request before it is stored depends on when its body is read.
    (direct, *_), (ordinary, *_) = await both(tmp_path, play)

    assert direct == ordinary
    assert heard(direct).status == 400


class Transport(asyncio.Transport):
    """Keeps what is written."""

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


async def test_a_request_may_be_split_anywhere(tmp_path):
    request = post(keep=True)

    async def play(shop):
        answers = []
        for cut in range(1, len(request)):
            protocol, transport = connected(shop)
            protocol.data_received(request[:cut])
            protocol.data_received(request[cut:])
            await asyncio.wait_for(transport.answered.wait(), 5)
            answers.append(undated(transport.written))
            protocol.connection_lost(None)
        return answers

    direct, ordinary = await both(tmp_path, play)

    assert direct == ordinary
    assert len(set(direct[0])) > len(request) // 2  # each has a receipt of its own


async def test_a_request_may_come_byte_by_byte(tmp_path):
    async def play(shop):
        protocol, transport = connected(shop)
        for byte in post(MIXED, keep=True):
            protocol.data_received(bytes([byte]))
        await asyncio.wait_for(transport.answered.wait(), 5)
        protocol.connection_lost(None)
        return undated(transport.written)

    direct, ordinary = await both(tmp_path, play)

    assert direct == ordinary


async def test_a_body_that_does_not_come_is_refused(tmp_path):
    async def play(shop):
        async with shop.line() as (reader, writer):
            writer.write(post()[:-5])
            return undated(await asyncio.wait_for(reader.read(), 10))

    direct, ordinary = await both(tmp_path, play, limits=QUICK)

    assert direct == ordinary
    assert direct[:2] == (direct[0], 0)
    assert heard(direct[0]).status == 408


async def test_a_client_that_leaves_before_its_body_is_complete_leaves_the_gate(tmp_path):
    async def play(shop):
        protocol, _ = connected(shop)
        protocol.data_received(post()[:-5])
        await asyncio.sleep(0)
        inside = shop.inside
        protocol.connection_lost(None)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return inside, shop.inside

    direct, ordinary = await both(tmp_path, play)

    assert direct == ordinary
    assert direct[0] == (1, 0)


async def test_no_body_stays_in_memory_when_a_client_leaves_or_is_too_slow(tmp_path):
    async with Shop(tmp_path, is_direct=True).running() as shop:
        for ends in (lambda each: each.connection_lost(None), lambda each: each.sweep(each.due)):
            protocol, _ = connected(shop)
            protocol.data_received(post()[:-5])
            request = protocol.active
            arrived = b"".join(request.parts)
            ends(protocol)
            # The connection is a reference cycle, which may stay in memory for long.
            assert (arrived, request.parts, shop.inside) == (ONE[:-5], [], 0)


async def test_a_client_that_leaves_before_the_answer_loses_the_answer_alone(tmp_path, caplog):
    async def play(shop):
        protocol, transport = connected(shop)
        with shop.store._writer._turn:  # noqa: SLF001 - nothing is committed meanwhile
            protocol.data_received(post(keep=True))
            await asyncio.sleep(0)
            protocol.connection_lost(ConnectionResetError())
            inside = shop.inside
        answer = await say_whole(shop, post())
        return inside, transport.written, json.loads(heard(answer).body)["duplicates"]

    direct, ordinary = await both(tmp_path, play)

    assert direct == ordinary
    assert direct[:2] == ((1, b"", 1), 0)
    assert caplog.records == []


async def test_a_full_queue_refuses(tmp_path):
    async def play(shop):
        async with shop.line() as (reader, writer):
            with shop.store._writer._turn:  # noqa: SLF001 - nothing is committed meanwhile
                writer.write(post(keep=True))
                while not shop.store._writer._waiting_conversions:  # noqa: ASYNC110, SLF001
                    await asyncio.sleep(0)
                refused = await say_whole(shop, post(MIXED))
            return refused, undated(await one_answer(reader))

    direct, ordinary = await both(tmp_path, play, queue_limit=1)

    assert direct == ordinary
    refused, accepted = map(heard, direct[0])
    assert (refused.status, refused.headers["retry-after"], accepted.status) == (429, "1", 202)


async def test_a_full_gate_refuses(tmp_path):
    async def play(shop):
        protocol, transport = connected(shop)
        protocol.data_received(post(keep=True)[:-1])
        await asyncio.sleep(0)
        refused = await say_whole(shop, post())
        protocol.data_received(post(keep=True)[-1:])
        await asyncio.wait_for(transport.answered.wait(), 5)
        protocol.connection_lost(None)
        return refused, undated(transport.written)

    direct, ordinary = await both(tmp_path, play, limits=HttpLimits(requests=1))

    assert direct == ordinary
    assert [heard(answer).status for answer in direct[0]] == [429, 202]


async def test_a_store_that_is_closed_refuses(tmp_path):
    async def play(shop):
        await shop.store._writer.close()  # noqa: SLF001
        return await say_whole(shop, post())

    shown = []
    for is_direct in (True, False):
        shop = Shop(tmp_path, is_direct=is_direct)
        async with shop.running():
            shown.append((await play(shop), shop.inside, shop.notices.seen))
            shop.store._closed = True  # noqa: SLF001
            await shop.store._upkeep.close()  # noqa: SLF001
    direct, ordinary = shown

    assert direct == ordinary
    assert heard(direct[0]).status == 503


async def test_a_fault_of_the_gateway_is_answered_and_reported(tmp_path):
    def wake(_pixel):
        raise ZeroDivisionError

    async def play(shop):
        return await say_whole(shop, post())

    direct, ordinary = await both(tmp_path, play, wake=wake)

    assert direct == ordinary
    assert heard(direct[0]).status == 500
    assert direct[2] == [Troubled(where="/v1/conversions", reason=direct[2][0].reason)]
    assert "ZeroDivisionError in wake" in direct[2][0].reason


async def test_stopping_lets_requests_finish(tmp_path):
    async def play(shop):
        async with shop.line() as (reader, writer):
            with shop.store._writer._turn:  # noqa: SLF001 - nothing is committed meanwhile
                writer.write(post(keep=True))
                while not shop.inside:  # noqa: ASYNC110
                    await asyncio.sleep(0)
                stopping = asyncio.create_task(shop.server.stop())
                await asyncio.sleep(0)
            answer = await asyncio.wait_for(reader.read(), 5)
            await stopping
            return undated(answer)

    direct, ordinary = await both(tmp_path, play)

    assert direct == ordinary
    assert b"\r\nconnection: close\r\n" in direct[0]


async def test_stopping_waits_for_the_commit_of_a_client_that_left(tmp_path):
    async def play(shop):
        protocol, _ = connected(shop)
        with shop.store._writer._turn:  # noqa: SLF001 - nothing is committed meanwhile
            protocol.data_received(post(keep=True))
            await asyncio.sleep(0)
            protocol.connection_lost(None)
            stopping = asyncio.create_task(shop.server.stop())
            await asyncio.wait([stopping], timeout=0.05)
        await stopping
        return list(shop.notices.seen)

    direct, ordinary = await both(tmp_path, play)

    assert direct == ordinary
    assert len(direct[0]) == 1


async def test_stopping_cuts_off_what_takes_too_long(tmp_path, caplog):
    async def play(shop):
        async with shop.line() as (reader, writer):
            with shop.store._writer._turn:  # noqa: SLF001 - nothing is committed meanwhile
                writer.write(post(keep=True))
                while not shop.inside:  # noqa: ASYNC110
                    await asyncio.sleep(0)
                await shop.server.stop()
            return await asyncio.wait_for(reader.read(), 5)

    direct, ordinary = await both(tmp_path, play, limits=QUICK)

    assert direct[0] == ordinary[0] == b""
    assert direct[3] == ordinary[3]
    assert caplog.records == []


async def test_an_answer_waits_until_the_client_reads(tmp_path):
    async def play(shop):
        protocol, transport = connected(shop)
        protocol.pause_writing()
        protocol.data_received(post(keep=True))
        while shop.notices.seen == [] or shop.inside:  # noqa: ASYNC110 - until it is committed
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        paused = transport.written
        protocol.resume_writing()
        await asyncio.wait_for(transport.answered.wait(), 5)
        while not protocol.active.response_complete:  # noqa: ASYNC110
            await asyncio.sleep(0)
        protocol.connection_lost(None)
        return paused, undated(transport.written)

    direct, ordinary = await both(tmp_path, play)

    assert direct == ordinary
    assert direct[0][0] == b""


async def test_dozens_of_requests_sent_ahead_are_answered_in_order(tmp_path):
    async def play(shop):
        return await say_whole(shop, post(keep=True) * 40 + post())

    direct, ordinary = await both(tmp_path, play)

    assert direct == ordinary
    assert direct[0].count(b"HTTP/1.1 202") == 41
