"""Effects of client templates: accept events, send HTTP requests, perform Google calls."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from twite.domain.destination import Destination
from twite.domain.incoming_request import IncomingRequest
from twite.domain.submission import Endpoint
from twite.formats.event_data.conversions import parse_events
from twite.formats.page_visit import Visitor, cookies_of
from twite.gateway.ingest.accept import Accept
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.tags import BrowserWait, EventOrigin
from twite.gateway.ports.transport import NoResponse
from twite.tags.clients.conversation import TemplateClient
from twite.tags.google.calls import GoogleCalls, GoogleResponse, InsertIds, LogMessage
from twite.tags.google.requests import GoogleClient, GoogleRequestDenied
from twite.tags.google_requests.request import GoogleRequest
from twite.tags.json_tree import Tree
from twite.tags.ports.tags import ContainerRun
from twite.tags.ports.web import Web, WebRequest
from twite.tags.run.outbound import answer_of
from twite.tags.run.to_x import ToX
from twite.tags.template.effects import HttpEffect, Service
from twite.tags.template.sandbox import EffectAnswer
from twite.tags.template.tag_response import tag_responses

_LONGEST: Final = 15_000  # milliseconds, Google's own default


class ClientEvents:
    """Runs the container for clients: implements `RunsContainer` of `clients.py`."""

    def __init__(
        self, *, accept: Accept, destinations: Mapping[str, Destination], clock: Clock
    ) -> None:
        self._accept = accept
        self._destinations = destinations
        self._clock = clock

    def use(self, accept: Accept) -> None:
        """Accept events with other settings, after a reload."""
        self._accept = accept
        self._destinations = accept.destinations

    async def run(
        self,
        event: Mapping[str, Tree],
        *,
        request: IncomingRequest,
        client: TemplateClient,
        waits: bool,
    ) -> ContainerRun:
        """Accept an event. Raises MalformedRequest, QueueFull, LedgerUnavailable."""
        found = parse_events(
            [event],
            source=client.source,
            destinations=self._destinations,
            visitor=_visitor(request, now=self._clock.now()),
        )
        receipt = await self._accept.parsed(
            found,
            source=client.source,
            endpoint=Endpoint.CLIENT,
            origin=EventOrigin(
                request=request, client=client.name, waits=BrowserWait() if waits else None
            ),
        )
        return ContainerRun(tags=receipt.tags, responses=tag_responses(receipt.responses))


def _visitor(request: IncomingRequest, *, now: int) -> Visitor:
    """Return the visitor of the event.

    The template's data about the visitor is trusted, because the operator chose the template.
    """
    headers = dict(request.headers)
    return Visitor(
        trusted=True,
        referer=headers.get("referer"),
        cookies=cookies_of(headers.get("cookie", "")),
        opted_out=headers.get("sec-gpc") == "1",
        now=now,
    )


class ClientOutbound:
    """The requests of client templates.

    Requests to X go through Twite's own delivery, all others through `web`.
    """

    def __init__(self, web: Web, to_x: ToX, google: GoogleClient) -> None:
        self._web = web
        self._to_x = to_x
        self._google = google

    async def fetch(
        self, effect: HttpEffect, *, client: TemplateClient, log_message: LogMessage
    ) -> EffectAnswer:
        if effect.authorization is None:
            taken = await self._to_x.take(
                effect, source=client.source.name, endpoint=Endpoint.CLIENT
            )
            if taken is not None:
                return answer_of(effect.id, taken)
        asked = WebRequest(
            url=effect.url,
            method=effect.method,
            headers=effect.headers,
            body=(effect.body or "").encode("utf-8", "replace"),
            timeout=min(effect.timeout, _LONGEST) or _LONGEST,
            allow_hosts=client.allow_hosts,
        )
        came = await self._google.send(asked, scopes=effect.authorization, by=self._web.ask)
        if isinstance(came, GoogleRequestDenied):
            log_message(f"getGoogleAuth: {came.why}")
            return EffectAnswer(id=effect.id, reason="failed")
        if effect.authorization is not None:
            _log_no_answer(came, log_message)
        return answer_of(effect.id, came)

    def calls(
        self, *, log_message: LogMessage, mark: bytes
    ) -> Callable[[Service], Awaitable[EffectAnswer]]:
        async def ask(google_request: GoogleRequest) -> GoogleResponse:
            asked = WebRequest(
                url=google_request.url,
                method=google_request.method,
                headers=google_request.headers,
                body=google_request.body,
                timeout=google_request.timeout or _LONGEST,
            )
            scopes = google_request.scopes or None
            came = await self._google.send(asked, scopes=scopes, by=self._web.ask, own=True)
            _log_no_answer(came, log_message)
            return came

        return GoogleCalls(
            self._google, sends=ask, log_message=log_message, ids=InsertIds(mark)
        ).perform


def _log_no_answer(came: GoogleResponse, log_message: LogMessage) -> None:
    """Log why Google did not respond, because a client's attempts are not recorded."""
    if isinstance(came, NoResponse):
        log_message(f"no answer from Google: {came.reason}")
