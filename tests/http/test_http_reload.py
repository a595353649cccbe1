"""A reload replaces the running application: open connections, requests in progress, limits."""

import asyncio
import dataclasses

import msgspec
import pytest
from direct_stage import ONE, Shop, post

from builders import a_source
from raw_http import parse_response
from twite.domain.secret import Secret
from twite.http import HttpApplication

NEW_KEY = "another-source-key"


def replaced(shop, source):
    """Let a new application serve this source only."""
    before = shop.collector
    given = before._given  # noqa: SLF001
    accept = dataclasses.replace(given.accept)
    services = msgspec.structs.replace(given, accept=accept, sources=(source,))
    after = HttpApplication(services, before._services.settings, memory=before.memory)  # noqa: SLF001
    shop.server.use(after)
    given.accept.is_replaced = True
    shop.collector = after
    return before


def with_new_key():
    return msgspec.structs.replace(a_source(), pixels=frozenset({"o8z6j"}), key=Secret(NEW_KEY))


async def answered(reader):
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    length = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
    return parse_response(head + await reader.readexactly(int(length)))


async def test_open_connection_uses_the_new_application(tmp_path):
    shop = Shop(tmp_path, is_direct=True)
    async with shop.running(), shop.line() as (reader, writer):
        writer.write(post(keep=True))
        statuses = [(await answered(reader)).status]
        replaced(shop, with_new_key())
        for key in ("a-source-key", NEW_KEY):
            writer.write(post(keep=True, key=key))
            statuses.append((await answered(reader)).status)

    assert statuses == [202, 401, 202]


async def test_headers_cached_before_the_reload_are_not_used_afterwards(tmp_path):
    shop = Shop(tmp_path, is_direct=True)
    async with shop.running(), shop.line() as (reader, writer):
        for _ in range(3):
            writer.write(post(keep=True))
            assert (await answered(reader)).status == 202
        replaced(shop, with_new_key())
        writer.write(post(keep=True))
        status = (await answered(reader)).status

    assert status == 401


@pytest.mark.parametrize("cut", [20, -5])
async def test_request_completed_after_the_reload_needs_a_current_key(tmp_path, cut):
    shop = Shop(tmp_path, is_direct=True)
    statuses = []
    async with shop.running():
        for key in ("a-source-key", NEW_KEY):
            request = post(keep=True, key="a-source-key")
            async with shop.line() as (reader, writer):
                writer.write(request[:cut])
                await wait_until_read(shop, writer)
                if key == NEW_KEY:
                    replaced(shop, with_new_key())
                writer.write(request[cut:])
                statuses.append((await answered(reader)).status)
        inside = shop.inside

    assert statuses == [202, 401]
    assert inside == 0


async def wait_until_read(shop, writer):
    """Wait until the server has read what was sent: it answers on other connections later."""
    await writer.drain()
    for _ in range(3):
        await shop.ask("GET", "/healthz")


async def test_request_in_progress_is_answered_by_the_old_application(tmp_path):
    shop = Shop(tmp_path, is_direct=True)
    request = post(keep=True, kind="Content-Type: application/json\r\nExpect: 100-continue\r\n")
    async with shop.running(), shop.line() as (reader, writer):
        writer.write(request[:-5])
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).startswith(
            b"HTTP/1.1 100"
        )
        before = replaced(shop, with_new_key())
        drained = asyncio.create_task(before.drained())
        await shop.ask("GET", "/healthz")
        is_drained_early = drained.done()
        writer.write(request[-5:])
        status = (await answered(reader)).status
        await asyncio.wait_for(drained, 10)

    assert (is_drained_early, status) == (False, 202)


async def test_limits_and_nonces_stay_after_the_reload(tmp_path):
    shop = Shop(tmp_path, is_direct=True)
    async with shop.running():
        services = shop.collector._services  # noqa: SLF001
        used = services.nonces.use("scope", "nonce", now=1)
        weight = services.gate.enter({b"content-length": b"%d" % len(ONE)})
        replaced(shop, with_new_key())
        after = shop.collector._services  # noqa: SLF001
        again = after.nonces.use("scope", "nonce", now=1)
        occupied = after.gate.is_occupied
        services.gate.leave(weight)

    assert (used, again, occupied) == (True, False, True)
    assert after.origins.addresses is services.origins.addresses
