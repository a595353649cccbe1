"""Diagnostics of the gateway's own endpoint: listening address, public URL, and the script."""

import os
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final
from urllib.parse import quote, urlsplit

from twite.app.control_client import running
from twite.config.settings import Settings
from twite.diagnostics.connection import reach
from twite.diagnostics.public_routes import closed
from twite.domain.loopback import is_own_name
from twite.gateway.ports.findings import CheckFinding, amber, green, red
from twite.http.addresses import host_of

_SCRIPT: Final = "/twite.js"
# The gateway challenges a request without a key by this name.
_OURS: Final = "/v1/accounting"
_REALM: Final = 'realm="twite"'
_OK: Final = 200


async def way_in(settings: Settings) -> AsyncIterator[CheckFinding]:
    """Check the addresses that servers and browsers use, from outside the process."""
    yield _listening(settings)
    public = settings.server.public_url
    reached = [source for source in settings.submitters if source.origins]
    origins = [origin for source in reached for origin in source.origins]
    if public is None:
        if origins:
            yield amber(
                "public address",
                "server.public_url is not set, and browsers are meant to post",
                "Pages and servers have no address to send to.",
                "Set server.public_url to the first-party address of the gateway.",
            )
        return
    for finding in _first_party(public, origins):
        yield finding
    answer = await reach(public)
    if isinstance(answer, str):
        yield amber(
            "public address",
            f"{public} cannot be reached from here: {answer}",
            "The gateway or its proxy is not running, or the name points elsewhere.",
            "Start twite serve and the proxy, and run this again.",
        )
        return
    yield green("public address", f"{public} answers")
    if not is_own_name(host_of(public) or ""):
        async for finding in closed(public.rstrip("/"), settings):
            yield finding
    for source in reached:
        # As pages request it: without a source there is none.
        yield await _script(f"{public.rstrip('/')}{_SCRIPT}?s={quote(source.name)}")
    if not reached:
        yield await _servers(f"{public.rstrip('/')}{_OURS}")


async def _servers(url: str) -> CheckFinding:
    """Check that a gateway answers there. For pages, the script is checked."""
    answer = await reach(url, method="GET")
    if not isinstance(answer, str) and _REALM in answer.challenge:
        return green("public address", f"{url} asks servers for their key")
    why = answer if isinstance(answer, str) else f"the answer is {answer.status}"
    return amber(
        "public address",
        f"{url} does not ask for a key: {why}",
        "Servers reach another host, or a proxy that refuses them.",
        "Let the proxy pass /v1 on to the gateway, unless servers reach it by another address.",
    )


async def _script(url: str) -> CheckFinding:
    answer = await reach(url, method="GET")
    if isinstance(answer, str):
        why = answer
    elif answer.status != _OK:
        why = f"the answer is {answer.status}"
    elif "javascript" not in answer.kind or b"twite" not in answer.body:
        why = f"the response is not Twite's script ({answer.kind[:40] or 'no content type'})"
    else:
        return green("script", f"{url} is there, {len(answer.body) / 1024:.1f} KiB")
    return red(
        "script",
        f"{url}: {why}",
        "Pages cannot load the script: no click is stored, and no conversion of a browser arrives.",
        "Let the proxy pass /twite.js and /t on to the gateway.",
    )


def _listening(settings: Settings) -> CheckFinding:
    """Try to bind the address; a running gateway has it already."""
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
            "Stop the process that uses it, or choose another server.listen.",
        )
    return green("address", f"{where} is free to listen on")


def _first_party(public: str, origins: Sequence[str]) -> Iterator[CheckFinding]:
    ours = urlsplit(public)
    if ours.scheme == "http" and any(origin.startswith("https:") for origin in origins):
        yield red(
            "public address",
            f"{public} is http, and pages are https",
            "Browsers block such requests.",
            "Put a proxy with a certificate before the gateway and write https.",
        )
