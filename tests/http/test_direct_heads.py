"""Requests that repeat earlier headers skip the parser, and get the same responses."""

import asyncio
import json

import pytest
from direct_stage import MIXED, ONE, ORDER, PING, Shop, both, connected, post, undated
from http_stage import KEY

from builders import a_source
from twite.http.deadlines import DeadlineProtocol
from twite.http.direct_heads import DirectHead, DirectHeads

KEPT = post(keep=True)
OTHER = json.dumps(ORDER | {"conversion_id": "another-order"}).encode()
# Each is sent after KEPT, in these pieces.
NEXT = {
    "the same": [KEPT],
    "other headers": [post(MIXED, keep=True)],
    "another order": [post(OTHER, keep=True)],
    "not JSON": [post(b"x" * len(ONE), keep=True)],
    "a wrong key": [post(keep=True, key=KEY[:-1] + "x")],
    "another method": [post(keep=True, method="GET")],
    "the body later": [KEPT[:-5], KEPT[-5:]],
    "the headers in pieces": [KEPT[:5], KEPT[5:]],
    "two at once": [KEPT + KEPT],
    "one and a half": [KEPT + KEPT[:40], KEPT[40:]],
    "an empty line before": [b"\r\n" + KEPT],
    "an empty line before, apart": [b"\r\n", KEPT],
    "an empty line after": [KEPT + b"\r\n", KEPT],
    "another route between": [PING, KEPT],
    "no HTTP": [b"\r\n\r\n\x00\r\n\r\n"],
    "the last": [post()],
    "short lines": [KEPT.replace(b"\r\n", b"\n"), KEPT.replace(b"\r\n", b"\n")],
    "a name": [post(ONE, "Idempotency-Key: a", keep=True)] * 2,
    "an empty body": [post(b"", keep=True)] * 2,
}


async def send(shop, pieces):
    """Send pieces on one connection, each after the earlier answers; return the answers."""
    protocol, transport = connected(shop)
    for piece in pieces:
        protocol.data_received(piece)
        for _ in range(10_000):
            await asyncio.sleep(0)
            active = protocol.active
            if protocol.in_headers or protocol.in_body or transport.is_closed:
                break
            if active is None or active.response_complete:
                break
            await asyncio.sleep(0.001)
        if transport.is_closed:
            break
    protocol.connection_lost(None)
    return undated(transport.written), transport.is_closed


@pytest.mark.parametrize("pieces", NEXT.values(), ids=NEXT)
async def test_requests_after_repeated_headers_get_the_usual_responses(tmp_path, pieces):
    async def play(shop):
        return await send(shop, [KEPT, KEPT, *pieces, KEPT])

    direct, ordinary = await both(tmp_path, play)

    assert direct == ordinary


@pytest.mark.parametrize(
    ("name", "parsed"), [("the same", 1), ("another order", 2), ("a name", 3), ("the last", 2)]
)
async def test_repeated_headers_are_not_parsed_again(tmp_path, monkeypatch, name, parsed):
    parses = []
    parse = DeadlineProtocol._parse  # noqa: SLF001
    monkeypatch.setattr(
        DeadlineProtocol, "_parse", lambda self, data: (parses.append(data), parse(self, data))[1]
    )

    async with Shop(tmp_path, is_direct=True).running() as shop:
        for pieces in ([KEPT], NEXT[name]):
            await send(shop, pieces)

    assert len(parses) == parsed


async def test_cached_headers_are_shared_by_connections_and_each_body_is_read(tmp_path):
    async with Shop(tmp_path, is_direct=True).running() as shop:
        await send(shop, [KEPT])
        (answer, _) = await send(shop, [KEPT.replace(b'"order-1"', b'"order-2"')])

    assert b'"accepted":1,"duplicates":0' in answer


@pytest.mark.parametrize("left", [0, 1])
async def test_requests_that_arrive_together_share_a_commit(tmp_path, left):
    async with Shop(tmp_path, is_direct=True).running() as shop:
        await send(shop, [KEPT])
        lines = [connected(shop) for _ in range(5)]
        for number, (protocol, _) in enumerate(lines):
            protocol.data_received(KEPT.replace(b'"order-1"', b'"order-%d"' % (number % 4 + 1)))
        for protocol, _ in lines[:left]:
            protocol.connection_lost(None)
        inside = shop.inside
        for _, transport in lines[left:]:
            await asyncio.wait_for(transport.answered.wait(), 5)
        counts = [undated(transport.written).count(b'"accepted":1,') for _, transport in lines]
        for protocol, _ in lines[left:]:
            protocol.connection_lost(None)
        seen = [notice.accepted for notice in shop.notices.seen]

    assert inside == 5
    assert counts == [0] * max(left, 1) + [1] * (4 - max(left, 1)) + [0]  # two are duplicates
    assert sorted(seen) == [0, 0, 1, 3]


def test_number_of_cached_headers_is_limited():
    heads = DirectHeads()
    head = DirectHead(a_source(), 10, 10, [])

    for number in range(5_000):
        heads.remember(b"%d" % number, head)

    assert heads.find(b"4999") is head
    assert sum(heads.find(b"%d" % number) is not None for number in range(5_000)) <= 512
