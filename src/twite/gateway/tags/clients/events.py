"""Events of a client template: commit conversions for X and deliveries of tags together."""

from collections.abc import Mapping

from twite.domain.destination import Destination
from twite.domain.json_tree import Tree
from twite.domain.submission import Endpoint
from twite.formats.event_data.conversions import found_of
from twite.formats.page_visit import Visitor, cookies_of
from twite.gateway.ingest.accept import Accept
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.tags import TagOutcome
from twite.gateway.tags.clients.clients import TemplateClient
from twite.gtm.template.sandbox import Incoming


class ClientEvents:
    """The port `gateway.clients.RunsContainer`."""

    def __init__(
        self, *, accept: Accept, destinations: Mapping[str, Destination], clock: Clock
    ) -> None:
        self._accept = accept
        self._destinations = destinations
        self._clock = clock

    async def run(
        self, event: Mapping[str, Tree], *, request: Incoming, client: TemplateClient
    ) -> tuple[TagOutcome, ...]:
        """Take it in. Raises Malformed, LedgerFull, LedgerUnavailable."""
        found = found_of(
            [event],
            source=client.source,
            destinations=self._destinations,
            visitor=_visitor(request, now=self._clock.now()),
        )
        receipt = await self._accept.found(
            found,
            source=client.source,
            endpoint=Endpoint.CLIENT,
            request=request,
            client=client.name,
        )
        return receipt.tags


def _visitor(request: Incoming, *, now: int) -> Visitor:
    """Return who asked. What the template made of the request is believed: it is the operator's."""
    headers = dict(request.headers)
    return Visitor(
        trusted=True,
        referer=headers.get("referer"),
        cookies=cookies_of(headers.get("cookie", "")),
        opted_out=headers.get("sec-gpc") == "1",
        now=now,
    )
