"""The connection to one engine process, and the runs that are suspended in it."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from twite.tags.engines.boot import boot_of, code_of
from twite.tags.engines.process.frames import POLLS, Act, EngineRequest, FrameReader, framed
from twite.tags.template.permissions import PermissionPolicy, policy
from twite.tags.template.sandbox import RunLimits, Turn
from twite.tags.template.template import Template

_MOST_REPEATED: Final = 4 * 1024 * 1024  # characters
_POLLED: Final = 0.0005  # seconds
_SHORT_TURNS: Final = 8


class Spawns(Protocol):
    """The fork server."""

    def spawn(self, *, memory: int) -> tuple["PipeEnds", "asyncio.Future[int]"]: ...

    def kill(self, pid: int) -> None: ...

    def ended(self, pid: int) -> "asyncio.Future[int]": ...

    def forget(self, pid: int) -> None: ...


@dataclass(slots=True, frozen=True)
class PipeEnds:
    """The gateway's ends of two pipes.

    A pipe wakes its reader only when there is data. A socket would also wake it when the other end
    has read the message that it sent.
    """

    reader: int
    writer: int


class TemplateBoot(msgspec.Struct, frozen=True):
    """A template: what a process loads of it, and which effects it may request."""

    template: Template
    parts: tuple[str, str, str]
    policy: PermissionPolicy


class TemplateBoots:
    """The parts of templates that a process loads. `keys` are the keys for hmacSha256, by id."""

    def __init__(self, limits: RunLimits, keys: Mapping[str, str]) -> None:
        self._limits = limits
        self._keys = keys
        self._boots: dict[int, TemplateBoot] = {}

    def of(self, template: Template) -> TemplateBoot:
        found = self._boots.get(id(template))
        if found is None:
            boot, limits = boot_of(template, limits=self._limits, keys=self._keys)
            parts = boot, code_of(template), msgspec.json.encode(limits).decode()
            found = TemplateBoot(template, parts, policy(template.grants))
            self._boots[id(template)] = found
        return found


class EngineRun:
    """A run, and the input of its turns; `parts` is None if the input is too large to keep."""

    def __init__(self, number: int, boot: TemplateBoot, parts: tuple[str, str]) -> None:
        self.number = number
        self.boot = boot
        self.parts: tuple[str, ...] | None = parts
        self.last = ""
        self.line: EngineLine | None = None  # the process in which it is suspended
        self._size = len(parts[0]) + len(parts[1])

    def add(self, text: str) -> None:
        self.last = text
        self._size += len(text)
        kept = self.parts is not None and self._size <= _MOST_REPEATED
        self.parts = (*self.parts, text) if kept and self.parts is not None else None


@dataclass(slots=True, eq=False)
class AskedTurn:
    """A turn that a caller waits for. `took` are the CPU seconds of an earlier attempt."""

    run: EngineRun
    future: asyncio.Future[Turn]
    took: float = 0.0


class EngineLine:
    """The connection to one process. `pid` is 0 if the process could not be started."""

    def __init__(
        self,
        ends: PipeEnds,
        pid: asyncio.Future[int],
        *,
        longest: int,
        clock: Callable[[], float] = time.monotonic,
        polls: bool = POLLS,
    ) -> None:
        self.ends = ends
        for end in (ends.reader, ends.writer):
            os.set_blocking(end, False)
        self._clock = clock
        self._polls = polls
        self._began = 0.0  # when the only turn in progress began
        self._short = 0  # short turns in a row
        self.pid = pid
        self.frames = FrameReader(most=longest)
        self._loaded: dict[int, int] = {}
        self._out = bytearray()
        self._is_flushing = False
        self._is_full = False  # the rest of `_out` is sent when there is room
        self.sent: deque[AskedTurn] = deque()
        self.answered = 0  # turns
        self.is_open = True
        self.why = ""  # why Twite ended the process
        self.took = 0.0
        # The current turn, and when it began, as of the last check.
        self.at: AskedTurn | None = None
        self.cpu = self.since = 0.0

    def write(self, request: EngineRequest) -> None:
        """Send a request: at once if the process waits for a turn."""
        self._out += framed(request)
        if self._is_flushing:
            return
        self._is_flushing = True
        if not self.sent and (request.act is Act.RUN or request.act is Act.RESUME):
            self._flush()
        else:
            # All requests of this iteration of the event loop are sent together.
            asyncio.get_running_loop().call_soon(self._flush)

    def add(self, asked: AskedTurn) -> None:
        """Add a turn whose request was written.

        If several turns in a row were short, and no others were pending, the event loop polls
        before it sleeps, as the engine process does (see `RequestPipe`).
        """
        self.sent.append(asked)
        if len(self.sent) == 1:
            self._began = self._clock()
            if self._polls and self._short >= _SHORT_TURNS:
                self._poll(asked)

    def remove(self) -> None:
        """Remove the first turn, now that it has been answered."""
        is_short = self._clock() - self._began < _POLLED
        self._short = self._short + 1 if is_short and len(self.sent) == 1 else 0
        self.sent.popleft()
        self.answered += 1

    def _poll(self, asked: AskedTurn) -> None:
        is_alone = len(self.sent) == 1 and self.sent[0] is asked
        if is_alone and self._clock() - self._began < _POLLED:
            asyncio.get_running_loop().call_soon(self._poll, asked)

    def load(self, boot: TemplateBoot) -> int:
        """Load a template once; return its number in the process."""
        number = self._loaded.get(id(boot.template))
        if number is None:
            number = self._loaded[id(boot.template)] = len(self._loaded) + 1
            self.write(EngineRequest(Act.LOAD, 0, number, boot.parts))
        return number

    def close(self) -> None:
        """Close the connection. The process then ends."""
        if not self.is_open:
            return
        self.is_open = False
        loop = asyncio.get_running_loop()
        loop.remove_reader(self.ends.reader)
        loop.remove_writer(self.ends.writer)
        os.close(self.ends.reader)
        os.close(self.ends.writer)
        self._out.clear()

    def _flush(self) -> None:
        if not self.is_open:
            return
        try:
            while self._out:
                del self._out[: os.write(self.ends.writer, self._out)]
        except BlockingIOError:
            if not self._is_full:
                self._is_full = True
                asyncio.get_running_loop().add_writer(self.ends.writer, self._flush)
            return
        except OSError:
            self._out.clear()  # the process has ended; its reader handles that
        if self._is_full:
            self._is_full = False
            asyncio.get_running_loop().remove_writer(self.ends.writer)
        self._is_flushing = False

    def burned(self) -> float | None:
        """Return how many CPU seconds the process has used; None if unknown."""
        if sys.platform != "linux":
            return time.monotonic()
        if not self.pid.done() or self.pid.cancelled() or not self.pid.result():
            return None
        try:
            # How Linux numbers the CPU clock of a process.
            return time.clock_gettime((~self.pid.result() << 3) | 2)
        except OSError:
            return None


def way_of(status: int) -> str:
    """Return how a process ended, for users."""
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"by {signal.Signals(-status).name}"
    return f"with status {status}"
