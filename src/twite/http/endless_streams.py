"""The console's responses of unknown length, such as exports, which a shutdown ends at once."""

from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from twite.http.responses import cycle_of

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


class EndlessStreams:
    """The open responses of unknown length.

    A shutdown cuts their connections, so that no client takes a part for the whole.
    """

    def __init__(self) -> None:
        self._open: set[RequestResponseCycle] = set()
        self._is_ending = False

    async def __call__(self, console: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the console answer a request."""
        cycle = cycle_of(scope)
        if cycle is None:
            await console(scope, receive, send)
            return

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start" and not _has_length(message):
                self._open.add(cycle)
                if self._is_ending:
                    cycle.transport.abort()
            await send(message)

        try:
            await console(scope, receive, watched)
        finally:
            self._open.discard(cycle)

    def begin(self) -> None:
        self._is_ending = False

    def end(self) -> None:
        """Cut the open responses, and those that begin later."""
        self._is_ending = True
        for cycle in self._open:
            cycle.transport.abort()


def _has_length(message: Message) -> bool:
    return any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))
