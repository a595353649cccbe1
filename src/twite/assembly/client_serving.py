"""Clients as they run in a gateway: their threads, the way out, and what they keep."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from twite.collector.cookies import registrable_domain
from twite.domain.destination import Destination
from twite.domain.submission import Door
from twite.engines.quickjs.threads import TemplateThreads
from twite.gateway.accept import Accept
from twite.gateway.client_events import ClientEvents
from twite.gateway.clients import Client, Clients
from twite.gateway.notices import Observer
from twite.gateway.ports import Answer, Chance, Clock, NoAnswer
from twite.gateway.tags.storage import Storage
from twite.gateway.tags.to_x import ToX
from twite.gateway.tags.web import Asked, Web
from twite.senders.web import PublicWeb
from twite.sgtm import sandbox
from twite.sgtm.effects import Request
from twite.sgtm.sandbox import Limits

_ESCAPED: Final = 3  # what a text becomes as JSON, at most twice, and what stands around it
_COPIES: Final = 32  # of a body, in bytes a character: as text, parsed, as event, as effects
_MOST_MEMORY: Final = 256 * 1024 * 1024
_LONGEST: Final = 15_000  # milliseconds, Google's own default


class ServingClients:
    """The clients of a gateway, until it stops."""

    def __init__(
        self,
        clients: Sequence[Client],
        *,
        accept: Accept,
        destinations: Mapping[str, Destination],
        clock: Clock,
        chance: Chance,
        observer: Observer,
        to_x: ToX,
        keys: Mapping[str, str] | None = None,
        max_body: int,
        storage: Storage | None = None,
    ) -> None:
        self._threads = TemplateThreads(
            {one.name: one.template for one in clients},
            clock=clock,
            observer=observer,
            keys=keys,
            limits=limits_for(max_body),
        )
        self._web = PublicWeb()
        self.clients = Clients(
            clients,
            runs=self._threads,
            container=ClientEvents(accept=accept, destinations=destinations, clock=clock),
            fetch=Fetch(self._web, to_x),
            storage=storage or Storage(),
            registrable=registrable_domain,
            clock=clock,
            chance=chance,
            observer=observer,
        )

    async def stop(self) -> None:
        """Give up what clients still do."""
        await self.clients.stop()
        self._threads.stop()
        await self._web.stop()


def limits_for(max_body: int) -> Limits:
    """Return what a client may take: enough for any request that is let in, as JSON of JSON."""
    usual = Limits()
    return msgspec.structs.replace(
        usual,
        memory=max(usual.memory, min(_COPIES * max_body, _MOST_MEMORY)),
        output=max(usual.output, _ESCAPED * max_body),
    )


class Fetch:
    """A client's own requests, answered as its template wants to hear it.

    What is for X goes through our own delivery, as what tags send does.
    """

    def __init__(self, web: Web, to_x: ToX) -> None:
        self._web = web
        self._to_x = to_x

    async def __call__(self, request: Request, *, client: Client) -> sandbox.Answer:
        """Send it."""
        taken = await self._to_x.take(request, source=client.source.name, door=Door.CLIENT)
        answer = taken or await self._web.ask(
            Asked(
                url=request.url,
                method=request.method,
                headers=request.headers,
                body=(request.body or "").encode("utf-8", "replace"),
                timeout=min(request.timeout, _LONGEST) or _LONGEST,
                allow_hosts=client.allow_hosts,
            )
        )
        return _told(request.id, answer)


def _told(number: int, answer: Answer | NoAnswer) -> sandbox.Answer:
    if isinstance(answer, NoAnswer):
        reason = "timed_out" if answer.reason == "no answer in time" else "failed"
        return sandbox.Answer(id=number, reason=reason)
    return sandbox.Answer(
        id=number,
        status=answer.status,
        headers=dict(answer.headers),
        body=answer.body.decode("utf-8", "replace"),
    )
