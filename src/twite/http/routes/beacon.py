"""`/t`: the beacon of the first-party script, and the image for pages without JavaScript."""

from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Final, Protocol
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Receive, Scope

from twite.domain.destination import Source
from twite.domain.submission import Endpoint, RejectedConversion
from twite.formats.beacon.read import BeaconContext, read, read_image
from twite.formats.beacon.shape import BeaconTwin
from twite.formats.clicks import cookies_of
from twite.formats.parsed_request import ParsedRequest
from twite.gateway.ingest.accept import AcceptReceipt
from twite.gateway.ports.events import Observer
from twite.gateway.ports.machine import Clock
from twite.gtm.template.sandbox import Incoming
from twite.http.admission import AdmissionGate
from twite.http.bodies import read_body
from twite.http.click_cookie import called, keeping
from twite.http.cookies import host_of
from twite.http.error_responses import FOR_GOOD, at_a_door
from twite.http.incoming import incoming_of
from twite.http.origins import Origins, PageVisit
from twite.http.responses import JSON, ClientGone, HttpRefusal, HttpResponse, error
from twite.http.routes.native import RejectedItem
from twite.http.source_keys import SourceKeys

PATH: Final = "/t"
MOST_BODY: Final = 64 * 1024  # as much as browsers let sendBeacon carry
# This header tells the script that the gateway itself answered and would answer a retry alike: only
# then does the script drop its message.
VERDICT: Final = (b"twite-verdict", b"final")
GIF: Final = b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")

_NEVER_KEPT: Final = (b"cache-control", b"no-store")
_IMAGE: Final = ((b"content-type", b"image/gif"), _NEVER_KEPT)
_FINAL: Final = (VERDICT, (b"access-control-expose-headers", VERDICT[0]))
_MOST_FIELDS: Final = 100


class SomeRejected(msgspec.Struct, frozen=True, kw_only=True):
    """Response to a message that was accepted in part; everything else in it was accepted.

    It does not name duplicates: anyone who may post for a page could probe for order numbers.
    """

    rejected: tuple[RejectedItem, ...]


class AcceptsBeacon(Protocol):
    """The gateway's accept function: see gateway.ingest.accept."""

    async def found(
        self,
        found: ParsedRequest,
        *,
        source: Source,
        door: Endpoint,
        twins: Sequence[BeaconTwin] = (),
        request: Incoming,
    ) -> AcceptReceipt: ...


class BeaconRoute:
    """Check the origin, read, accept, set cookies, answer. `gate` is for browser requests."""

    def __init__(
        self,
        *,
        accept: AcceptsBeacon,
        origins: Origins,
        keys: SourceKeys,
        clock: Clock,
        gate: AdmissionGate,
        public_url: str | None,
        observer: Observer,
    ) -> None:
        self._accept = accept
        self._origins = origins
        self._keys = keys
        self._clock = clock
        self._gate = gate
        self._public_host = None if public_url is None else host_of(public_url)
        self._observer = observer

    async def answer(self, scope: Scope, receive: Receive) -> HttpResponse:
        """Raises HttpRefusal (403, 405, 429) and ClientGone. The page can read later errors."""
        scope = self._keys.removed(scope)
        headers = dict(scope["headers"])
        query = query_of(scope)
        name = query.get("s")
        method: str = scope["method"]
        if method == "OPTIONS":
            return self._origins.preflight(headers, name)
        if method not in {"GET", "POST"}:
            raise HttpRefusal(_NO_METHOD)
        visit = self._origins.visit(scope, name)
        try:
            return visit.answered(await self._taken(visit, scope, headers, query, receive))
        except ClientGone:
            raise
        except Exception as fault:  # noqa: BLE001 - a page cannot read what names no origin
            answer = at_a_door(
                fault,
                source=visit.source.name,
                door=Endpoint.BEACON,
                where=PATH,
                observer=self._observer,
            )
            if answer.status in FOR_GOOD:
                answer = msgspec.structs.replace(answer, headers=(*answer.headers, *_FINAL))
            return visit.answered(answer)

    async def _taken(
        self,
        visit: PageVisit,
        scope: Scope,
        headers: Mapping[bytes, bytes],
        query: Mapping[str, str],
        receive: Receive,
    ) -> HttpResponse:
        method: str = scope["method"]
        weight = self._gate.enter(headers)
        try:
            seen = self._circumstances(visit, headers)
            if method == "POST":
                body = await read_body(headers, receive, MOST_BODY)
                beacon = read(self._keys.without(body), seen)
            else:
                beacon = read_image(query, seen)
            found = beacon.found
            rejected: tuple[RejectedConversion, ...] = ()
            if found.conversions or found.ignored:
                receipt = await self._accept.found(
                    found,
                    source=visit.source,
                    door=Endpoint.BEACON,
                    twins=beacon.twins,
                    request=incoming_of(
                        scope, b"", address=visit.address, trusted=self._origins.trusted
                    ),
                )
                rejected = receipt.rejected
        finally:
            self._gate.leave(weight)
        cookies = keeping(
            beacon.click,
            said=[beacon.consent],
            visit=visit,
            hosts=(called(headers), self._public_host),
            cookies=seen.cookies,
            now=seen.now,
        )
        if method == "POST":
            return _told(rejected, beacon.places, (_NEVER_KEPT, *_FINAL, *cookies))
        return HttpResponse(status=200, body=GIF, headers=(*_IMAGE, *cookies))

    def _circumstances(self, visit: PageVisit, headers: Mapping[bytes, bytes]) -> BeaconContext:
        return BeaconContext(
            now=self._clock.now(),
            ip=visit.address,
            user_agent=_text(headers, b"user-agent"),
            referer=_text(headers, b"referer"),
            cookies=cookies_of(_text(headers, b"cookie") or ""),
            opted_out=headers.get(b"sec-gpc") == b"1",
            value_limit=visit.source.browser_value_limit,
        )


def _told(
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


def query_of(scope: Scope) -> dict[str, str]:
    """Return the request's query parameters, the first of each name; {} if there are too many."""
    try:
        pairs = parse_qsl(
            scope["query_string"].decode("latin-1"),
            keep_blank_values=True,
            max_num_fields=_MOST_FIELDS,
        )
    except ValueError:
        return {}
    found: dict[str, str] = {}
    for name, value in pairs:
        found.setdefault(name, value)
    return found


def _text(headers: Mapping[bytes, bytes], name: bytes) -> str | None:
    value = headers.get(name)
    return None if value is None else value.decode("latin-1")


_ENCODER: Final = msgspec.json.Encoder()
_NO_METHOD: Final = error(
    405,
    "method",
    "this route takes POST, GET, OPTIONS",
    headers=((b"allow", b"GET, POST, OPTIONS"),),
)
