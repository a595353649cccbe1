"""Connect to an address as a client does: DNS, TLS certificate, HTTP response."""

import asyncio
import os
import socket
import ssl
import time
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import msgspec

_SECONDS: Final = 10
_PATIENCE: Final = aiohttp.ClientTimeout(total=_SECONDS)
_LONGEST: Final = 256 * 1024


class ConnectionResult(msgspec.Struct, frozen=True, kw_only=True):
    """An HTTP response. `ahead` is this machine's clock less the Date header, in milliseconds.

    `challenge` is the WWW-Authenticate header, if any.
    """

    status: int
    ahead: int | None
    kind: str = ""
    challenge: str = ""
    body: bytes = b""


class TlsResult(msgspec.Struct, frozen=True, kw_only=True):
    """A TLS connection: its version, and the expiry of the certificate (epoch seconds)."""

    version: str
    until: int


async def reach(url: str, *, method: str = "HEAD") -> ConnectionResult | str:
    """Send one request; return the response, or the error. No redirect, no credentials."""
    begun = time.time()
    try:
        async with (
            aiohttp.ClientSession(timeout=_PATIENCE, cookie_jar=aiohttp.DummyCookieJar()) as http,
            http.request(method, url, allow_redirects=False) as answer,
        ):
            middle = (begun + time.time()) / 2
            return ConnectionResult(
                status=answer.status,
                ahead=_ahead(middle, answer.headers.get("Date")),
                kind=answer.headers.get("Content-Type", ""),
                challenge=answer.headers.get("WWW-Authenticate", ""),
                body=b"" if method == "HEAD" else await answer.content.read(_LONGEST),
            )
    except aiohttp.ClientConnectorDNSError:
        return "there is no such host"
    except aiohttp.ClientSSLError as failure:
        return f"TLS fails ({type(failure).__name__})"
    except aiohttp.ClientConnectorError as failure:
        number = failure.os_error.errno
        return os.strerror(number).lower() if number else "no connection"
    except TimeoutError:
        return f"no answer within {_SECONDS} s"
    except (aiohttp.ClientError, OSError, ValueError) as failure:
        return type(failure).__name__


async def addresses(url: str) -> list[str] | str:
    """Resolve the host; return its addresses, or the error."""
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(_SECONDS):
            found = await asyncio.get_running_loop().getaddrinfo(
                parts.hostname, parts.port or 443, type=socket.SOCK_STREAM
            )
    except TimeoutError:
        return f"the name server does not answer within {_SECONDS} s"
    except (OSError, UnicodeError):
        return "no name server knows it"
    return list(dict.fromkeys(str(address[4][0]) for address in found))


async def secured(url: str) -> TlsResult | str:
    """Connect with TLS; return the connection, or the error. `url` is https."""
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(_SECONDS):
            _, writer = await asyncio.open_connection(
                parts.hostname, parts.port or 443, ssl=ssl.create_default_context()
            )
            held = writer.get_extra_info("ssl_object")
            certificate = held.getpeercert() or {}
            writer.close()
    except ssl.SSLCertVerificationError as failure:
        return failure.verify_message
    except TimeoutError:
        return f"no answer within {_SECONDS} s"
    except (OSError, UnicodeError) as failure:
        return getattr(failure, "strerror", None) or type(failure).__name__
    until = ssl.cert_time_to_seconds(str(certificate.get("notAfter", "")))
    return TlsResult(version=str(held.version()), until=until)


def _ahead(at: float, date: str | None) -> int | None:
    """A Date header has whole seconds: half a second is added."""
    try:
        return (
            None
            if date is None
            else round((at - parsedate_to_datetime(date).timestamp() - 0.5) * 1_000)
        )
    except (ValueError, TypeError, OverflowError):
        return None
