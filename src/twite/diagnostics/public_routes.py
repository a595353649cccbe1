"""Diagnostics of public access: metrics and console must be closed to strangers."""

from collections.abc import AsyncIterator
from typing import Final

from twite.config.settings import Settings
from twite.diagnostics.connection import reach
from twite.gateway.ports.findings import CheckFinding, amber, green, red

_OK: Final = 200
_WRONG: Final = 400


async def closed(public: str, settings: Settings) -> AsyncIterator[CheckFinding]:
    """Request both at the public URL, which has no trailing slash."""
    yield await _metrics_closed(f"{public}/metrics")
    yield await _console_closed(f"{public}/console/sign-in", settings)


async def _metrics_closed(url: str) -> CheckFinding:
    """Check that strangers cannot read the metrics: they need a key, or an internal address."""
    answer = await reach(url, method="GET")
    if isinstance(answer, str) or answer.status != _OK or b"twite_" not in answer.body:
        return green("public address", f"{url} is closed")
    return red(
        "public address",
        f"{url} answers without a key",
        "Anyone can read the metrics of every source.",
        "Let the proxy set X-Forwarded-For, name it in server.trusted_proxies, restart twite "
        "serve, and do not let it add a key itself.",
    )


async def _console_closed(url: str, settings: Settings) -> CheckFinding:
    """Check whether the console answers here, for a client outside the proxy."""
    answer = await reach(url, method="GET")
    if isinstance(answer, str) or answer.status >= _WRONG or b"Twite" not in answer.body:
        return green("public address", f"{url} is closed")
    if all(network.is_loopback for network in settings.console.networks):
        return red(
            "public address",
            f"{url} answers, although console.networks names this machine alone",
            (
                "Anyone can try passwords there, since the proxy does not forward the client's "
                "address."
            ),
            "Let the proxy set X-Forwarded-For, name it in server.trusted_proxies, and restart "
            "twite serve.",
        )
    return amber(
        "public address",
        f"{url} answers to this machine",
        "This is right if this machine is in console.networks. Otherwise the console is "
        "open to anyone.",
        "Open it from a network that is not in console.networks: it must answer 403.",
    )
