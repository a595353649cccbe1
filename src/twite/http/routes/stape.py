"""`POST /stape-api/{source key}/v1/twitter/auth-proxy`: accept requests of Stape's X tag.

The source key in the path replaces Stape's own key. The response is X's, and always a JSON object:
the tag calls neither success nor failure for anything else. [seen TW]
"""

from collections.abc import Mapping
from typing import Final, Protocol

from starlette.types import Receive

from twite.domain.destination import Source
from twite.domain.submission import Endpoint
from twite.gateway.ingest.accept import XAcceptReceipt
from twite.gateway.ports.events import Observer
from twite.gateway.ports.machine import Clock
from twite.http import responses as answers
from twite.http.admission import AdmissionGate
from twite.http.bodies import read_body
from twite.http.error_responses import tell_of
from twite.http.responses import HttpResponse
from twite.http.routes.x_api import as_x_answers, in_xs_words, refusal
from twite.http.source_keys import SourceKeys
from twite.x import spec

PREFIX: Final = "/stape-api/"
_REST: Final = "/v1/twitter/auth-proxy"
# Tags from before June 2026 name no version. [seen TW]
_DEFAULT_VERSION: Final = b"12"
_VERSIONS: Final = frozenset(version.encode() for version in spec.VERSIONS)


class ProxiesStape(Protocol):
    """The gateway's proxy function: see gateway.ingest."""

    async def take(self, *, source: Source, body: bytes) -> tuple[XAcceptReceipt, str | None]: ...


class StapeRoute:
    """Find the source, read, accept, answer as X does. An Authorization header is ignored."""

    def __init__(
        self,
        *,
        proxy: ProxiesStape,
        keys: SourceKeys,
        clock: Clock,
        gate: AdmissionGate,
        body_limit: int,
        observer: Observer,
    ) -> None:
        self._proxy = proxy
        self._keys = keys
        self._clock = clock
        self._gate = gate
        self._body_limit = body_limit
        self._observer = observer

    async def answer(
        self, method: str, path: str, headers: Mapping[bytes, bytes], receive: Receive
    ) -> HttpResponse:
        """Raises ClientGone; every other outcome is a response in X's shape."""
        version = _version(headers)
        key = path.removeprefix(PREFIX).removesuffix(_REST)
        if not path.endswith(_REST):
            return refusal(404, spec.ROUTE_NOT_FOUND, spec.NO_ROUTE, version=version)
        if method != "POST":
            return refusal(
                405,
                spec.METHOD_NOT_ALLOWED,
                "This route takes POST",
                version=version,
                headers=((b"allow", b"POST"),),
            )
        source = self._keys.find(key.encode("utf-8", "surrogateescape"))
        if source is None:
            return refusal(401, spec.UNAUTHORIZED_ACCESS, spec.NOT_AUTHENTICATED, version=version)
        try:
            weight = self._gate.enter(headers)
            try:
                body = self._keys.without(await read_body(headers, receive, self._body_limit))
                answer = await as_x_answers(
                    self._proxy.take(source=source, body=body), version=version, clock=self._clock
                )
            finally:
                self._gate.leave(weight)
        except answers.HttpRefusal as refused:
            answer = in_xs_words(refused.answer, version=version)
        tell_of(answer, source=source.name, door=Endpoint.STAPE, observer=self._observer)
        return answer


def _version(headers: Mapping[bytes, bytes]) -> bytes:
    named = headers.get(b"x-twitter-api-version", _DEFAULT_VERSION).strip()
    return named if named in _VERSIONS else _DEFAULT_VERSION
