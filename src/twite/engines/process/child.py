"""An engine process: runs turns in the order of their arrival, and does nothing else.

After an exceeded limit, it responds and ends, because the engine may be damaged.
"""

import os
import socket
import time
from typing import Final

import msgspec
import quickjs

from twite.engines.process.frames import Act, EngineRequest, EngineResponse, FrameReader, framed
from twite.engines.quickjs.context import (
    CodeUnusable,
    ContextLimits,
    LimitPassed,
    TemplateContext,
    TurnHead,
)

_CHUNK: Final = 256 * 1024  # bytes
_MOST: Final = 1 << 30
_REQUEST: Final = msgspec.msgpack.Decoder(EngineRequest)
_LIMITS: Final = msgspec.json.Decoder(ContextLimits)
_LOST: Final = "unknown run: the run has ended, or it exceeded a limit"


class _Templates:
    """The contexts of templates by number, and the runs that wait in them."""

    def __init__(self) -> None:
        self._contexts: dict[int, TemplateContext | CodeUnusable] = {}
        self._runs: dict[int, tuple[TemplateContext, int]] = {}

    def load(self, number: int, boot: str, code: str, limits: str) -> None:
        try:
            self._contexts[number] = TemplateContext(code, boot=boot, limits=_LIMITS.decode(limits))
        except CodeUnusable as unusable:
            self._contexts[number] = unusable

    def turn(self, request: EngineRequest) -> EngineResponse:
        began = time.process_time()
        run, parts = request.run, request.parts
        try:
            if request.act is Act.RESUME:
                context, own = self._runs[run]
                text, head = context.resume(own, parts[0])
            else:
                found = self._contexts[request.template]
                if isinstance(found, CodeUnusable):
                    return EngineResponse(run, "", 0.0, line=found.line, message=found.message)
                context = found
                text, head = _replayed(context, parts)
        except KeyError:
            return EngineResponse(run, _failed(_LOST), 0.0)
        except (LimitPassed, quickjs.JSException) as passed:
            took = time.process_time() - began
            return EngineResponse(run, _failed(str(passed), spent=True), took, ends=True)
        if head.is_over:
            self._runs.pop(run, None)
        else:
            self._runs[run] = context, head.run
        return EngineResponse(run, text, time.process_time() - began)

    def end(self, run: int) -> None:
        found = self._runs.pop(run, None)
        if found is not None:
            found[0].end(found[1])


def _replayed(context: TemplateContext, parts: tuple[str, ...]) -> tuple[str, TurnHead]:
    """Begin a run, and repeat its turns, which depend only on their input."""
    text, head = context.start(parts[0], parts[1])
    for arguments in parts[2:]:
        text, head = context.resume(head.run, arguments)
    return text, head


def _failed(error: str, *, spent: bool = False) -> str:
    return msgspec.json.encode({"run": 0, "error": error, "spent": spent}).decode()


def serve(line: socket.socket) -> None:
    """Respond until the gateway closes its end, or until a limit is exceeded."""
    templates = _Templates()
    reader = FrameReader(most=_MOST)
    while data := line.recv(_CHUNK):
        for frame in reader.feed(data):
            request = _REQUEST.decode(frame)
            if request.act is Act.LOAD:
                boot, code, limits = request.parts
                templates.load(request.template, boot, code, limits)
            elif request.act is Act.END:
                templates.end(request.run)
            else:
                response = templates.turn(request)
                line.sendall(framed(response))
                if response.ends:
                    # Freeing the remaining objects could crash, or take long.
                    os._exit(0)


def warm_up() -> None:
    """Import and compile everything that the first run needs: an engine process opens no file."""
    context = TemplateContext(
        "return 1;",
        boot='{"policy":{},"kind":"TAG","limits":{"effects":1,"output":1000},"keys":{}}',
        limits=ContextLimits(time=1, memory=16 << 20, stack=256 << 10, recycle_after=10),
    )
    context.start('{"fields":{},"now":1}', "{}")
    framed(_REQUEST.decode(framed(EngineRequest(Act.END, 1, 1))[4:]))
    "é".encode().decode()
