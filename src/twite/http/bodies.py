"""Read and decompress request bodies under a size limit."""

import io
import re
import zlib
from collections.abc import Mapping
from typing import Final

import zstandard
from starlette.types import Receive

from twite.http.responses import ClientGone, HttpRefusal, HttpResponse, error

_GZIP: Final = 31  # zlib's code for a gzip wrapper with the largest window
_ZSTD_WINDOW: Final = 8 * 1024 * 1024  # RFC 9659: receivers must support no larger window
_JSON_TYPE: Final = re.compile(
    rb"\s*application/json\s*(?:;\s*charset\s*=\s*\"?utf-8\"?\s*)?;?\s*", re.IGNORECASE
)


async def read_body(headers: Mapping[bytes, bytes], receive: Receive, limit: int) -> bytes:
    """Read the body and decompress it.

    Raises HttpRefusal (413, 415, 400) and ClientGone. A body whose Content-Length exceeds
    the limit is not read.
    """
    declared = headers.get(b"content-length")
    if declared is not None and int(declared) > limit:
        raise HttpRefusal(_too_large(limit))
    message = await receive()
    if message["type"] != "http.request":
        raise ClientGone
    body: bytes = message["body"]
    if message["more_body"]:
        body = await _rest(body, receive, limit)
    encoding = headers.get(b"content-encoding")
    if encoding is not None:
        return inflate(body, encoding, limit)
    if len(body) > limit:
        raise HttpRefusal(_too_large(limit))
    return body


def is_json(headers: Mapping[bytes, bytes]) -> bool:
    """Return whether the body is declared to be JSON, in UTF-8."""
    given = headers.get(b"content-type")
    return given == b"application/json" or (
        given is not None and _JSON_TYPE.fullmatch(given) is not None
    )


def require_json(headers: Mapping[bytes, bytes]) -> None:
    """Raise HttpRefusal (415) unless the body is declared to be JSON, in UTF-8."""
    if is_json(headers):
        return
    raise HttpRefusal(
        error(
            415,
            "content_type",
            "the body must be JSON, with Content-Type: application/json",
            headers=((b"accept", b"application/json"),),
        )
    )


def inflate(body: bytes, encoding: bytes, limit: int) -> bytes:
    """Decompress one layer of gzip or zstd.

    Raises HttpRefusal (413, 415, 400). At most `limit` + 1 bytes of output are kept in memory.
    """
    name = encoding.strip().lower()
    if name == b"gzip":
        inflated = _gunzip(body, limit)
    elif name == b"zstd":
        inflated = _unzstd(body, limit)
    elif name == b"identity":
        inflated = body
    else:
        raise HttpRefusal(
            error(
                415,
                "encoding_unknown",
                "Content-Encoding must be gzip or zstd, used once, or absent",
                headers=((b"accept-encoding", b"gzip, zstd"),),
            )
        )
    if len(inflated) > limit:
        raise HttpRefusal(_too_large(limit))
    return inflated


async def _rest(first: bytes, receive: Receive, limit: int) -> bytes:
    parts, length = [first], len(first)
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGone
        parts.append(message["body"])
        length += len(message["body"])
        if length > limit:
            raise HttpRefusal(_too_large(limit))
        if not message["more_body"]:
            return b"".join(parts)


def _gunzip(body: bytes, limit: int) -> bytes:
    stream = zlib.decompressobj(_GZIP)
    try:
        inflated = stream.decompress(body, limit + 1)
    except zlib.error:
        raise _malformed("gzip") from None
    if len(inflated) <= limit and (not stream.eof or stream.unused_data):
        raise _malformed("gzip")
    return inflated


def _unzstd(body: bytes, limit: int) -> bytes:
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    try:
        promised = zstandard.get_frame_parameters(body).content_size
        # The library allocates the declared size of a frame at once, so that must be small.
        if limit < promised != zstandard.CONTENTSIZE_UNKNOWN:
            raise HttpRefusal(_too_large(limit))
        return decompressor.decompress(body, max_output_size=limit, allow_extra_data=False)
    except zstandard.ZstdError:
        pass
    # The library raises the same error for a truncated body and for a body over the limit.
    try:
        with decompressor.stream_reader(io.BytesIO(body)) as stream:
            inflated = stream.read(limit + 1)
    except zstandard.ZstdError:
        raise _malformed("zstd") from None
    if len(inflated) <= limit:
        raise _malformed("zstd")
    return inflated


def _too_large(limit: int) -> HttpResponse:
    return error(
        413,
        "body_too_large",
        f"a body may have at most {limit:,} bytes after decompression: send fewer conversions "
        "per request",
    )


def _malformed(name: str) -> HttpRefusal:
    return HttpRefusal(
        error(
            400,
            "encoding_malformed",
            f"the body must be exactly one complete {name} stream",
        )
    )
