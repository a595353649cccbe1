"""Frames between the gateway and an engine process: a length, and a MessagePack array."""

import os
import sys
from collections.abc import Iterator
from enum import IntEnum
from typing import Final

import msgspec

_LENGTH: Final = 4  # bytes
# Whether the two sides may poll before they sleep. With one core, only one side can run at a time.
POLLS: Final = sys.platform == "linux" and len(os.sched_getaffinity(0)) > 1
_ENCODER: Final = msgspec.msgpack.Encoder()


class Act(IntEnum):
    LOAD = 1  # a template: its boot text, code and limits; no response
    RUN = 2  # begin a run with a call and an event, and resume it with each further part
    RESUME = 3
    END = 4  # forget a run; no response


class EngineRequest(msgspec.Struct, frozen=True, array_like=True):
    """`run` and `template` are the gateway's numbers for a run and a template."""

    act: Act
    run: int
    template: int
    parts: tuple[str, ...] = ()


class EngineResponse(msgspec.Struct, frozen=True, array_like=True):
    """A turn as JSON, and the CPU seconds that it used. `ends`: the process ends afterwards.

    If `line` is above 0, the template's code cannot be used: `message` says what is wrong there.
    """

    run: int
    turn: str
    took: float
    ends: bool = False
    line: int = 0
    message: str = ""


class FrameTooLong(Exception):
    """A frame is longer than the limit."""


class FrameReader:
    """Splits received bytes into frames of at most `most` bytes."""

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the frames that are complete now. Raises FrameTooLong."""
        held = self._held
        if not held and len(data) >= _LENGTH:
            size = int.from_bytes(data[:_LENGTH])
            if size == len(data) - _LENGTH and size <= self._most:
                yield data[_LENGTH:]  # exactly one frame, the usual case
                return
        held += data
        at = 0
        while len(held) - at >= _LENGTH:
            size = int.from_bytes(held[at : at + _LENGTH])
            if size > self._most:
                raise FrameTooLong
            if len(held) - at - _LENGTH < size:
                break
            yield bytes(held[at + _LENGTH : at + _LENGTH + size])
            at += _LENGTH + size
        del held[:at]


def framed(message: EngineRequest | EngineResponse) -> bytes:
    """Return a message with its length."""
    body = _ENCODER.encode(message)
    return len(body).to_bytes(_LENGTH) + body
