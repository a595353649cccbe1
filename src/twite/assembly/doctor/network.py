"""The doctor on the way to X and the way in: reachable, clocks alike, a first-party address."""

import os
import socket
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import msgspec

from twite.assembly.desk import running
from twite.assembly.doctor.finding import Finding, amber, green, red
from twite.assembly.settings import Settings
from twite.domain.destination import OAuthKeys
from twite.domain.times import SECOND
from twite.x.spec import OAUTH_WINDOW_SECONDS

_PATIENCE: Final = aiohttp.ClientTimeout(total=10)
_LITTLE: Final = 30 * SECOND
_MUCH: Final = OAUTH_WINDOW_SECONDS * SECOND


class Reached(msgspec.Struct, frozen=True, kw_only=True):
    """An HTTP answer. `ahead` is this machine's clock less the Date header, in milliseconds."""

    status: int
    ahead: int | None


async def way_to_x(settings: Settings) -> AsyncIterator[Finding]:
    """Ask X for nothing, without credentials, and compare clocks."""
    api = settings.x.api_url
    answer = await _ask(api)
    if isinstance(answer, str):
        yield red(
            "X",
            f"{api} cannot be reached: {answer}",
            "Nothing is lost, but nothing is delivered: conversions wait in the store.",
            "Check DNS, the firewall and x.api_url. Twite uses no proxy.",
        )
        return
    yield green("X", f"{api} answers")
    yield _clocks(settings, answer.ahead)


async def way_in(settings: Settings) -> AsyncIterator[Finding]:
    """Look at the addresses that servers and browsers see."""
    yield _listening(settings)
    public = settings.server.public_url
    origins = [origin for source in settings.submitters for origin in source.origins]
    if public is None:
        if origins:
            yield amber(
                "public address",
                "server.public_url is not set, and browsers are meant to post",
                "Nobody can tell them where to.",
                "Set server.public_url to the first-party address of the gateway.",
            )
        return
    for finding in _first_party(public, origins):
        yield finding
    answer = await _ask(public)
    if isinstance(answer, str):
        yield amber(
            "public address",
            f"{public} cannot be reached from here: {answer}",
            "The gateway or its proxy is not running yet, or the name does not lead here.",
            "Start twite serve and the proxy, and run this again.",
        )
    else:
        yield green("public address", f"{public} answers")


def _clocks(settings: Settings, ahead: int | None) -> Finding:
    if ahead is None:
        return amber(
            "clock",
            "X's answer had no Date header",
            "The clocks could not be compared.",
            "Make sure that this machine keeps its clock by NTP.",
        )
    off = f"this clock is {abs(ahead) // SECOND} s {'ahead of' if ahead > 0 else 'behind'} X's"
    cure = "Set the clock by NTP: timedatectl set-ntp true."
    if abs(ahead) <= _LITTLE:
        return green("clock", "this clock and X's agree within 30 s")
    signed = any(isinstance(pixel.credentials, OAuthKeys) for pixel in settings.pixels)
    if abs(ahead) > _MUCH and signed:
        return red("clock", off, "X refuses OAuth signatures with a time far from its own.", cure)
    return amber("clock", off, "Conversions without a time of their own get a wrong one.", cure)


def _listening(settings: Settings) -> Finding:
    """Try whether the address can be had; a gateway that runs has it already."""
    where = settings.server.listen
    family = socket.AF_INET6 if ":" in where.host else socket.AF_INET
    try:
        socket.create_server((where.host, where.port), family=family).close()
    except OSError as failure:
        if running(settings.store.gateway_file) is not None:
            return green("address", f"{where} is in use, and a gateway says it runs")
        return red(
            "address",
            f"{where} cannot be listened on ({os.strerror(failure.errno or 0).lower()})",
            "twite serve would not start.",
            "End what uses it, or choose another server.listen.",
        )
    return green("address", f"{where} is free to listen on")


def _first_party(public: str, origins: Sequence[str]) -> Iterator[Finding]:
    ours = urlsplit(public)
    if ours.scheme == "http" and any(one.startswith("https:") for one in origins):
        yield red(
            "public address",
            f"{public} is http, and pages are https",
            "Browsers block such requests.",
            "Put a proxy with a certificate before the gateway and write https.",
        )
    for one in origins:
        if not _related(ours.hostname or "", urlsplit(one).hostname or ""):
            yield amber(
                "public address",
                f"{public} is not on the domain of {one}",
                "Its cookies are third-party there, and browsers drop them.",
                "Give the gateway a name under the site's own domain.",
            )


def _related(one: str, other: str) -> bool:
    """Whether two hosts end alike. Without the list of public suffixes: two labels, or the same."""
    return one == other or one.split(".")[-2:] == other.split(".")[-2:]


async def _ask(url: str) -> Reached | str:
    """Send a HEAD; the answer, or why there was none. No redirect, no credentials."""
    begun = time.time()
    try:
        async with (
            aiohttp.ClientSession(timeout=_PATIENCE, cookie_jar=aiohttp.DummyCookieJar()) as http,
            http.head(url, allow_redirects=False) as answer,
        ):
            middle = (begun + time.time()) / 2
            return Reached(status=answer.status, ahead=_ahead(middle, answer.headers.get("Date")))
    except aiohttp.ClientConnectorDNSError:
        return "there is no such host"
    except aiohttp.ClientSSLError as failure:
        return f"TLS fails ({type(failure).__name__})"
    except aiohttp.ClientConnectorError as failure:
        number = failure.os_error.errno
        return os.strerror(number).lower() if number else "no connection"
    except TimeoutError:
        return "no answer within 10 s"
    except (aiohttp.ClientError, OSError, ValueError) as failure:
        return type(failure).__name__


def _ahead(at: float, date: str | None) -> int | None:
    """A Date header has whole seconds: half of one is added."""
    try:
        return (
            None
            if date is None
            else round((at - parsedate_to_datetime(date).timestamp() - 0.5) * 1_000)
        )
    except (ValueError, TypeError, OverflowError):
        return None
