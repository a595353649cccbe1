"""`POST /stape-api/{source key}/v1/twitter/auth-proxy`: accept requests of Stape's X tag.

The source key in the path replaces Stape's own key; an Authorization header is ignored. The
response is X's, and always a JSON object: the tag calls neither success nor failure for anything
else. [seen TW]
"""

from twite.domain.destination import Source
from twite.http.responses import HttpResponse
from twite.http.route import HttpRequest
from twite.http.routes.x_api import XRefusal, accepted, no_route, unauthorized


async def key_in_path(request: HttpRequest) -> Source:
    """Return the source of the key. Raises XRefusal (401)."""
    key = request.parameters["source_key"].encode("utf-8", "surrogateescape")
    source = request.services.keys.find(key)
    if source is None:
        raise XRefusal(unauthorized(request))
    return source


async def answer(request: HttpRequest, source: Source) -> HttpResponse:
    """Accept the conversions; the receipt names the account."""
    proxy = request.services.proxy
    if proxy is None:
        return await no_route(request, None)
    receipt, account = await proxy.take(source=source, body=request.body)
    return accepted(request, receipt, account)
