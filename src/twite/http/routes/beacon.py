"""`/t` and `/twite.js`: the first-party script, its beacon, and an image without JavaScript."""

from base64 import b64decode
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from twite.domain.submission import Endpoint, RejectedConversion
from twite.formats.beacon.read import read, read_image
from twite.formats.native.answers import RejectedItem
from twite.gateway.ports.tags import BrowserWait, EventOrigin
from twite.http.cookies import BrowserCookies, called
from twite.http.origins import PageVisit
from twite.http.responses import FOR_GOOD, JSON, HttpResponse
from twite.http.route import HttpRequest, RouteAuthentication, in_our_shape, incoming_of, visitor_of

if TYPE_CHECKING:
    from twite.gateway.ports.tags import ResponseAddition

# This header tells the script that the gateway itself responded, and would respond to a retry in
# the same way. Only then does the script drop its message.
VERDICT: Final = (b"twite-verdict", b"final")
# This header tells the debugger that X gets nothing, because the source is in test mode.
TEST: Final = (b"twite-test", b"on")
GIF: Final = b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")

_NEVER_KEPT: Final = (b"cache-control", b"no-store")
_IMAGE: Final = ((b"content-type", b"image/gif"), _NEVER_KEPT)
_FINAL: Final = (VERDICT, (b"access-control-expose-headers", b"%b, %b" % (VERDICT[0], TEST[0])))
_ENCODER: Final = msgspec.json.Encoder()


class SomeRejected(msgspec.Struct, frozen=True, kw_only=True):
    """The response to a partly accepted message.

    It lists only rejected conversions, not duplicates: otherwise anyone who can post for a page
    could probe for order numbers.
    """

    rejected: tuple[RejectedItem, ...]


async def _page(request: HttpRequest) -> PageVisit:
    """Return the visit, if the page may post. Raises HttpRefusal (403, 429)."""
    request.remove_keys()
    return request.services.origins.visit(request.scope, request.query().get("s"))


page: Final = RouteAuthentication(
    check=_page, refused=403, sample={"Origin": "https://shop.example"}
)


def preflight(request: HttpRequest) -> HttpResponse:
    """Answer a browser's CORS preflight. Raises HttpRefusal (403)."""
    return request.services.origins.preflight(request.headers, request.query().get("s"))


async def script(request: HttpRequest, _caller: None) -> HttpResponse:
    """Answer with the first-party script. Raises HttpRefusal (404)."""
    return request.services.script.answer(request.path, request.query(), request.headers)


async def answer(request: HttpRequest, visit: PageVisit) -> HttpResponse:
    """Accept the message, or the conversion of an image request, and set cookies."""
    services, posts = request.services, request.method == "POST"
    seen = visitor_of(request, visit)
    beacon = read(request.body, seen) if posts else read_image(request.query_pairs(), seen)
    found = beacon.parsed
    rejected: tuple[RejectedConversion, ...] = ()
    responses: tuple[ResponseAddition, ...] = ()
    test: tuple[tuple[bytes, bytes], ...] = ()
    if found.conversions or found.ignored:
        receipt = await services.accept.parsed(
            found,
            source=visit.source,
            endpoint=Endpoint.BEACON,
            pixel_calls=beacon.pixel_calls,
            origin=EventOrigin(
                waits=BrowserWait(),
                from_page=True,
                request=incoming_of(request.scope, b"", services.settings, address=visit.address),
            ),
        )
        rejected, responses = receipt.rejected, receipt.responses
        test = (TEST,) if receipt.test else ()
    browser = BrowserCookies(
        signal_sets=[beacon.consent],
        visit=visit,
        hosts=(called(request.headers), services.public_host),
        cookies=seen.cookies,
        now=seen.now,
    )
    cookies = browser.of_click(beacon.click)
    if posts:
        answer = _response(rejected, beacon.places, (_NEVER_KEPT, *_FINAL, *test, *cookies))
    else:
        answer = HttpResponse(status=200, body=GIF, headers=(*_IMAGE, *cookies))
    return services.with_additions(answer, responses, browser)


def with_verdict(
    request: HttpRequest, visit: PageVisit | None, fault: Exception, where: str
) -> HttpResponse:
    """Return the response to an exception; a header tells the script not to retry in vain."""
    answer = in_our_shape(request, visit, fault, where)
    if visit is None or answer.status not in FOR_GOOD:
        return answer
    return msgspec.structs.replace(answer, headers=(*answer.headers, *_FINAL))


def _response(
    refusals: Sequence[RejectedConversion],
    places: Sequence[int],
    headers: tuple[tuple[bytes, bytes], ...],
) -> HttpResponse:
    """Return the response to a message, with the conversions that were rejected, if any."""
    if not refusals:
        return HttpResponse(status=204, body=b"", headers=headers)
    rejected = tuple(
        RejectedItem(index=places[refusal.index], errors=refusal.errors) for refusal in refusals
    )
    body = _ENCODER.encode(SomeRejected(rejected=rejected))
    return HttpResponse(status=200, body=body, headers=(JSON, *headers))
