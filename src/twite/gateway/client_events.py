"""What a client ran the container for: conversions for X, and the tags that fire, in one commit."""

from collections.abc import Mapping

from twite.domain.destination import Destination
from twite.domain.submission import Door
from twite.gateway.accept import Accept
from twite.gateway.clients import Client
from twite.gateway.entries import TagFate
from twite.gateway.ports import Clock
from twite.intake.clicks import cookies_of
from twite.intake.event_data import found_of
from twite.intake.visitor import Visitor
from twite.sgtm.sandbox import Incoming
from twite.sgtm.tree import Tree


class ClientEvents:
    """The port `gateway.clients.RunsContainer`."""

    def __init__(
        self, *, accept: Accept, destinations: Mapping[str, Destination], clock: Clock
    ) -> None:
        self._accept = accept
        self._destinations = destinations
        self._clock = clock

    async def run(
        self, event: Mapping[str, Tree], *, request: Incoming, client: Client
    ) -> tuple[TagFate, ...]:
        """Take it in. Raises Malformed, LedgerFull, LedgerUnavailable."""
        found = found_of(
            [event],
            source=client.source,
            destinations=self._destinations,
            visitor=_visitor(request, now=self._clock.now()),
        )
        receipt = await self._accept.found(
            found, source=client.source, door=Door.CLIENT, request=request, client=client.name
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
