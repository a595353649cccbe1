"""A request and its response on a real connection, including faulty responses."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from twite_emulator.exchange import XAnswer

Scope = MutableMapping[str, Any]  # ASGI's own types
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MAX_BODY: Final = 32 * 1024 * 1024
TRANSPORT: Final = "twite.transport"
_NO_BODY: Final = (204, 304)
_KNOWN: Final = frozenset(status.value for status in HTTPStatus)


class OpenProtocol(HttpToolsProtocol):
    """uvicorn's protocol, extended so that each request has access to its connection."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {TRANSPORT: {"transport": self.transport}}


class Wire:
    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self.overflowed = False  # the client sent more than MAX_BODY

    async def body(self) -> bytes | None:
        """Return the whole body; None if the client disconnected, or sent more than MAX_BODY."""
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                return None
            part: bytes = message.get("body", b"")
            size += len(part)
            if size > MAX_BODY:
                self.overflowed = True
                return None
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)

    async def wait(self, seconds: float) -> bool:
        """Wait; return whether the client is still connected.

        Call it only after the body was read.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._receive()
        except TimeoutError:
            return True
        return False

    async def say(self, answer: XAnswer) -> None:
        """Send a proper response."""
        headers = [(name.encode(), value.encode()) for name, value in answer.headers]
        if answer.status not in _NO_BODY:
            headers.append((b"content-length", str(len(answer.body)).encode()))
        await self._send(
            {"type": "http.response.start", "status": answer.status, "headers": headers}
        )
        body = b"" if answer.status in _NO_BODY else answer.body
        await self._send({"type": "http.response.body", "body": body})

    async def trickle(self, answer: XAnswer, *, size: int, seconds: float) -> None:
        """Send a proper response, `size` bytes of the body at a time."""
        headers = [(name.encode(), value.encode()) for name, value in answer.headers]
        headers.append((b"content-length", str(len(answer.body)).encode()))
        await self._send(
            {"type": "http.response.start", "status": answer.status, "headers": headers}
        )
        for at in range(0, len(answer.body), size):
            if not await self.wait(seconds):
                return
            part = answer.body[at : at + size]
            await self._send({"type": "http.response.body", "body": part, "more_body": True})
        await self._send({"type": "http.response.body"})

    async def send_raw(self, answer: XAnswer, *parts: bytes, hard: bool = False) -> None:
        """Write the head of `answer` and `parts` unchanged, then end the connection.

        The caller sets the Content-Length.
        """
        await self.send_bytes(self.head(answer), *parts, hard=hard)

    async def send_bytes(self, *parts: bytes, seconds: float = 0, hard: bool = False) -> None:
        """Write bytes, wait, and end the connection."""
        transport = self._transport()
        for part in parts:
            if transport.is_closing():
                break
            transport.write(part)
        if not seconds or await self.wait(seconds):
            await self.end(hard=hard)

    @staticmethod
    def head(answer: XAnswer) -> bytes:
        """Return the head of an answer that announces the end of the connection."""
        phrase = HTTPStatus(answer.status).phrase if answer.status in _KNOWN else "Unknown"
        lines = [f"HTTP/1.1 {answer.status} {phrase}"]
        lines += [f"{name}: {value}" for name, value in answer.headers]
        return "\r\n".join([*lines, "connection: close", "", ""]).encode()

    async def end(self, *, hard: bool) -> None:
        """End the connection: closed when all is written, or reset immediately."""
        transport = self._transport()
        if hard:
            connection = transport.get_extra_info("socket")
            # A linger time of 0 turns the close into a reset (RST).
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            transport.abort()
        else:
            transport.close()
        # The server treats an application that returns without a response as broken, unless it
        # knows that the client has disconnected.
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def _transport(self) -> asyncio.Transport:
        return cast("asyncio.Transport", self._scope["extensions"][TRANSPORT]["transport"])
