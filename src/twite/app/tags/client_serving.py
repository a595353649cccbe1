"""Wire client templates in a gateway: their threads, outbound requests, and caches."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from twite.domain.destination import Destination
from twite.engines.quickjs.threads import TemplateThreads
from twite.gateway.ingest.accept import Accept
from twite.gateway.ports.events import Observer
from twite.gateway.ports.machine import Clock, Randomness
from twite.gateway.tags.clients.clients import Clients, TemplateClient
from twite.gateway.tags.clients.effects import ClientEvents, ClientOutbound
from twite.gateway.tags.google.requests import GoogleClient
from twite.gateway.tags.run.to_x import ToX
from twite.gateway.tags.runtime.engine_pool import TemplateStorage
from twite.gtm.template.sandbox import RunLimits
from twite.http.cookies import registrable_domain
from twite.senders.web import PublicWeb

_ESCAPED: Final = 3  # text as JSON takes at most twice its size, and some more around it
_COPIES: Final = 32  # of a body, in bytes a character: as text, parsed, as event, as effects
_MOST_MEMORY: Final = 256 * 1024 * 1024


class ServingClients:
    """The client templates of a gateway, until it stops."""

    def __init__(
        self,
        clients: Sequence[TemplateClient],
        *,
        accept: Accept,
        destinations: Mapping[str, Destination],
        clock: Clock,
        randomness: Randomness,
        observer: Observer,
        to_x: ToX,
        google: GoogleClient,
        keys: Mapping[str, str] | None = None,
        max_body: int,
        storage: TemplateStorage | None = None,
    ) -> None:
        self._threads = TemplateThreads(
            {client.name: client.template for client in clients},
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
            way_out=ClientOutbound(self._web, to_x, google),
            storage=storage or TemplateStorage(),
            registrable=registrable_domain,
            clock=clock,
            randomness=randomness,
            observer=observer,
        )

    async def stop(self) -> None:
        """Cancel the clients' pending work."""
        await self.clients.stop()
        self._threads.stop()
        await self._web.stop()


def limits_for(max_body: int) -> RunLimits:
    """Return a client's memory limits: enough for any accepted request, as JSON of JSON."""
    usual = RunLimits()
    return msgspec.structs.replace(
        usual,
        memory=max(usual.memory, min(_COPIES * max_body, _MOST_MEMORY)),
        output=max(usual.output, _ESCAPED * max_body),
    )
