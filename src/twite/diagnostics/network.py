"""Check the connection to X: DNS, certificate, response, and clock skew."""

import asyncio
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import msgspec

from twite.config.settings import Settings
from twite.domain.destination import OAuthKeys
from twite.domain.times import SECOND
from twite.gateway.ports.findings import CheckFinding, CheckStatus, failed, passed, warning
from twite.x.spec import OAUTH_WINDOW_SECONDS

_SECONDS: Final = 10
_PATIENCE: Final = aiohttp.ClientTimeout(total=_SECONDS)
_LONGEST: Final = 256 * 1024
_LITTLE: Final = 30 * SECOND
_MUCH: Final = OAUTH_WINDOW_SECONDS * SECOND
_WAITS: Final = "Twite cannot deliver conversions. They stay queued in the store."
_SHOWN: Final = 3
OF_X: Final = frozenset({"DNS", "TLS", "X"})  # if one of these checks fails, X is unreachable


class ConnectionResult(msgspec.Struct, frozen=True, kw_only=True):
    """An HTTP response. `ahead` is this machine's clock minus the Date header, in milliseconds.

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


async def reach(
    url: str, *, method: str = "HEAD", headers: Mapping[str, str] | None = None
) -> ConnectionResult | str:
    """Send one request; return the response, or the error.

    It follows no redirect, and sends no cookies.
    """
    begun = time.time()
    try:
        async with (
            aiohttp.ClientSession(timeout=_PATIENCE, cookie_jar=aiohttp.DummyCookieJar()) as http,
            http.request(method, url, headers=headers, allow_redirects=False) as answer,
        ):
            middle = (begun + time.time()) / 2
            return ConnectionResult(
                status=answer.status,
                ahead=_ahead(middle, answer.headers.get("Date")),
                kind=answer.headers.get("Content-Type", ""),
                challenge=answer.headers.get("WWW-Authenticate", ""),
                body=b"" if method == "HEAD" else await answer.content.read(_LONGEST),
            )
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as failure:
        return failure_of(failure)


def failure_of(failure: Exception) -> str:
    """Return an error of a request in words."""
    match failure:
        case aiohttp.ClientConnectorDNSError():
            return "the host does not exist"
        case aiohttp.ClientSSLError():
            return f"TLS failed ({type(failure).__name__})"
        case aiohttp.ClientConnectorError(os_error=error):
            return os.strerror(error.errno).lower() if error.errno else "no connection"
        case TimeoutError():
            return f"no answer within {_SECONDS} s"
        case _:
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
        return f"the name server did not answer within {_SECONDS} s"
    except (OSError, UnicodeError):
        return "the host name does not resolve"
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
    """Return this clock minus a Date header. Half a second is added: it has whole seconds."""
    try:
        return (
            None
            if date is None
            else round((at - parsedate_to_datetime(date).timestamp() - 0.5) * 1_000)
        )
    except (ValueError, TypeError, OverflowError):
        return None


async def network(settings: Settings) -> AsyncIterator[CheckFinding]:
    """Send X a request without credentials, and compare clocks."""
    x = settings.x
    if x.emulator is not None:
        yield warning(
            "X",
            f'x.emulator = "{x.emulator}": conversions go to the built-in emulator, not to X',
            "X receives nothing, and counts nothing.",
            "Run twite connect to switch to X.",
        )
        return
    async for finding in _found(x.api_url, needed=True):
        yield finding
        if finding.status is CheckStatus.FAILED:
            return
    answer = await reach(x.api_url)
    if isinstance(answer, str):
        yield failed(
            "X",
            f"{x.api_url} cannot be reached: {answer}",
            _WAITS,
            "Check DNS, the firewall and x.api_url. Twite uses no proxy.",
        )
        return
    yield passed("X", f"{x.api_url} answers")
    yield _clocks(settings, answer)
    if x.app is not None and x.oauth_url != x.api_url:
        async for finding in _found(x.oauth_url, needed=False):
            yield finding


async def _found(url: str, *, needed: bool) -> AsyncIterator[CheckFinding]:
    """Check a host and its certificate. A host that delivery does not need causes only warnings."""
    status = failed if needed else warning
    meaning = _WAITS if needed else "You cannot sign in to X."
    found = await addresses(url)
    if isinstance(found, str):
        yield status(
            "DNS", f"{url}: {found}", meaning, "Check this machine's resolver and the host name."
        )
        return
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    yield passed("DNS", f"{url} resolves to {', '.join(found[:_SHOWN])}{more}")
    if not url.startswith("https:"):
        return  # the settings already warn about it, unless it is on this machine
    tls = await secured(url)
    if isinstance(tls, str):
        yield status(
            "TLS",
            f"{url}: {tls}",
            meaning,
            "Check the clock, this machine's certificate authorities (ca-certificates), and "
            "whether a proxy on the way to X intercepts TLS.",
        )
        return
    until = datetime.fromtimestamp(tls.until, UTC)
    yield passed("TLS", f"{url}: {tls.version}, certificate valid until {until:%Y-%m-%d}")


def _clocks(settings: Settings, result: ConnectionResult) -> CheckFinding:
    ahead = result.ahead
    if ahead is None:
        return warning(
            "clock",
            "X's response had no Date header",
            "Twite could not compare this machine's clock with X's.",
            "Make sure that this machine synchronizes its clock with NTP.",
        )
    off = (
        f"this machine's clock is {abs(ahead) // SECOND} s "
        f"{('ahead of' if ahead > 0 else 'behind')} X's"
    )
    fix = "Synchronize the clock with NTP: timedatectl set-ntp true."
    if abs(ahead) <= _LITTLE:
        return passed("clock", "this machine's clock agrees with X's within 30 s")
    signed = any(
        isinstance(keys, OAuthKeys)
        for pixel in settings.pixels
        for keys in (pixel.credentials, pixel.fallback)
    )
    if abs(ahead) > _MUCH and signed:
        return failed(
            "clock", off, "X refuses OAuth signatures if the clock differs too much.", fix
        )
    return warning("clock", off, "Conversions without a time get the wrong time.", fix)
