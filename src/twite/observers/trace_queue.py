"""The parts of traces on their way to the collector: a bounded queue, emptied by a thread.

A collector that hangs or is gone costs only its own spans: the event loop never waits for it.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol

from twite.gateway.ports.events import Observer, ProblemPlace, ProblemSeen
from twite.gateway.ports.tracing import SentRequest, StoredRequest

TracePart = StoredRequest | SentRequest
# Parts in the queue, about 2 MB, and in one request to the collector.
MOST_WAITING: Final = 4_096
_AT_ONCE: Final = 128
_EVERY: Final = 1.0  # seconds
_READING: Final = 5.0
_STOPPING: Final = 2.0
_REPORT_EVERY: Final = 60.0
# Multiplied by a time, this spreads the kept times evenly over the others (Knuth, 6.4).
_SPREAD: Final = 0x9E3779B97F4A7C15
_MASK: Final = (1 << 64) - 1


class SpanExport(Protocol):
    """Makes spans of parts, and sends them. It blocks, so it runs in the thread of the queue."""

    def export(self, parts: Sequence[TracePart], receipts: Mapping[int, str]) -> tuple[int, bool]:
        """Return the number of spans, and whether the collector has accepted them."""

    def shutdown(self) -> None:
        """End the wait before a retry. Called from another thread."""


class TraceQueue:
    """Collects parts of traces, and exports them. Implements Tracing.

    One request in `one_in` is kept. `receipts` returns the receipts of deliveries. `count` counts
    spans by their result: exported, failed or dropped.
    """

    def __init__(
        self,
        *,
        one_in: int,
        spans: SpanExport,
        receipts: Callable[[Sequence[int]], Awaitable[Mapping[int, str]]],
        count: Callable[[str, int], None],
        observer: Observer,
    ) -> None:
        self._limit = (1 << 64) // one_in
        self._spans = spans
        self._receipts = receipts
        self._count = count
        self._observer = observer
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[TracePart] = deque()
        self._woken = threading.Event()
        self._is_stopping = False
        self._reported_at = -_REPORT_EVERY
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self.now = time.time_ns

    def start(self) -> None:
        self._thread.start()

    def keeps(self, received_at: int) -> bool:
        return received_at * _SPREAD & _MASK < self._limit

    def stored(self, request: StoredRequest) -> None:
        self._add(request)

    def sent(self, request: SentRequest) -> None:
        if request.deliveries:
            self._add(request)

    async def stop(self) -> None:
        """Export what is waiting, for at most two seconds."""
        self._is_stopping = True
        self._woken.set()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, _STOPPING)
        self._spans.shutdown()

    def _add(self, part: TracePart) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self._count("dropped", spans_of(part))
            return
        self._waiting.append(part)
        if len(self._waiting) >= _AT_ONCE:
            self._woken.set()

    def _run(self) -> None:
        while not self._is_stopping:
            self._woken.wait(_EVERY)
            self._woken.clear()
            until = float("inf")
            if self._is_stopping:
                until = time.monotonic() + _STOPPING
            while self._waiting and time.monotonic() < until:
                many = min(_AT_ONCE, len(self._waiting))
                self._export([self._waiting.popleft() for _ in range(many)])

    def _export(self, parts: Sequence[TracePart]) -> None:
        deliveries = [
            delivery
            for part in parts
            if isinstance(part, SentRequest)
            for delivery, _ in part.deliveries
        ]
        try:
            receipts = self._read(deliveries) if deliveries else {}
            many, is_accepted = self._spans.export(parts, receipts)
        except Exception as fault:  # noqa: BLE001  a bug here costs these spans alone
            self._count("failed", sum(map(spans_of, parts)))
            self._report(type(fault).__name__)
            return
        self._count("exported" if is_accepted else "failed", many)
        if not is_accepted:
            self._report("the collector at traces.endpoint does not accept spans")

    def _read(self, deliveries: Sequence[int]) -> Mapping[int, str]:
        async def read() -> Mapping[int, str]:
            return await self._receipts(deliveries)

        return asyncio.run_coroutine_threadsafe(read(), self._loop).result(_READING)

    def _report(self, reason: str) -> None:
        now = time.monotonic()
        if now - self._reported_at >= _REPORT_EVERY and not self._loop.is_closed():
            self._reported_at = now
            notice = ProblemSeen(where=ProblemPlace.TRACES, reason=reason)
            self._loop.call_soon_threadsafe(self._observer.see, notice)


def spans_of(part: TracePart) -> int:
    """Return the number of spans of a part."""
    return 2 if isinstance(part, StoredRequest) else 1 + 2 * len(part.deliveries)
