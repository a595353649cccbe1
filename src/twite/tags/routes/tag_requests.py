"""Requests and tags: client templates, preview sessions, and additions to responses."""

from collections.abc import Iterable, Sequence
from typing import Final

from starlette.types import Receive, Scope

from twite.gateway.ports.request_watch import current_watch, set_watch
from twite.gateway.ports.tags import ResponseAddition
from twite.http.cookies import BrowserCookies, called
from twite.http.feature import Respond
from twite.http.limits import AdmissionGate
from twite.http.responses import ClientGone, HttpResponse, answer_to
from twite.http.services import HttpServices
from twite.tags.clients.clients import Clients
from twite.tags.preview.sessions import COOKIE, HEADER, PreviewSessions
from twite.tags.preview.trace import RequestTrace
from twite.tags.routes.client_route import ClientRoute
from twite.tags.routes.response_additions import with_tags
from twite.tags.template.tag_response import tag_responses

# Google's preview sends the name of its session in this header or in this cookie.
_HEADER: Final = HEADER.encode()
_COOKIE: Final = COOKIE.encode()


class TagRequests:
    """What tags do with requests: the HttpFeature of tags. `gate` admits requests to clients."""

    def __init__(
        self,
        services: HttpServices,
        gate: AdmissionGate,
        *,
        clients: Clients | None,
        previews: PreviewSessions,
    ) -> None:
        self.previews = previews
        self._services = services
        self._clients = None if clients is None else ClientRoute(clients, services, gate)

    @property
    def watches_requests(self) -> bool:
        return self.previews.is_open

    async def answer(
        self,
        scope: Scope,
        receive: Receive,
        respond: Respond,
        *,
        label: str | None,
        claimable: bool,
    ) -> HttpResponse:
        trace = None
        if current_watch() is not None:
            # A pipelined request is handled in a child task of the request before it.
            set_watch(None)
        if self.previews.is_open:
            scope, trace = self._begin(scope)
        clients = self._clients if claimable and not self._is_console(scope) else None
        if clients is None:
            answer = await respond(scope, receive)
        else:
            where = label or "a client's route"
            answer = await self._claimed(clients, scope, receive, respond, where)
        if trace is not None:
            cookies = [value for name, value in answer.headers if name == b"set-cookie"]
            trace.answered(answer.status, [cookie.decode("latin-1") for cookie in cookies])
        return answer

    def with_additions(
        self,
        response: HttpResponse,
        additions: Sequence[ResponseAddition],
        browser_cookies: BrowserCookies,
    ) -> HttpResponse:
        responses = tag_responses(additions)
        return with_tags(response, responses, browser_cookies, self._services.observer)

    async def _claimed(
        self, clients: ClientRoute, scope: Scope, receive: Receive, respond: Respond, where: str
    ) -> HttpResponse:
        """Respond with the client template that claims the request, or with the request's route."""
        try:
            claimed, receive = await clients.answer(scope, receive)
        except ClientGone:
            raise
        except Exception as fault:  # noqa: BLE001 - every request gets an answer
            return answer_to(fault, where=where, observer=self._services.observer)
        return await respond(scope, receive) if claimed is None else claimed

    def _is_console(self, scope: Scope) -> bool:
        """Return whether the request is for the console's own host, which has no clients."""
        host = self._services.settings.console_host
        return host is not None and called(dict(scope["headers"])) == host

    def _begin(self, scope: Scope) -> tuple[Scope, RequestTrace | None]:
        """Return the request without its preview token, and its trace, if it has a session."""
        token, headers = _taken(scope["headers"])
        if not token:
            return scope, None
        scope = {**scope, "headers": headers}
        shown = self._services.keys.removed(scope)
        trace = self.previews.begin(
            token,
            method=scope["method"],
            path=shown["path"],
            query=shown["query_string"].decode("latin-1"),
            headers=[
                (name.decode("latin-1"), value.decode("latin-1"))
                for name, value in shown["headers"]
            ],
        )
        if trace is not None:
            set_watch(trace)
        return scope, trace


def _taken(headers: Iterable[tuple[bytes, bytes]]) -> tuple[str, list[tuple[bytes, bytes]]]:
    """Return the token, and the headers without it: the token must not be logged or stored."""
    token = b""
    left: list[tuple[bytes, bytes]] = []
    for name, value in headers:
        if name == _HEADER:
            token = token or value.strip()
            continue
        if name == b"cookie" and _COOKIE in value:
            pairs = [pair.strip() for pair in value.split(b";")]
            own = [pair for pair in pairs if pair.partition(b"=")[0] == _COOKIE]
            token = token or next((pair.partition(b"=")[2] for pair in own), b"")
            pairs = [pair for pair in pairs if pair not in own]
            if pairs:
                left.append((name, b"; ".join(pairs)))
            continue
        left.append((name, value))
    return token.decode("latin-1"), left
