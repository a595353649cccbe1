"""Connections of the direct route: split requests, disconnects, full queues, shutdown."""

import asyncio
import json

from direct_stage import (
    MIXED,
    ONE,
    Shop,
    both,
    connected,
    post,
    say_whole,
    undated,
)
from http_stage import QUICK, one_answer

from raw_http import parse_response
from twite.gateway.ports.events import ProblemSeen
from twite.http import HttpLimits


async def test_request_can_be_split_at_any_byte(tmp_path):
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
    assert len(set(direct[0])) > len(request) // 2  # each has its own receipt


async def test_request_can_arrive_byte_by_byte(tmp_path):
    async def play(shop):
        protocol, transport = connected(shop)
        for byte in post(MIXED, keep=True):
            protocol.data_received(bytes([byte]))
        await asyncio.wait_for(transport.answered.wait(), 5)
        protocol.connection_lost(None)
        return undated(transport.written)

    direct, ordinary = await both(tmp_path, play)

    assert direct == ordinary


async def test_incomplete_body_is_refused_with_408(tmp_path):
    async def play(shop):
        async with shop.line() as (reader, writer):
            writer.write(post()[:-5])
            return undated(await asyncio.wait_for(reader.read(), 10))

    direct, ordinary = await both(tmp_path, play, limits=QUICK)

    assert direct == ordinary
    assert direct[:2] == (direct[0], 0)
    assert parse_response(direct[0]).status == 408


async def test_request_of_a_client_that_disconnects_does_not_count_as_in_flight(tmp_path):
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


async def test_body_is_freed_after_a_disconnect_or_timeout(tmp_path):
    async with Shop(tmp_path, is_direct=True, limits=QUICK).running() as shop:
        for ends in (lambda each: each.connection_lost(None), lambda each: each.sweep(each.due)):
            protocol, _ = connected(shop)
            protocol.data_received(post()[:-5])
            request = protocol.active
            arrived = b"".join(request.parts)
            ends(protocol)
            # The connection is a reference cycle, which may stay in memory for long.
            assert (arrived, request.parts, shop.inside) == (ONE[:-5], [], 0)


async def test_submission_is_stored_if_the_client_disconnects_before_the_response(tmp_path, caplog):
    async def play(shop):
        protocol, transport = connected(shop)
        with shop.store._writer._turn:  # noqa: SLF001 prevents commits meanwhile
            protocol.data_received(post(keep=True))
            await asyncio.sleep(0)
            protocol.connection_lost(ConnectionResetError())
            inside = shop.inside
        answer = await say_whole(shop, post())
        return inside, transport.written, json.loads(parse_response(answer).body)["duplicates"]

    direct, ordinary = await both(tmp_path, play)

    assert direct == ordinary
    assert direct[:2] == ((1, b"", 1), 0)
    assert caplog.records == []


async def test_requests_are_refused_if_the_queue_is_full(tmp_path):
    async def play(shop):
        async with shop.line() as (reader, writer):
            with shop.store._writer._turn:  # noqa: SLF001 prevents commits meanwhile
                writer.write(post(keep=True))
                while not shop.store._writer._waiting_conversions:  # noqa: ASYNC110, SLF001
                    await asyncio.sleep(0)
                refused = await say_whole(shop, post(MIXED))
            return refused, undated(await one_answer(reader))

    direct, ordinary = await both(tmp_path, play, queue_limit=1)

    assert direct == ordinary
    refused, accepted = map(parse_response, direct[0])
    assert (refused.status, refused.headers["retry-after"], accepted.status) == (429, "1", 202)


async def test_requests_are_refused_if_too_many_are_in_flight(tmp_path):
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
    assert [parse_response(answer).status for answer in direct[0]] == [429, 202]


async def test_requests_are_refused_if_the_store_is_closed(tmp_path):
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
            await shop.store._reader.close()  # noqa: SLF001
    direct, ordinary = shown

    assert direct == ordinary
    assert parse_response(direct[0]).status == 503


async def test_internal_error_is_answered_with_500_and_reported(tmp_path):
    def wake(_pixel):
        raise ZeroDivisionError

    async def play(shop):
        return await say_whole(shop, post())

    direct, ordinary = await both(tmp_path, play, wake=wake)

    assert direct == ordinary
    assert parse_response(direct[0]).status == 500
    assert direct[2] == [ProblemSeen(where="/v1/conversions", reason=direct[2][0].reason)]
    assert "ZeroDivisionError in wake" in direct[2][0].reason


async def test_shutdown_waits_for_requests_in_flight(tmp_path):
    async def play(shop):
        async with shop.line() as (reader, writer):
            with shop.store._writer._turn:  # noqa: SLF001 prevents commits meanwhile
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


async def test_shutdown_waits_for_the_commit_of_a_disconnected_client(tmp_path):
    async def play(shop):
        protocol, _ = connected(shop)
        with shop.store._writer._turn:  # noqa: SLF001 prevents commits meanwhile
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


async def test_shutdown_closes_slow_requests(tmp_path, caplog):
    async def play(shop):
        async with shop.line() as (reader, writer):
            with shop.store._writer._turn:  # noqa: SLF001 prevents commits meanwhile
                writer.write(post(keep=True))
                while not shop.inside:  # noqa: ASYNC110
                    await asyncio.sleep(0)
                await shop.server.stop()
            return await asyncio.wait_for(reader.read(), 5)

    direct, ordinary = await both(tmp_path, play, limits=QUICK)

    assert direct[0] == ordinary[0] == b""
    assert direct[3] == ordinary[3]
    assert caplog.records == []


async def test_next_response_waits_until_the_client_reads(tmp_path):
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


async def test_pipelined_requests_that_offer_another_protocol_keep_their_bodies(tmp_path):
    offer = post(ONE, "Upgrade: h2c", "Connection: upgrade", keep=True)

    direct, ordinary = await both(tmp_path, lambda shop: say_whole(shop, offer * 3 + post()))

    assert direct[0].count(b"HTTP/1.1 202") == 4
    assert direct == ordinary


async def test_pipelined_requests_are_answered_in_order(tmp_path):
    async def play(shop):
        return await say_whole(shop, post(keep=True) * 40 + post())

    direct, ordinary = await both(tmp_path, play)

    assert direct == ordinary
    assert direct[0].count(b"HTTP/1.1 202") == 41
