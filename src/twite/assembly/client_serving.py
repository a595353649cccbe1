"""Clients as they run in a gateway: their threads, the way out, and what they keep."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from twite.collector.cookies import registrable_domain
from twite.domain.destination import Destination
from twite.engines.quickjs.threads import TemplateThreads
from twite.gateway.accept import Accept
from twite.gateway.client_events import ClientEvents
from twite.gateway.client_way import ClientWay
from twite.gateway.clients import Client, Clients
from twite.gateway.google.google import Google
from twite.gateway.notices import Observer
from twite.gateway.ports import Chance, Clock
from twite.gateway.tags.storage import Storage
from twite.gateway.tags.to_x import ToX
from twite.senders.web import PublicWeb
from twite.sgtm.sandbox import Limits

_ESCAPED: Final = 3  # what a text becomes as JSON, at most twice, and what stands around it
_COPIES: Final = 32  # of a body, in bytes a character: as text, parsed, as event, as effects
_MOST_MEMORY: Final = 256 * 1024 * 1024


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
        google: Google,
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
            way_out=ClientWay(self._web, to_x, google),
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
