"""Diagnostics of the connection to X: DNS, certificate, response, and clock skew."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Final

from twite.config.settings import Settings
from twite.diagnostics.connection import ConnectionResult, addresses, reach, secured
from twite.domain.destination import OAuthKeys
from twite.domain.times import SECOND
from twite.gateway.ports.findings import CheckFinding, CheckStatus, amber, green, red
from twite.x.spec import OAUTH_WINDOW_SECONDS

_LITTLE: Final = 30 * SECOND
_MUCH: Final = OAUTH_WINDOW_SECONDS * SECOND
_WAITS: Final = "Nothing is lost, but nothing is delivered: conversions wait in the store."
_SHOWN: Final = 3
OF_X: Final = frozenset({"DNS", "TLS", "X"})  # a failure of these: X cannot be reached


async def way_to_x(settings: Settings) -> AsyncIterator[CheckFinding]:
    """Send X a request without credentials, and compare clocks."""
    x = settings.x
    async for finding in _found(x.api_url, needed=True):
        yield finding
        if finding.light is CheckStatus.RED:
            return
    answer = await reach(x.api_url)
    if isinstance(answer, str):
        yield red(
            "X",
            f"{x.api_url} cannot be reached: {answer}",
            _WAITS,
            "Check DNS, the firewall and x.api_url. Twite uses no proxy.",
        )
        return
    yield green("X", f"{x.api_url} answers")
    yield _clocks(settings, answer)
    if x.app is not None and x.oauth_url != x.api_url:
        async for finding in _found(x.oauth_url, needed=False):
            yield finding


async def _found(url: str, *, needed: bool) -> AsyncIterator[CheckFinding]:
    """Check a host and its certificate; if delivery does not need it, it never fails."""
    light = red if needed else amber
    meaning = _WAITS if needed else "Nobody can sign in."
    found = await addresses(url)
    if isinstance(found, str):
        yield light(
            "DNS", f"{url}: {found}", meaning, "Check this machine's resolver, and the address."
        )
        return
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    yield green("DNS", f"{url} is {', '.join(found[:_SHOWN])}{more}")
    if not url.startswith("https:"):
        return  # the settings have a warning about it, unless it is this machine
    tls = await secured(url)
    if isinstance(tls, str):
        yield light(
            "TLS",
            f"{url}: {tls}",
            meaning,
            (
                "Check the clock, this machine's certificate authorities (ca-certificates), and "
                "whether a proxy on the way to X intercepts TLS."
            ),
        )
        return
    until = datetime.fromtimestamp(tls.until, UTC)
    yield green("TLS", f"{url}: {tls.version}, its certificate is good until {until:%Y-%m-%d}")


def _clocks(settings: Settings, answer: ConnectionResult) -> CheckFinding:
    ahead = answer.ahead
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
    signed = any(
        isinstance(keys, OAuthKeys)
        for pixel in settings.pixels
        for keys in (pixel.credentials, pixel.fallback)
    )
    if abs(ahead) > _MUCH and signed:
        return red("clock", off, "X refuses OAuth signatures with a time far from its own.", cure)
    return amber("clock", off, "Conversions without a time get a wrong one.", cure)
