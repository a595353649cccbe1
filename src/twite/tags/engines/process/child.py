"""An engine process: runs turns in the order in which they arrive, and does nothing else.

The kernel ends the process with SIGPROF when a turn exceeds its CPU time limit. If a turn exceeds
any other limit, the process responds and ends, because the engine may be damaged.
"""

import hashlib
import os
import select
import signal
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import msgspec
import quickjs

from twite.tags.engines.context_limits import ContextLimits
from twite.tags.engines.process.frames import (
    POLLS,
    Act,
    EngineRequest,
    EngineResponse,
    FrameReader,
    framed,
)
from twite.tags.engines.process.isolation import INPUT, OUTPUT
from twite.tags.engines.quickjs.context import (
    BOOT_TIME,
    CodeUnusable,
    LimitPassed,
    Sandbox,
    TemplateContext,
    TurnHead,
)

_CHUNK: Final = 64 * 1024  # bytes
_MOST: Final = 1 << 30
_POLLED: Final = 0.0003  # seconds
_QUICK_REQUESTS: Final = 8
_TIMER: Final = signal.ITIMER_PROF  # counts CPU time; its signal ends the process
_REQUEST: Final = msgspec.msgpack.Decoder(EngineRequest)
_LIMITS: Final = msgspec.json.Decoder(ContextLimits)
_LOST: Final = "unknown run: the run has ended, or it exceeded a limit"
# The fork server evaluates one sandbox, and each process begins with a copy of it.
_EVALUATED: Final[list[Sandbox]] = []


class _Templates:
    """The contexts of templates by number, and the runs that are suspended in them."""

    def __init__(self) -> None:
        self._contexts: dict[int, TemplateContext | CodeUnusable] = {}
        self._runs: dict[int, tuple[TemplateContext, int]] = {}
        self._last: TemplateContext | None = None  # of the last turn

    def load(self, number: int, boot: str, code: str, limits: str) -> None:
        try:
            with _boot_time():
                self._contexts[number] = _context(code, boot, _LIMITS.decode(limits))
        except CodeUnusable as unusable:
            self._contexts[number] = unusable

    def turn(self, request: EngineRequest) -> EngineResponse:
        began = time.thread_time()
        run, parts = request.run, request.parts
        try:
            if request.act is Act.RESUME:
                context, own = self._runs[run]
                signal.setitimer(_TIMER, context.limits.time)
                text, head = context.resume(own, parts[0])
            else:
                found = self._contexts[request.template]
                if isinstance(found, CodeUnusable):
                    return EngineResponse(run, "", 0.0, line=found.line, message=found.message)
                context = found
                signal.setitimer(_TIMER, context.limits.time * (len(parts) - 1))
                text, head = _replayed(context, parts)
        except KeyError:
            return EngineResponse(run, _failed(_LOST), 0.0)
        except (LimitPassed, quickjs.JSException) as passed:
            took = time.thread_time() - began
            return EngineResponse(run, _failed(str(passed), spent=True), took, ends=True)
        finally:
            signal.setitimer(_TIMER, 0)
        self._last = context
        if head.is_over:
            self._runs.pop(run, None)
        else:
            self._runs[run] = context, head.run
        return EngineResponse(run, text, time.thread_time() - began)

    def tidy(self) -> None:
        """Free memory that the last turn no longer needs."""
        if self._last is not None and self._last.is_untidy:
            with _boot_time():
                self._last.tidy()

    def end(self, run: int) -> None:
        found = self._runs.pop(run, None)
        if found is not None:
            found[0].end(found[1])


def _replayed(context: TemplateContext, parts: tuple[str, ...]) -> tuple[str, TurnHead]:
    """Begin a run, and repeat its turns: the result depends only on their input."""
    text, head = context.start(parts[0], parts[1])
    for arguments in parts[2:]:
        text, head = context.resume(head.run, arguments)
    return text, head


def _failed(error: str, *, spent: bool = False) -> str:
    return msgspec.json.encode({"run": 0, "error": error, "spent": spent}).decode()


def _context(code: str, boot: str, limits: ContextLimits) -> TemplateContext:
    return TemplateContext(code, boot=boot, limits=limits, make=_sandbox)


def _sandbox() -> Sandbox:
    return _EVALUATED.pop() if _EVALUATED else Sandbox(sha256=sha256)


@contextmanager
def _boot_time() -> Iterator[None]:
    """Limit the time in which a context is created."""
    signal.setitimer(_TIMER, BOOT_TIME)
    try:
        yield
    finally:
        signal.setitimer(_TIMER, 0)


def sha256(text: str, encoding: str) -> str | None:
    """Return the SHA-256 hash of a string as `hex`, `base64` or `base64url`; None if it failed."""
    try:
        hashed = hashlib.sha256(text.encode())
        if encoding == "hex":
            return hashed.hexdigest()
        if encoding == "base64url":
            return urlsafe_b64encode(hashed.digest()).rstrip(b"=").decode()
        return b64encode(hashed.digest()).decode()
    except Exception:  # noqa: BLE001  the engine cannot handle a Python exception
        return None


class RequestPipe:
    """Reads requests.

    If several requests in a row arrived soon after the last response, the process polls for the
    next one before it sleeps: waking up a core takes about as long as a short turn.
    """

    def __init__(
        self,
        pipe: int = INPUT,
        *,
        clock: Callable[[], float] = time.monotonic,
        polls: bool = POLLS,
    ) -> None:
        self._pipe = pipe
        self._clock = clock
        self._polls = polls
        self._poller = select.poll()
        self._poller.register(pipe, select.POLLIN)
        self._quick = 0  # quick requests in a row

    def is_ready(self) -> bool:
        """Return whether `read` would return at once. If not, let another process use the core."""
        if self._poller.poll(0):
            return True
        os.sched_yield()  # for the gateway
        return False

    def read(self) -> bytes:
        """Return the next requests; nothing if the gateway has closed its end."""
        began = self._clock()
        if self._polls and self._quick >= _QUICK_REQUESTS:
            while not self.is_ready() and self._clock() - began < _POLLED:
                pass
        data = os.read(self._pipe, _CHUNK)
        self._quick = self._quick + 1 if self._clock() - began < _POLLED else 0
        return data


def serve() -> None:
    """Respond until the gateway closes its ends, or until a limit is exceeded."""
    templates = _Templates()
    reader = FrameReader(most=_MOST)
    requests = RequestPipe()
    while data := requests.read():
        for frame in reader.feed(data):
            request = _REQUEST.decode(frame)
            if request.act is Act.LOAD:
                boot, code, limits = request.parts
                templates.load(request.template, boot, code, limits)
            elif request.act is Act.END:
                templates.end(request.run)
            else:
                response = templates.turn(request)
                _write(framed(response))
                if response.ends:
                    # Freeing the remaining objects could crash or take a long time.
                    os._exit(0)
                templates.tidy()


def _write(data: bytes) -> None:
    at = os.write(OUTPUT, data)
    while at < len(data):
        at += os.write(OUTPUT, data[at : at + _CHUNK])


def warm_up() -> None:
    """Import and compile all that the first run needs: an engine process opens no files."""
    context = _context(
        "return require('sha256Sync')('a') + require('sha256Sync')('a', {outputEncoding: 'hex'});",
        '{"policy":{},"kind":"TAG","limits":{"effects":1,"output":1000},"keys":{}}',
        ContextLimits(time=1, memory=16 << 20, stack=256 << 10, recycle_after=10),
    )
    with _boot_time():
        context.start('{"fields":{},"now":1}', "{}")
    context.tidy()
    sha256("a", "base64url")
    framed(_REQUEST.decode(framed(EngineRequest(Act.END, 1, 1))[4:]))
    "é".encode().decode()
    RequestPipe().is_ready()
    _EVALUATED.append(Sandbox(sha256=sha256))
