"""`/g/collect`, `/mp/collect`, `/data`: accept GA4 hits, the Measurement Protocol and the Data Tag.

Pages are known by their origin. Servers are known by a source key: as `api_secret` in the query,
where Google's Measurement Protocol has its own secret, or as `Authorization: Bearer`.
"""

import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec

from twite.domain.destination import Source
from twite.domain.submission import Endpoint
from twite.formats.data_tag import client_ids
from twite.formats.data_tag import read as data_tag
from twite.formats.event_data.consent import signals_of
from twite.formats.event_data.conversions import Tagged, click_of, found_of
from twite.formats.ga4 import read as ga4
from twite.formats.measurement_protocol import read as measurement_protocol
from twite.formats.visitor import Visitor
from twite.http.click_cookie import called, keeping, keeping_client
from twite.http.incoming import incoming_of
from twite.http.origins import PageVisit
from twite.http.responses import HttpRefusal, HttpResponse
from twite.http.route import HttpRequest, visitor_of
from twite.http.routes.tags_debug import judged
from twite.http.routes.tags_responses import told
from twite.http.source_keys import WRONG_KEY, bearer

# Request headers for which Stape's tag needs a preflight. [seen DC]
_READS: Final = (
    b"content-type,set-cookie,x-robots-tag,x-gtm-server-preview,x-stape-preview,x-stape-app-version"
)
_FORM: Final = re.compile(rb"\s*application/x-www-form-urlencoded\b", re.IGNORECASE)


class TagInput(msgspec.Struct, frozen=True, kw_only=True):
    """What a format reads. `otherwise` is the client id of a browser without one of Stape's."""

    query: str
    parameters: Mapping[str, str]
    body: bytes
    form: bool
    visitor: Visitor
    otherwise: str


def read_ga4(given: TagInput) -> Tagged:
    return ga4.read(given.query, given.body)


def read_measurement_protocol(given: TagInput) -> Tagged:
    return measurement_protocol.read(
        given.body, measurement=given.parameters.get("measurement_id", "")
    )


def read_data_tag(given: TagInput) -> Tagged:
    return data_tag.read(
        given.query,
        given.body,
        form=given.form,
        cookies=given.visitor.cookies,
        otherwise=given.otherwise,
    )


async def page_or_key(request: HttpRequest) -> Source | PageVisit:
    """Return the source whose key the request carries, or the visit of a page that may post.

    Raises HttpRefusal (401, 403, 429).
    """
    services, query = request.services, request.query()
    secret = query.get("api_secret")
    key = bearer(request.headers) if secret is None else secret.encode("utf-8", "surrogateescape")
    request.remove_keys()
    if key is None:
        return services.origins.visit(request.scope, _named(request, query))
    source = services.keys.find(key)
    if source is None:
        raise HttpRefusal(WRONG_KEY)
    return source


def preflight(request: HttpRequest) -> HttpResponse:
    """Answer a browser that asks whether the page may post. Raises HttpRefusal (403)."""
    named = _named(request, request.query())
    return request.services.origins.preflight(request.headers, named, reads=_READS)


def taking(
    door: Endpoint, read: Callable[[TagInput], Tagged]
) -> Callable[[HttpRequest, Source | PageVisit], Awaitable[HttpResponse]]:
    """Return what accepts events of a format."""

    async def answer(request: HttpRequest, caller: Source | PageVisit) -> HttpResponse:
        visit = caller if isinstance(caller, PageVisit) else None
        source = caller.source if isinstance(caller, PageVisit) else caller
        visitor = visitor_of(request, visit)
        tagged = read(_input(request, visit, visitor))
        receipt = await request.services.accept.found(
            found_of(
                tagged.events,
                source=source,
                destinations=request.services.destinations,
                visitor=visitor,
                repeated=tagged.repeated,
                unread=tagged.unread,
            ),
            source=source,
            door=door,
            request=incoming_of(
                request.scope,
                request.body,
                address=visit.address if visit else None,
                trusted=request.services.origins.trusted,
            ),
        )
        answer = told(door, receipt, tagged, method=request.method, now=visitor.now)
        if visit is None:
            return answer
        cookies = _cookies(request, visit, door, tagged, visitor)
        return msgspec.structs.replace(answer, headers=(*answer.headers, *cookies))

    return answer


async def debug(request: HttpRequest, caller: Source | PageVisit) -> HttpResponse:
    """Answer with what would become of the events."""
    visit = caller if isinstance(caller, PageVisit) else None
    return judged(
        request.body,
        source=caller.source if isinstance(caller, PageVisit) else caller,
        destinations=request.services.destinations,
        visitor=visitor_of(request, visit),
    )


def _named(request: HttpRequest, query: Mapping[str, str]) -> str | None:
    """Return the source that the query names; GA4 has an `s` of its own."""
    name = query.get("s")
    return name if name and request.services.origins.named(name) else None


def _input(request: HttpRequest, visit: PageVisit | None, visitor: Visitor) -> TagInput:
    return TagInput(
        query=request.scope["query_string"].decode("latin-1"),
        parameters=request.query(),
        body=request.body,
        form=_FORM.match(request.headers.get(b"content-type", b"")) is not None,
        visitor=visitor,
        otherwise=client_ids.made(now=visitor.now, digits=_nine_digits()) if visit else "",
    )


def _cookies(
    request: HttpRequest, visit: PageVisit, door: Endpoint, tagged: Tagged, visitor: Visitor
) -> tuple[tuple[bytes, bytes], ...]:
    signal_sets = [signals_of(event, opted_out=visitor.opted_out) for event in tagged.events]
    hosts = called(request.headers), request.services.public_host
    kept, now = visitor.cookies, visitor.now
    click = click_of(tagged.events, visitor)
    cookies = keeping(
        click, signal_sets=signal_sets, visit=visit, hosts=hosts, cookies=kept, now=now
    )
    if door is Endpoint.DATA_TAG:
        cookies += keeping_client(
            tagged.client, signal_sets=signal_sets, visit=visit, hosts=hosts, cookies=kept, now=now
        )
    return cookies


def _nine_digits() -> int:
    return 100_000_000 + secrets.randbelow(900_000_000)
