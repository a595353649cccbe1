import gzip
import zlib

import msgspec
import pytest
import zstandard

from twite.http.bodies import inflate
from twite.http.responses import HttpRefusal

LIMIT = 1_000
BODY = b'{"event":"purchase"}'


def refused(body: bytes, encoding: bytes) -> tuple[int, str]:
    with pytest.raises(HttpRefusal) as caught:
        inflate(body, encoding, LIMIT)
    answer = caught.value.answer
    return answer.status, msgspec.json.decode(answer.body)["errors"][0]["code"]


def test_gzip_body_is_inflated():
    assert inflate(gzip.compress(BODY, mtime=0), b"gzip", LIMIT) == BODY


def test_zstd_body_is_inflated_with_and_without_a_declared_size():
    silent = zstandard.ZstdCompressor(write_content_size=False).compress(BODY)

    assert inflate(zstandard.compress(BODY), b"zstd", LIMIT) == BODY
    assert inflate(silent, b"zstd", LIMIT) == BODY


def test_name_of_an_encoding_can_be_written_in_any_case():
    assert inflate(gzip.compress(BODY, mtime=0), b" GZip", LIMIT) == BODY


def test_body_with_the_encoding_identity_is_unchanged():
    assert inflate(BODY, b"identity", LIMIT) == BODY


@pytest.mark.parametrize("encoding", [b"deflate", b"br", b"gzip, gzip", b"zstd,gzip", b"", b"x"])
def test_unknown_or_several_encodings_are_refused(encoding):
    twice = gzip.compress(gzip.compress(BODY))

    assert refused(twice, encoding) == (415, "encoding_unknown")


def test_body_that_inflates_to_exactly_the_limit_is_accepted():
    full = b"x" * LIMIT

    assert inflate(gzip.compress(full, mtime=0), b"gzip", LIMIT) == full
    assert inflate(zstandard.compress(full), b"zstd", LIMIT) == full


@pytest.mark.parametrize("size", [LIMIT + 1, 5_000_000])
@pytest.mark.parametrize(
    ("compress", "encoding"),
    [
        (gzip.compress, b"gzip"),
        (zstandard.compress, b"zstd"),
        (zstandard.ZstdCompressor(write_content_size=False).compress, b"zstd"),
    ],
)
def test_body_that_inflates_beyond_the_limit_is_too_large(size, compress, encoding):
    assert refused(compress(b"0" * size), encoding) == (413, "body_too_large")


@pytest.mark.parametrize(
    ("broken", "encoding"),
    [
        (b"", b"gzip"),
        (BODY, b"gzip"),
        (zlib.compress(BODY), b"gzip"),
        (gzip.compress(BODY, mtime=0)[:-1], b"gzip"),
        (gzip.compress(BODY, mtime=0) + gzip.compress(BODY, mtime=0), b"gzip"),
        (gzip.compress(BODY, mtime=0) + b"!", b"gzip"),
        (b"", b"zstd"),
        (BODY, b"zstd"),
        (zstandard.compress(BODY)[:-1], b"zstd"),
        (zstandard.compress(BODY) + b"!", b"zstd"),
        (zstandard.ZstdCompressor(write_content_size=False).compress(BODY)[:-1], b"zstd"),
    ],
)
def test_damaged_compressed_body_or_trailing_data_is_malformed(broken, encoding):
    assert refused(broken, encoding) == (400, "encoding_malformed")


async def test_route_receives_the_inflated_body(stage):
    answer = await stage.submit(gzip.compress(BODY, mtime=0), headers={"Content-Encoding": "gzip"})

    assert answer.status == 202
    assert [body for _, body, _ in stage.accept.seen] == [BODY]


async def test_body_with_a_declared_size_over_the_limit_is_refused_before_it_is_sent(stage):
    answer = await stage.submit(b"{", headers={"Content-Length": "1048577"})

    assert answer.status == 413
    assert answer.faults() == [("", "body_too_large")]


async def test_chunked_body_is_refused_when_it_exceeds_the_limit(stage):
    piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    sent = (
        b"POST /v1/conversions HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        b"Authorization: Bearer a-source-key\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n" + piece * 17 + b"0\r\n\r\n"
    )

    answer = await stage.say(sent)

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert stage.accept.seen == []


async def test_chunks_of_a_body_are_joined(stage):
    sent = (
        b"POST /v1/conversions HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        b"Authorization: Bearer a-source-key\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )

    async with stage.line() as (reader, writer):
        for piece in (sent, b"8\r\n" + BODY[:8] + b"\r\n", b"c\r\n" + BODY[8:] + b"\r\n0\r\n\r\n"):
            writer.write(piece)
            await writer.drain()
        answer = await reader.read()

    assert answer.startswith(b"HTTP/1.1 202 ")
    assert [body for _, body, _ in stage.accept.seen] == [BODY]


async def test_body_of_exactly_the_limit_is_accepted(stage):
    answer = await stage.submit(b" " * (1024 * 1024))

    assert answer.status == 202
