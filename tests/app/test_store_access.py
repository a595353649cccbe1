"""Commands open the store themselves, or reach it through the gateway that owns it."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest
from aiohttp import web

from fakes import SeededRandomness
from twite.app.control_client import (
    Reachable,
    leave_address,
    reachable,
    remove_address,
    running,
)
from twite.app.serving import forget_unusable
from twite.app.store_access import open_operations, open_records
from twite.config.settings import load
from twite.domain.delivery import State
from twite.domain.errors import LedgerUnavailable, StoreInUse, StoreUnusable
from twite.domain.history import History
from twite.domain.people.users import AuditEvent
from twite.domain.replay_batch import ReplayPart
from twite.domain.secret import Secret
from twite.gateway.operations.edit import Edit
from twite.gateway.operations.replays import new_replay
from twite.gateway.ports.outbox import Discard, MoveResult
from twite.stores.sqlite import SQLiteStore
from written import read

Answer = Callable[[web.Request], object]
AUDIT_EVENT = AuditEvent(at=1, who="ada (command)", what="discard", subject="o8z6j", detail="2")
ONE = Discard(deliveries=[1], note="a test")


@asynccontextmanager
async def a_gateway(answer: Answer) -> AsyncIterator[str]:
    """Serve the control route `POST /-/control` on loopback."""
    app = web.Application()
    app.router.add_post("/-/control", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def settings(tmp_path):
    """Settings with a store that another process owns."""
    read_ones = read(tmp_path)
    owned = await SQLiteStore.open(str(read_ones.store.path))
    yield read_ones
    await owned.close()


def a_history(delivery: int) -> History:
    return History(
        delivery=delivery,
        pixel="o8z6j",
        event="o8z6k",
        conversion_id="order-1",
        state=State.DEAD,
        source="shop",
        receipt="r1",
        received_at=1,
        deadline_at=2,
        sent=b"{}",
        attempts=(),
    )


def write_gateway_file(settings, url: str) -> None:
    word = {"pid": 1, "url": url, "token": "the-token"}
    settings.store.gateway_file.write_text(json.dumps(word))


async def test_command_calls_the_gateway_with_the_token_of_its_file(settings):
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append((request.headers["Authorization"], await request.json()))
        return web.json_response({"done": 2})

    async with a_gateway(answer) as url:
        write_gateway_file(settings, url)
        async with open_operations(settings) as operations:
            done = await operations.discard(
                Discard(deliveries=[1, 2], note="test orders"), audit_event=AUDIT_EVENT
            )

    assert done == MoveResult(moved=2)
    assert asked == [
        (
            "Bearer the-token",
            {
                "do": "discard",
                "deliveries": [1, 2],
                "note": "test orders",
                "audit_event": msgspec.to_builtins(AUDIT_EVENT),
            },
        )
    ]


async def test_many_deliveries_are_discarded_in_several_requests(settings):
    """Only the first of them has the audit event."""
    asked = []

    async def answer(request: web.Request) -> web.Response:
        order = await request.json()
        asked.append(order.get("audit_event"))
        many = len(order["deliveries"])
        refused = {order["deliveries"][0]: "in flight"}
        return web.json_response({"done": many - 1, "refused": refused})

    async with a_gateway(answer) as url:
        write_gateway_file(settings, url)
        async with open_operations(settings) as operations:
            done = await operations.discard(
                Discard(deliveries=range(25_000), note=""), audit_event=AUDIT_EVENT
            )

    refused = dict.fromkeys((0, 10_000, 20_000), "in flight")
    assert done == MoveResult(moved=24_997, refused=refused)
    assert asked == [msgspec.to_builtins(AUDIT_EVENT), None, None]


async def test_large_replay_is_started_by_the_last_of_several_requests(settings):
    asked = []
    histories = [a_history(delivery) for delivery in range(25_000)]
    replay = new_replay(
        histories,
        Edit(),
        is_confirmed=False,
        who="ada",
        now=1,
        randomness=SeededRandomness(),
    )

    async def answer(request: web.Request) -> web.Response:
        asked.append(await request.json())
        return web.json_response({"done": 1})

    async with a_gateway(answer) as url:
        write_gateway_file(settings, url)
        async with open_operations(settings) as operations:
            await operations.start_replay(replay)

    parts = [part for order in asked for part in order["parts"]]
    assert [order.get("batch", {}).get("id") for order in asked] == [None, None, replay.batch.id]
    assert [order.get("audit_event") for order in asked] == [
        None,
        None,
        msgspec.to_builtins(replay.audit_event),
    ]
    assert msgspec.convert(parts, list[ReplayPart]) == list(replay.parts)
    assert max(len(msgspec.json.encode(order)) for order in asked) < 1024 * 1024


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (404, "{}", "answered 404"),
        (503, "{}", "answered 503"),
        (302, "{}", "answered 302"),
        (200, "<html>", "sent an unreadable response"),
    ],
)
async def test_unusable_response_of_the_gateway_is_reported(settings, status, body, why):
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, text=body, headers={"Location": "/elsewhere"})

    async with a_gateway(answer) as url:
        write_gateway_file(settings, url)
        with pytest.raises(LedgerUnavailable) as reported:
            async with open_operations(settings) as operations:
                await operations.discard(ONE, audit_event=AUDIT_EVENT)

    assert reported.value.reason == (
        f"the gateway at {url} owns the store and {why}. Check the gateway's log, or stop the "
        f"gateway and try again"
    )


async def test_unreachable_gateway_is_reported(settings):
    write_gateway_file(settings, "http://127.0.0.1:1")

    with pytest.raises(LedgerUnavailable, match="cannot be reached"):
        async with open_operations(settings) as operations:
            await operations.discard(ONE, audit_event=AUDIT_EVENT)


@pytest.mark.parametrize("word", [None, "", "{}", '{"pid": "one"}', "\udcff"])
async def test_store_in_use_without_a_valid_gateway_file_is_refused(settings, word):
    if word is not None:
        settings.store.gateway_file.write_bytes(word.encode("utf-8", "surrogateescape"))

    with pytest.raises(StoreInUse):
        async with open_operations(settings):
            pass


async def test_gateway_file_of_a_crashed_gateway_is_ignored(tmp_path):
    settings = read(tmp_path)
    write_gateway_file(settings, "http://127.0.0.1:1")

    async with open_operations(settings) as operations:
        assert (await operations.move(ONE, now=0)).moved == 0


def test_repr_of_the_operations_hides_the_token(tmp_path):
    settings = read(tmp_path)
    write_gateway_file(settings, "http://127.0.0.1:1")

    found = reachable(settings.store.gateway_file)

    assert found == Reachable(pid=1, url="http://127.0.0.1:1", token="the-token")
    assert "the-token" not in repr(found)


async def test_missing_store_is_refused_and_not_created(tmp_path):
    settings = read(tmp_path)

    with pytest.raises(StoreUnusable):
        async with open_records(settings):
            pass

    assert not settings.store.path.exists()


def test_gateway_file_of_a_killed_gateway_is_ignored(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    note = tmp_path / "twite.db.gateway"
    alive, dead = [
        json.dumps({"pid": pid, "url": "http://127.0.0.1:1", "token": "t"})
        for pid in (os.getpid(), ended.pid)
    ]

    found = []
    for word in (alive, dead, "{"):
        note.write_text(word)
        found.append(running(note))

    assert found == [Reachable(pid=os.getpid(), url="http://127.0.0.1:1", token="t"), None, None]


def test_unwritable_gateway_file_does_not_stop_the_gateway(tmp_path):
    """A container often has its settings in a read-only folder."""
    (tmp_path / "twite.toml").write_text('[store]\nurl = "postgresql://twite@db/twite"\n')
    settings = load(tmp_path / "twite.toml", {})
    for file in (settings.store.gateway_file, settings.store.alerted_file):
        file.mkdir()

    forget_unusable(settings)
    leave_address(settings.store.gateway_file, url="http://[::1]:8080", token=Secret("token"))
    remove_address(settings.store.gateway_file)

    assert reachable(settings.store.gateway_file) is None
