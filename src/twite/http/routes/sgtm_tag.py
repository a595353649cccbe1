"""`POST /v1/sgtm`: accept events from Twite's own tag in an sGTM server container."""

from collections.abc import Mapping
from typing import Final

from starlette.types import Receive

from twite.domain.destination import Destination, Source
from twite.domain.fault import CODES
from twite.domain.submission import Endpoint
from twite.formats.event_data.conversions import found_of
from twite.formats.sgtm_tag import read as sgtm
from twite.formats.visitor import Visitor
from twite.gateway.ports.events import Observer
from twite.gateway.ports.machine import Clock
from twite.gtm.template.sandbox import Incoming
from twite.http.admission import AdmissionGate
from twite.http.bodies import read_body, require_json
from twite.http.error_responses import at_a_door
from twite.http.responses import ClientGone, HttpRefusal, HttpResponse, error
from twite.http.routes.native import told
from twite.http.routes.tags import AcceptsFound
from twite.http.source_keys import SourceKeys

SGTM_PATH: Final = "/v1/sgtm"


class SgtmRoute:
    """Authenticate, read, accept, and answer as the native route does."""

    def __init__(
        self,
        *,
        accept: AcceptsFound,
        keys: SourceKeys,
        clock: Clock,
        destinations: Mapping[str, Destination],
        gate: AdmissionGate,
        body_limit: int,
        observer: Observer,
    ) -> None:
        self._accept = accept
        self._keys = keys
        self._clock = clock
        self._destinations = destinations
        self._gate = gate
        self._body_limit = body_limit
        self._observer = observer

    async def answer(self, headers: Mapping[bytes, bytes], receive: Receive) -> HttpResponse:
        """Raises HttpRefusal (401) and ClientGone."""
        source = self._keys.require(headers)
        try:
            return await self._taken(source, headers, receive)
        except ClientGone:
            raise
        except Exception as fault:  # noqa: BLE001 - here it is still known whose request it is
            return at_a_door(
                fault,
                source=source.name,
                door=Endpoint.SGTM,
                where=SGTM_PATH,
                observer=self._observer,
            )

    async def _taken(
        self, source: Source, headers: Mapping[bytes, bytes], receive: Receive
    ) -> HttpResponse:
        require_json(headers)
        weight = self._gate.enter(headers)
        try:
            body = await read_body(headers, receive, self._body_limit)
            sent = sgtm.read(self._keys.without(body))
            if sent.pixel is not None and sent.pixel not in source.pixels:
                raise HttpRefusal(_NO_PIXEL)
            found = found_of(
                sent.tagged.events,
                source=source,
                destinations=self._destinations,
                # The container authenticates itself, so its claims about its visitor are trusted.
                visitor=Visitor(trusted=True, now=self._clock.now()),
                repeated=sent.tagged.repeated,
                pixel=sent.pixel,
            )
            receipt = await self._accept.found(
                found, source=source, door=Endpoint.SGTM, request=_REQUEST
            )
        finally:
            self._gate.leave(weight)
        return told(receipt, ignored=len(found.ignored))


# The address and headers of this request are the container's, not the visitor's.
_REQUEST: Final = Incoming(method="POST", path=SGTM_PATH)
_NO_PIXEL: Final = error(422, "pixel_unknown", CODES["pixel_unknown"], path="pixel")
