"""Check the gateway from outside: address, public URL, script, browser sources."""

import os
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Final
from urllib.parse import quote, urlsplit

from twite.app.control_client import running
from twite.config.settings import Settings
from twite.diagnostics.network import reach
from twite.domain.destination import Source
from twite.domain.loopback import is_own_name
from twite.gateway.ports.findings import CheckFinding, failed, passed, warning
from twite.http.addresses import host_of
from twite.http.cookies import cookie_domain

# A gateway refuses a request without a key at this path, with this realm.
_OURS: Final = "/v1/accounting"
_REALM: Final = 'realm="twite"'
_OK: Final = 200


async def public_address(settings: Settings) -> AsyncIterator[CheckFinding]:
    """Check the addresses that servers and browsers use, from outside the process."""
    yield _listening(settings)
    public = settings.server.public_url
    reached = [source for source in settings.submitters if source.origins]
    origins = [origin for source in reached for origin in source.origins]
    if public is None:
        if origins:
            yield warning(
                "public address",
                "server.public_url is not set, but a source accepts browsers",
                "Pages and servers have no URL to send conversions to.",
                "Set server.public_url to the first-party address of the gateway.",
            )
        return
    if urlsplit(public).scheme == "http" and any(origin.startswith("https:") for origin in origins):
        yield failed(
            "public address",
            f"{public} uses HTTP, but pages use HTTPS",
            "Browsers block requests from HTTPS pages to this URL.",
            "Put a proxy with a certificate in front of the gateway, and change the URL to https.",
        )
    answer = await reach(public)
    if isinstance(answer, str):
        yield warning(
            "public address",
            f"{public} cannot be reached from here: {answer}",
            "The gateway or its proxy is not running, or the host name points to another machine.",
            "Start twite serve and the proxy, and run the check again.",
        )
        return
    yield passed("public address", f"{public} answers")
    if not is_own_name(host_of(public) or ""):
        async for finding in closed(public.rstrip("/"), settings):
            yield finding
    for source in reached:
        # The script is requested as a page would; without a source for pages, there is none.
        script = f"{public.rstrip('/')}{settings.server.script_path}"
        yield await _script(f"{script}?s={quote(source.name)}")
    if not reached:
        yield await _servers(f"{public.rstrip('/')}{_OURS}")


async def _servers(url: str) -> CheckFinding:
    """Check that a gateway answers servers at this URL. `_script` checks this for pages."""
    answer = await reach(url, method="GET")
    if not isinstance(answer, str) and _REALM in answer.challenge:
        return passed("public address", f"{url} requires a key from servers")
    why = answer if isinstance(answer, str) else f"the status is {answer.status}"
    return warning(
        "public address",
        f"{url} does not require a key: {why}",
        "Servers reach a different host, or a proxy that refuses their requests.",
        "Configure the proxy to forward /v1 to the gateway, unless your servers send conversions "
        "to a different address.",
    )


async def _script(url: str) -> CheckFinding:
    answer = await reach(url, method="GET")
    if isinstance(answer, str):
        why = answer
    elif answer.status != _OK:
        why = f"the status is {answer.status}"
    elif "javascript" not in answer.kind or b"twite" not in answer.body:
        why = f"the response is not Twite's script ({answer.kind[:40] or 'no content type'})"
    else:
        return passed("script", f"{url} is available, {len(answer.body) / 1024:.1f} KiB")
    return failed(
        "script",
        f"{url}: {why}",
        "Pages cannot load the script, so Twite gets no click ids and no conversions from "
        "browsers.",
        "Forward the paths of the script and its beacon (/twite.js, /t) to the gateway.",
    )


def _listening(settings: Settings) -> CheckFinding:
    """Try to bind the address. If a gateway is running, it has already bound the address."""
    where = settings.server.listen
    family = socket.AF_INET6 if ":" in where.host else socket.AF_INET
    try:
        socket.create_server((where.host, where.port), family=family).close()
    except OSError as failure:
        if running(settings.store.gateway_file) is not None:
            return passed("address", f"{where} is in use by the running gateway")
        return failed(
            "address",
            f"cannot listen on {where} ({os.strerror(failure.errno or 0).lower()})",
            "twite serve would not start.",
            "Stop the process that uses it, or choose another server.listen.",
        )
    return passed("address", f"{where} is free")


async def closed(public: str, settings: Settings) -> AsyncIterator[CheckFinding]:
    """Check that metrics and console are not public. `public` has no trailing slash."""
    yield await _metrics_closed(f"{public}/metrics")
    yield await _console_closed(f"{public}/console/sign-in", settings)


async def _metrics_closed(url: str) -> CheckFinding:
    """Check that strangers cannot read the metrics: they need a key, or an internal address."""
    answer = await reach(url, method="GET")
    if isinstance(answer, str) or answer.status != _OK or b"twite_" not in answer.body:
        return passed("public address", f"{url} is not public")
    return failed(
        "public address",
        f"{url} answers without a key",
        "Anyone can read the metrics of every source.",
        "Configure the proxy to set X-Forwarded-For and not to add a key, list it in "
        "server.trusted_proxies, and restart twite serve.",
    )


async def _console_closed(url: str, settings: Settings) -> CheckFinding:
    """Check whether the console answers at the public URL, where it should not."""
    answer = await reach(url, method="GET")
    if isinstance(answer, str) or answer.status >= 400 or b"Twite" not in answer.body:
        return passed("public address", f"{url} is not public")
    if all(network.is_loopback for network in settings.console.networks):
        return failed(
            "public address",
            f"{url} answers, although console.networks contains only this machine",
            "Anyone can try passwords, because the proxy does not forward the client's IP address.",
            "Configure the proxy to set X-Forwarded-For, list it in server.trusted_proxies, "
            "and restart twite serve.",
        )
    return warning(
        "public address",
        f"{url} answers requests from this machine",
        "This is correct if this machine is in console.networks. Otherwise the console is "
        "open to anyone.",
        "Open it from a network that is not in console.networks: the gateway must answer 403.",
    )


def pages(settings: Settings) -> Iterator[CheckFinding]:
    """Check each source that accepts requests from pages."""
    reached = [source for source in settings.submitters if source.origins]
    if not reached:
        return
    if not settings.server.trusted_proxies:
        yield warning(
            "pages",
            "server.trusted_proxies is empty",
            "Behind a proxy, all visitors have the proxy's IP address, which X cannot match, "
            "and share one rate limit.",
            "Add the proxy's network, unless browsers connect directly to the gateway.",
        )
    yield from _rates(settings)
    url = settings.server.public_url
    if url is None:
        yield warning(
            "pages",
            "server.public_url is not set",
            "Behind a proxy that does not forward the Host header, Twite stores no click ids.",
            'Set the URL that browsers use: public_url = "https://t.shop.example".',
        )
        return
    if not url.startswith("https:"):
        yield warning(
            "pages",
            f"server.public_url is {url}, without https",
            "Browsers do not store secure cookies from this URL, and HTTPS pages cannot load "
            "the script.",
            "Put a proxy with a certificate in front of the gateway, and change the URL to https.",
        )
    for source in reached:
        yield from _kept(source, url)


def _rates(settings: Settings) -> Iterator[CheckFinding]:
    """Report limits that grow with the number of processes, because each process counts alone."""
    workers, rate = settings.server.workers, settings.server.browser_rate
    if workers > 1:
        yield passed(
            "pages",
            f"each of the {workers} processes counts requests of pages alone: one address may send "
            f"up to {workers * rate:,} a minute to this machine",
        )


def _kept(source: Source, url: str) -> Iterator[CheckFinding]:
    """Report for each origin whether a click id can be stored."""
    for origin in source.origins:
        ours, domain = cookie_domain((host_of(url),), origin)
        if ours:
            kept = domain or host_of(url)
            yield passed(
                "pages", f"{source.name}: click ids from {origin} are stored in cookies of {kept}"
            )
        else:
            yield warning(
                "pages",
                f"{source.name}: {origin} is on a different site than {url}",
                "Browsers do not store cookies from another site, so later pages do not know "
                "the click id.",
                f"Give the gateway an address on the site of {origin}, and see "
                "“Set up a first-party domain” in the documentation.",
            )
