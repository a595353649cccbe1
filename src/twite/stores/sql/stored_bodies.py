"""Stored bodies of requests: those of more than 2 kB are compressed.

A compressed body begins with the magic number of Zstandard, and no other body does: one that would
is compressed, whatever its size.
"""

import threading
from typing import Final

import zstandard

# RFC 8878, section 3.1.1.
_MAGIC: Final = (0xFD2FB528).to_bytes(4, "little")
_COMPRESSED_FROM: Final = 2_048
# Higher levels save nothing: conversions of a request are similar, and the rest is hashes.
_LEVEL: Final = 1
# What is left of an erased body must fit into its former place, and this is rarely computed.
_LEVEL_OF_ERASED: Final = 12
# Larger than any accepted request. A damaged body may claim any size.
_MOST_BYTES: Final = 64 << 20


def stored(body: bytes) -> bytes:
    """Return the bytes to store."""
    if len(body) <= _COMPRESSED_FROM and not body.startswith(_MAGIC):
        return body
    return _COMPRESSORS.usual.compress(body)


def body_of(stored: bytes) -> bytes:
    """Return the body of stored bytes. If they are damaged, return the bytes themselves."""
    if not stored.startswith(_MAGIC):
        return stored
    try:
        if zstandard.get_frame_parameters(stored).content_size > _MOST_BYTES:
            return stored
        # What follows the compressed body is filling, and is ignored.
        return zstandard.ZstdDecompressor().decompress(stored)
    except (zstandard.ZstdError, MemoryError):
        return stored


def stored_in_place(body: bytes, size: int) -> bytes:
    """Return the bytes to store in the place of `size` bytes, and fill it.

    A row of the same length is overwritten in place. If a row shrinks, SQLite moves its neighbours,
    and leaves copies of them in the unused part of pages.
    """
    if len(body) <= size and not body.startswith(_MAGIC):
        return body.ljust(size)
    return _compressor(_LEVEL_OF_ERASED).compress(body).ljust(size, b"\0")


def _compressor(level: int) -> zstandard.ZstdCompressor:
    # The checksum recognizes a damaged body.
    return zstandard.ZstdCompressor(level=level, write_checksum=True)


class _Compressors(threading.local):
    """The compressor of each thread. To create one takes longer than to compress a request."""

    def __init__(self) -> None:
        self.usual = _compressor(_LEVEL)


_COMPRESSORS: Final = _Compressors()
