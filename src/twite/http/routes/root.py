"""`GET /`: leads people to the console, and tells everyone else what answers here."""

from ipaddress import ip_address
from typing import Final

from twite.http.responses import JSON, HttpResponse
from twite.http.route import HttpRequest

# The page names no version, and shows nothing of the installation.
_ABOUT: Final = HttpResponse(
    status=200,
    body=b'{"service":"Twite, a conversion gateway for X","health":"/healthz",'
    b'"routes":"/v1/openapi.json"}',
    headers=(JSON, (b"vary", b"accept")),
)
_HEADERS: Final = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"vary", b"accept"),
)
_PAGE: Final = HttpResponse(
    status=200,
    body=b"Twite, a conversion gateway for X.\n\nHealth: /healthz\nRoutes: /v1/openapi.json\n",
    headers=((b"content-type", b"text/plain; charset=utf-8"), *_HEADERS),
)
_TO_CONSOLE: Final = HttpResponse(
    status=303, body=b"", headers=((b"location", b"/console"), *_HEADERS)
)


async def answer(request: HttpRequest, _caller: None) -> HttpResponse:
    """Redirect a browser that may open the console; describe the gateway to others."""
    if "text/html" not in (request.text(b"accept") or ""):
        return _ABOUT
    return _TO_CONSOLE if _may_open_console(request) else _PAGE


def _may_open_console(request: HttpRequest) -> bool:
    """Return whether the console is open to the client's network."""
    services = request.services
    address = services.front.client(request.scope)
    if services.console is None or address is None:
        return False
    there = ip_address(address)
    networks = services.settings.console_networks
    return any(there in network for network in networks if network.version == there.version)
