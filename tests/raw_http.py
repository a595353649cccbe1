"""Raw HTTP, for requests that no client library would send."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec

Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class HttpResponse(msgspec.Struct, frozen=True):
    """A response, as received."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    def faults(self) -> list[tuple[str, str]]:
        """Return the path and code of each error."""
        return [(error["path"], error["code"]) for error in self.json()["errors"]]


def parse_response(raw: bytes) -> HttpResponse:
    head, _, body = raw.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(": ") for line in lines)
    return HttpResponse(
        int(status.split()[1]), {name.lower(): value for name, _, value in pairs}, body
    )


def request(method: str, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """Spell a request. A header whose value is empty is left out."""
    lines = {"Host": "t.shop.example", "Connection": "close"}
    if body:
        lines |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    lines |= headers
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body


@contextlib.asynccontextmanager
async def line_to(port: int) -> AsyncIterator[Line]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def say(port: int, sent: bytes) -> bytes:
    """Send bytes, and return everything received until the connection closes."""
    async with line_to(port) as (reader, writer):
        writer.write(sent)
        return await asyncio.wait_for(reader.read(), 10)
