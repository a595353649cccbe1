"""The loopback address to which X redirects a browser after an OAuth sign-in on the command line.

It accepts requests to the callback's path, and answers all others with 404.
"""

import asyncio
from typing import Final, Self
from urllib.parse import parse_qs, urlsplit

from twite.domain.errors import SettingsError

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_LONGEST_LINE: Final = 8_192
_PATIENCE: Final = 5  # seconds for the head of a request
_BODY: Final = (
    b"<!doctype html><html lang=en><meta charset=utf-8><title>Twite</title>"
    b"<p>X has redirected you back. Continue in the terminal; you can close this page.</p></html>"
)
_PAGE: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n"
    b"Content-Length: %d\r\nReferrer-Policy: no-referrer\r\n"
    b"Content-Security-Policy: default-src 'none'\r\nConnection: close\r\n\r\n%b"
) % (len(_BODY), _BODY)
_NOTHING: Final = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Callback:
    """Listens for the redirect. `address` is an http URL on this machine."""

    def __init__(self, address: str) -> None:
        """Raises SettingsError unless `address` is on this machine and has a port."""
        parts = urlsplit(address)
        if parts.scheme != "http" or parts.hostname not in LOOPBACK or not parts.port:
            raise SettingsError(
                "--callback",
                f"{address!r} is not an address of this machine. Use one with a port, as "
                "in http://127.0.0.1:8765/x/callback, "
                "and add it to the app's callback URLs at X",
            )
        self.address = address
        self._host, self._port, self._path = parts.hostname, parts.port, parts.path or "/"
        self._server: asyncio.Server | None = None
        self._came: asyncio.Queue[str] = asyncio.Queue(maxsize=8)

    async def __aenter__(self) -> Self:
        """Raises SettingsError if the address cannot be bound."""
        try:
            self._server = await asyncio.start_server(
                self._answer, self._host, self._port, limit=_LONGEST_LINE
            )
        except OSError as failure:
            raise SettingsError(
                "--callback",
                f"cannot listen on {self.address} ({failure.strerror}). Choose another "
                f"port, here and in the app's callback URLs at X, or sign in with a PIN",
            ) from None
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def query(self, token: str, *, seconds: float) -> str | None:
        """Return the query string of the redirect; None if it did not arrive in time."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    query = await self._came.get()
                    given = parse_qs(query)
                    if token in (given.get("oauth_token") or given.get("denied") or []):
                        return query
        except TimeoutError:
            return None

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                line = await reader.readline()
                while (await reader.readline()).strip():
                    pass
            words = line.decode("latin-1").split()
            path, _, query = (words[1] if len(words) == 3 else "").partition("?")
            known = words[:1] == ["GET"] and path == self._path
            if known and not self._came.full():
                self._came.put_nowait(query)
            writer.write(_PAGE if known else _NOTHING)
            await writer.drain()
        except (TimeoutError, OSError, ValueError):
            # A client that connects and sends no request is ignored.
            pass
        finally:
            writer.close()
