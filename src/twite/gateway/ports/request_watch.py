"""What watches the request that is being handled, such as a preview session of tags."""

from collections.abc import Iterable
from contextvars import ContextVar
from typing import Final, Protocol

from twite.domain.incoming_request import IncomingRequest
from twite.domain.submission import AcceptedConversion


class RequestWatch(Protocol):
    """Sees one request. If it `sends_nothing`, the request is neither stored nor sent."""

    @property
    def sends_nothing(self) -> bool: ...

    @property
    def is_active(self) -> bool:
        """Whether the request may still be in progress; tasks that outlive it are not watched."""

    def request(self, request: IncomingRequest, *, client: str) -> None:
        """Record the request as tags see it."""

    def record_entries(self, entries: Iterable[AcceptedConversion]) -> None:
        """Record what the request would store."""


_CURRENT: Final[ContextVar[RequestWatch | None]] = ContextVar("request_watch", default=None)


def current_watch() -> RequestWatch | None:
    """Return the watch of the request that is being handled; None if nothing watches it."""
    watch = _CURRENT.get()
    return watch if watch is not None and watch.is_active else None


def set_watch(watch: RequestWatch | None) -> None:
    """Let a watch see what this task and its child tasks do.

    A server may handle the next request of a connection in a child task: that task sets None.
    """
    _CURRENT.set(watch)


def sends_nothing() -> bool:
    """Return whether the request that is being handled is neither stored nor sent."""
    watch = current_watch()
    return watch is not None and watch.sends_nothing
