"""`/g/collect`, `/mp/collect`, `/data`: accept GA4 hits, the Measurement Protocol and the Data Tag.

Pages are known by their origin. Servers are known by a source key: as `api_secret` in the query,
where Google's Measurement Protocol has its own secret, or as `Authorization: Bearer`.
"""

import re
import secrets
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Protocol
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Receive, Scope

from twite.domain.destination import Destination, Source
from twite.domain.submission import Endpoint
from twite.formats.clicks import cookies_of
from twite.formats.data_tag import client_ids
from twite.formats.data_tag import read as data_tag
from twite.formats.event_data.consent import signals_of
from twite.formats.event_data.conversions import Tagged, click_of, found_of
from twite.formats.ga4 import read as ga4
from twite.formats.measurement_protocol import read as measurement_protocol
from twite.formats.parsed_request import ParsedRequest
from twite.formats.visitor import Visitor
from twite.gateway.ingest.accept import AcceptReceipt
from twite.gateway.ports.events import Observer
from twite.gateway.ports.machine import Clock
from twite.gtm.template.sandbox import Incoming
from twite.http.admission import AdmissionGate
from twite.http.bodies import read_body
from twite.http.click_cookie import called, keeping, keeping_client
from twite.http.cookies import host_of
from twite.http.error_responses import at_a_door
from twite.http.incoming import incoming_of
from twite.http.origins import Origins, PageVisit
from twite.http.responses import ClientGone, HttpRefusal, HttpResponse
from twite.http.routes import tags_responses as tag_answers
from twite.http.routes.beacon import MOST_BODY
from twite.http.routes.tags_debug import DEBUG_PATH, judged
from twite.http.source_keys import WRONG_KEY, SourceKeys, bearer

DOORS: Final[Mapping[str, Endpoint]] = MappingProxyType(
    {
        "/g/collect": Endpoint.GA4,
        "/mp/collect": Endpoint.MEASUREMENT_PROTOCOL,
        "/data": Endpoint.DATA_TAG,
        DEBUG_PATH: Endpoint.MEASUREMENT_PROTOCOL,
    }
)

# Request headers for which Stape's tag needs a preflight. [seen DC]
_READS: Final = (
    b"content-type,set-cookie,x-robots-tag,x-gtm-server-preview,x-stape-preview,x-stape-app-version"
)
_FORM: Final = re.compile(rb"\s*application/x-www-form-urlencoded\b", re.IGNORECASE)


class AcceptsFound(Protocol):
    """The gateway's accept function: see gateway.ingest.accept."""

    async def found(
        self, found: ParsedRequest, *, source: Source, door: Endpoint, request: Incoming
    ) -> AcceptReceipt: ...


class TagRoutes:
    """Find the source by page or key, read, accept, set cookies, answer.

    `gate` is for servers, `page_gate` for browser requests.
    """

    def __init__(
        self,
        *,
        accept: AcceptsFound,
        origins: Origins,
        keys: SourceKeys,
        clock: Clock,
        destinations: Mapping[str, Destination],
        gate: AdmissionGate,
        page_gate: AdmissionGate,
        body_limit: int,
        public_url: str | None,
        observer: Observer,
    ) -> None:
        self._accept = accept
        self._origins = origins
        self._keys = keys
        self._clock = clock
        self._destinations = destinations
        self._gate = gate
        self._page_gate = page_gate
        self._body_limit = body_limit
        self._public_host = None if public_url is None else host_of(public_url)
        self._observer = observer

    async def answer(self, scope: Scope, receive: Receive) -> HttpResponse:
        """Raises HttpRefusal (401, 403, 405, 429) and ClientGone."""
        door = DOORS[scope["path"]]
        headers = dict(scope["headers"])
        query = _query(scope)
        named = query.get("s") if self._origins.named(query.get("s", "")) else None
        method: str = scope["method"]
        if method == "OPTIONS":
            return self._origins.preflight(headers, named, reads=_READS)
        if method not in tag_answers.METHODS[door]:
            raise HttpRefusal(tag_answers.no_method(door))
        source = self._keyed(query, headers)
        scope = self._keys.removed(scope)
        if source is not None:
            return await self._of_server_or_why_not(source, door, scope, receive)
        visit = self._origins.visit(scope, named)
        try:
            return visit.answered(await self._of_page(visit, door, scope, receive))
        except ClientGone:
            raise
        except Exception as fault:  # noqa: BLE001 - a page cannot read what names no origin
            return visit.answered(self._refused(fault, visit.source, door, scope))

    def _keyed(self, query: Mapping[str, str], headers: Mapping[bytes, bytes]) -> Source | None:
        """Return the source whose key the request carries, None without a key.

        Raises HttpRefusal (401).
        """
        secret = query.get("api_secret")
        key = bearer(headers) if secret is None else secret.encode("utf-8", "surrogateescape")
        if key is None:
            return None
        source = self._keys.find(key)
        if source is None:
            raise HttpRefusal(WRONG_KEY)
        return source

    async def _of_server_or_why_not(
        self, source: Source, door: Endpoint, scope: Scope, receive: Receive
    ) -> HttpResponse:
        try:
            return await self._of_server(source, door, scope, receive)
        except ClientGone:
            raise
        except Exception as fault:  # noqa: BLE001 - here it is still known whose request it is
            return self._refused(fault, source, door, scope)

    def _refused(
        self, fault: Exception, source: Source, door: Endpoint, scope: Scope
    ) -> HttpResponse:
        return at_a_door(
            fault, source=source.name, door=door, where=scope["path"], observer=self._observer
        )

    async def _of_server(
        self, source: Source, door: Endpoint, scope: Scope, receive: Receive
    ) -> HttpResponse:
        headers = dict(scope["headers"])
        weight = self._gate.enter(headers)
        try:
            body = await self._body(scope, headers, receive, self._body_limit)
            visitor = Visitor(trusted=True, now=self._clock.now())
            if scope["path"] == DEBUG_PATH:
                return self._judged(body, source, visitor)
            tagged = _read(door, scope, body, visitor, otherwise="")
            request = incoming_of(scope, body, trusted=self._origins.trusted)
            receipt = await self._taken(
                tagged, source=source, door=door, visitor=visitor, request=request
            )
        finally:
            self._gate.leave(weight)
        return tag_answers.told(door, receipt, tagged, method=scope["method"], now=visitor.now)

    async def _of_page(
        self, visit: PageVisit, door: Endpoint, scope: Scope, receive: Receive
    ) -> HttpResponse:
        headers = dict(scope["headers"])
        weight = self._page_gate.enter(headers)
        try:
            most = min(MOST_BODY, self._body_limit)
            body = await self._body(scope, headers, receive, most)
            visitor = self._visitor(visit, headers)
            if scope["path"] == DEBUG_PATH:
                return self._judged(body, visit.source, visitor)
            otherwise = client_ids.made(now=visitor.now, digits=_nine_digits())
            tagged = _read(door, scope, body, visitor, otherwise=otherwise)
            request = incoming_of(scope, body, address=visit.address, trusted=self._origins.trusted)
            receipt = await self._taken(
                tagged, source=visit.source, door=door, visitor=visitor, request=request
            )
        finally:
            self._page_gate.leave(weight)
        answer = tag_answers.told(door, receipt, tagged, method=scope["method"], now=visitor.now)
        said = [signals_of(event, opted_out=visitor.opted_out) for event in tagged.events]
        hosts = called(headers), self._public_host
        kept, now = visitor.cookies, visitor.now
        cookies = keeping(
            click_of(tagged.events, visitor),
            said=said,
            visit=visit,
            hosts=hosts,
            cookies=kept,
            now=now,
        )
        if door is Endpoint.DATA_TAG:
            cookies += keeping_client(
                tagged.client, said=said, visit=visit, hosts=hosts, cookies=kept, now=now
            )
        return msgspec.structs.replace(answer, headers=(*answer.headers, *cookies))

    async def _body(
        self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive, limit: int
    ) -> bytes:
        if scope["method"] != "POST":
            return b""
        return self._keys.without(await read_body(headers, receive, limit))

    def _visitor(self, visit: PageVisit, headers: Mapping[bytes, bytes]) -> Visitor:
        return Visitor(
            ip=visit.address,
            user_agent=_text(headers, b"user-agent"),
            referer=_text(headers, b"referer"),
            cookies=cookies_of(_text(headers, b"cookie") or ""),
            opted_out=headers.get(b"sec-gpc") == b"1",
            value_limit=visit.source.browser_value_limit,
            now=self._clock.now(),
        )

    def _judged(self, body: bytes, source: Source, visitor: Visitor) -> HttpResponse:
        return judged(body, source=source, destinations=self._destinations, visitor=visitor)

    async def _taken(
        self,
        tagged: Tagged,
        *,
        source: Source,
        door: Endpoint,
        visitor: Visitor,
        request: Incoming,
    ) -> AcceptReceipt:
        found = found_of(
            tagged.events,
            source=source,
            destinations=self._destinations,
            visitor=visitor,
            repeated=tagged.repeated,
            unread=tagged.unread,
        )
        return await self._accept.found(found, source=source, door=door, request=request)


def _nine_digits() -> int:
    return 100_000_000 + secrets.randbelow(900_000_000)


def _read(door: Endpoint, scope: Scope, body: bytes, visitor: Visitor, *, otherwise: str) -> Tagged:
    """`otherwise` is the client id of a browser for which Stape's Data Tag has none."""
    query = scope["query_string"].decode("latin-1")
    if door is Endpoint.GA4:
        return ga4.read(query, body)
    if door is Endpoint.MEASUREMENT_PROTOCOL:
        return measurement_protocol.read(body, measurement=_query(scope).get("measurement_id", ""))
    form = _FORM.match(dict(scope["headers"]).get(b"content-type", b"")) is not None
    return data_tag.read(query, body, form=form, cookies=visitor.cookies, otherwise=otherwise)


def _query(scope: Scope) -> dict[str, str]:
    """Return the parameters, the first of each name; {} if too many, which the reader refuses."""
    try:
        pairs = parse_qsl(
            scope["query_string"].decode("latin-1"),
            keep_blank_values=True,
            max_num_fields=data_tag.MAX_PARAMETERS,
        )
    except ValueError:
        return {}
    return dict(reversed(pairs))


def _text(headers: Mapping[bytes, bytes], name: bytes) -> str | None:
    value = headers.get(name)
    return None if value is None else value.decode("latin-1")
