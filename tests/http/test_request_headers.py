"""Which request headers are required, and which are ignored."""

import asyncio

import pytest
from http_stage import HEAD, ONE, one_answer

from raw_http import parse_response


@pytest.mark.parametrize("hosts", [b"", b"Host: a\r\nHost: b\r\n", b"Host: a\r\nHost: a\r\n"])
async def test_request_without_exactly_one_host_header_is_400(stage, hosts):
    sent = HEAD.replace(b"Host: a\r\n", hosts)
    assert sent != HEAD

    answer = parse_response(await stage.say(sent + ONE))

    assert (answer.status, answer.faults(), stage.accept.seen) == (400, [("", "host")], [])


@pytest.mark.parametrize("host", [b"a b", b"a/b", b"a@b", b"a:b", b"[::1", b"a?b", b"a\xc3\xa4"])
async def test_malformed_host_header_is_400(stage, host):
    answer = parse_response(await stage.say(HEAD.replace(b"Host: a", b"Host: " + host) + ONE))

    assert (answer.status, answer.faults(), stage.accept.seen) == (400, [("", "host")], [])


@pytest.mark.parametrize(
    "host", [b"", b"127.0.0.1:80", b"[::1]:80", b"t.shop.example", b"xn--a_b.example:", b"a."]
)
async def test_valid_host_header_is_accepted(stage, host):
    async with stage.line() as (reader, writer):
        writer.write(HEAD.replace(b"Host: a", b"Host: " + host) + ONE)

        assert parse_response(await one_answer(reader)).status == 202


async def test_http_1_0_needs_no_host_header(stage):
    answer = parse_response(await stage.say(b"GET /healthz HTTP/1.0\r\n\r\n"))

    assert answer.status == 200


OFFERS = {
    "h2c": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAAB\r\n",
    "websocket": b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
}


@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
@pytest.mark.parametrize("split", [None, 5, len(HEAD) + 60, len(HEAD) + 200])
async def test_offer_of_another_protocol_is_ignored(stage, offer, split):
    """Java's HttpClient sends such an offer with its first request."""
    sent = HEAD.replace(b"\r\n\r\n", b"\r\n" + offer + b"\r\n") + ONE

    async with stage.line() as (reader, writer):
        writer.write(sent[:split])
        await writer.drain()
        await asyncio.sleep(0.01)
        writer.write((sent[split:] if split else b"") + sent + HEAD + ONE)
        statuses = [parse_response(await one_answer(reader)).status for _ in range(3)]

    assert statuses == [202, 202, 202]
    assert [body for _, body, _ in stage.accept.seen] == [ONE] * 3


async def test_chunked_body_after_an_offer_of_another_protocol_is_read(stage):
    chunked = b"Transfer-Encoding: chunked\r\n" + OFFERS["h2c"]
    head = HEAD.replace(b"Content-Length: %d\r\n" % len(ONE), chunked)
    assert head != HEAD

    async with stage.line() as (reader, writer):
        writer.write(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(ONE), ONE))
        answer = parse_response(await one_answer(reader))

    assert (answer.status, stage.accept.seen) == (202, [("shop", ONE, None)])


@pytest.mark.parametrize("target", [b"a:443", b"/x", b"*", b"http://a/x"])
@pytest.mark.parametrize("more", [b"", b"Host: b\r\n", b"Content-Length: 3\r\n", OFFERS["h2c"]])
async def test_connect_request_is_refused_once(stage, target, more):
    """The parser calls every CONNECT an upgrade, also without the header."""
    sent = b"CONNECT %b HTTP/1.1\r\nHost: a\r\n%b\r\n" % (target, more)

    received = await stage.say(sent + HEAD + ONE)

    assert parse_response(received).status == 400
    assert (received.count(b"HTTP/1.1 4"), stage.accept.seen) == (1, [])
