"""`/healthz`, `/readyz`, `/metrics`, `/v1/openapi.json`: for machines that watch the gateway."""

from typing import Final

from twite.http.responses import CODES, HttpRefusal, HttpResponse, error
from twite.http.route import HttpRequest
from twite.http.source_keys import bearer

PROMETHEUS: Final = (b"content-type", b"text/plain; version=1.0.0; charset=utf-8")


async def healthz(_request: HttpRequest, _caller: None) -> HttpResponse:
    """Answer that the event loop runs."""
    return _OK


async def readyz(request: HttpRequest, _caller: None) -> HttpResponse:
    """Answer whether submissions can be taken now."""
    why_not = request.services.ready()
    if why_not is None:
        return _OK
    return error(
        503, "not_ready", f"{CODES['not_ready']}: {why_not}", headers=((b"retry-after", b"1"),)
    )


async def this_machine_or_metrics_key(request: HttpRequest) -> None:
    """Raises HttpRefusal (401). No source key is taken: the metrics cover every source."""
    if not (request.services.front.is_machine(request.scope) or await _has_key(request)):
        raise HttpRefusal(_METRICS_CLOSED)


async def metrics(request: HttpRequest, _caller: None) -> HttpResponse:
    """Answer with the metrics, in Prometheus' format."""
    page = request.services.metrics(await request.services.records.balance())
    return HttpResponse(status=200, body=page, headers=(PROMETHEUS,))


async def openapi(request: HttpRequest, _caller: None) -> HttpResponse:
    """Answer with the OpenAPI document."""
    return HttpResponse(status=200, body=request.services.openapi())


async def _has_key(request: HttpRequest) -> bool:
    offered = bearer(request.headers)
    if offered is None:
        return False
    configured = request.services.settings.metrics_key
    if configured is not None and configured.matches(offered.decode("latin-1")):
        return True
    return await request.services.authorization.may_see_metrics(request.headers)


_OK: Final = HttpResponse(status=200, body=b'{"status":"ok"}')
_METRICS_CLOSED: Final = error(
    401,
    "key_wrong",
    "closed without server.metrics_key (Authorization: Bearer <key>). It is open to this machine "
    "itself, asked as localhost and through no proxy; with server.public_url or "
    "server.trusted_proxies at server.local_listen alone",
    headers=((b"www-authenticate", b'Bearer realm="twite"'),),
)
