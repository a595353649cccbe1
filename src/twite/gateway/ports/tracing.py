"""Tracing port: what a conversion's trace is made of. It contains no person and no text of clients.

A trace must survive the store without a column for it. So its id follows from the receipt, and
whether it is kept from the time of receipt, which each delivery knows: another gateway that sends
the conversion comes to the same decision.
"""

from contextvars import ContextVar
from typing import Protocol

import msgspec

# The `traceparent` header of the request in this context.
trace_parent: ContextVar[bytes | None] = ContextVar("trace_parent", default=None)


class StoredRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A committed request. `received_at` is in milliseconds; the commit's times in nanoseconds.

    `trace_parent` is the client's `traceparent` header, unchecked.
    """

    receipt: str
    source: str
    endpoint: str
    received_at: int
    began: int
    ended: int
    conversions: int
    duplicates: int
    trace_parent: bytes | None


class SentRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request to X, and its answer. `deliveries` are those whose traces are kept.

    `claimed_at` is in milliseconds; `began` and `ended` are in nanoseconds.
    """

    pixel: str
    event: str
    outcome: str
    status: int | None
    is_ambiguous: bool
    conversions: int
    claimed_at: int
    began: int
    ended: int
    # (id, time of receipt in milliseconds)
    deliveries: tuple[tuple[int, int], ...]


class Tracing(Protocol):
    """Collects parts of traces. Its methods neither raise nor block."""

    def now(self) -> int:
        """Return nanoseconds since 1970."""

    def keeps(self, received_at: int) -> bool:
        """Return whether the traces of requests from this millisecond are kept."""

    def stored(self, request: StoredRequest) -> None: ...

    def sent(self, request: SentRequest) -> None: ...
