"""Let client templates claim requests to the tag routes and to paths without a route."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from starlette.types import Message, Receive, Scope

from twite.domain.errors import TemplatePaused
from twite.domain.incoming_request import IncomingRequest
from twite.domain.times import MINUTE, SECOND
from twite.gateway.rate_limiter import RateLimiter
from twite.http.addresses import address_of, line_of
from twite.http.bodies import inflate, read_body
from twite.http.limits import AdmissionGate
from twite.http.responses import HttpRefusal, HttpResponse, again
from twite.http.route import incoming_of
from twite.http.services import HttpServices
from twite.tags.template.response import ClientResponse

if TYPE_CHECKING:
    from twite.tags.clients.clients import Clients

_MOST_HELD: Final = 10
_BODILESS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class ClientRoute:
    """Runs client templates for a request, and sends their response."""

    def __init__(self, clients: "Clients", services: HttpServices, gate: AdmissionGate) -> None:
        self._clients = clients
        self._keys = services.keys
        self._clock = services.clock
        self._gate = gate
        self._settings = services.settings
        self._budget = services.origins.budget
        self._rates = RateLimiter(size=services.settings.browser_rate, per=MINUTE)
        self._body_limit = services.limits.body
        self._held = 0

    async def answer(self, scope: Scope, receive: Receive) -> tuple[HttpResponse | None, Receive]:
        """Return the response of the client that claims the request, or None, and the request.

        Raises HttpRefusal (413, 415, 429), ClientGone, and the errors of Clients.answer.
        """
        headers = dict(scope["headers"])
        address = address_of(scope, self._settings.trusted_proxies) or ""
        line = line_of(address)
        self._budget.require(line)
        wait = self._rates.spend(line, now=self._clock.elapsed())
        if wait:
            raise HttpRefusal(again(429, "too_fast", -(-wait // SECOND)))
        weight = self._gate.enter(headers)
        try:
            body = await self._body(scope, headers, receive)
            encoding = headers.get(b"content-encoding")
            plain = inflate(body, encoding, self._body_limit) if body and encoding else body
            seen, known = self._keys.removed(scope), self._keys.without(plain)
            self._budget.require(line)
            request = incoming_of(seen, known, self._settings, address=address)
            found = await self._budget.metered(self._asked(request, line), line)
        finally:
            self._gate.leave(weight)
        return (None, _again(body, receive)) if found is None else (_answer(found), receive)

    async def _asked(self, request: IncomingRequest, line: str) -> ClientResponse | None:
        def charge(seconds: float) -> None:
            self._budget.charge(line, round(seconds * 1_000_000))

        try:
            return await self._clients.answer(request, charge=charge)
        except TemplatePaused:
            # Delay the refusal, so that a client gains nothing by retrying at once.
            if self._held < _MOST_HELD:
                self._held += 1
                try:
                    await self._clock.sleep(SECOND)
                finally:
                    self._held -= 1
            raise

    async def _body(self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
        if scope["method"] in _BODILESS and b"content-length" not in headers:
            return b""
        as_sent = {name: value for name, value in headers.items() if name != b"content-encoding"}
        return await read_body(as_sent, receive, self._body_limit)


def _answer(response: ClientResponse) -> HttpResponse:
    headers = [(name, value) for name, value in response.headers]
    headers += [("set-cookie", cookie) for cookie in response.cookies]
    # A page of a template runs no scripts, and cannot read the console's pages.
    headers.append(("content-security-policy", "sandbox"))
    return HttpResponse(
        status=response.status,
        # RFC 9110, 15.3.5 and 15.4.5: these responses have no body.
        body=b"" if response.status in {204, 304} else response.body,
        headers=tuple(
            (name.encode("ascii"), value.encode("utf-8", "replace")) for name, value in headers
        ),
    )


def _again(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that replays the body to the next route."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return messages.pop() if messages else await receive()

    return again
