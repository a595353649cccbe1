"""Hear: an event of a client template, for X and for the tags, on disk before anybody is told."""

from collections.abc import Mapping

from twite.domain.destination import Destination, Source
from twite.domain.submission import Door
from twite.gateway.accept import Accept, Receipt
from twite.gateway.ports import Clock
from twite.intake.event_data import found_of
from twite.intake.visitor import Visitor
from twite.sgtm.sandbox import Incoming
from twite.sgtm.tree import Tree


class Hear:
    """Takes what a client template hands to `runContainer`."""

    def __init__(
        self, *, accept: Accept, clock: Clock, destinations: Mapping[str, Destination]
    ) -> None:
        self._accept = accept
        self._clock = clock
        self._destinations = destinations

    async def take(
        self,
        *,
        event: Mapping[str, Tree],
        request: Incoming,
        client: str,
        source: Source,
    ) -> Receipt:
        """Accept one event; `client` is the name that the template's client goes by.

        The receipt counts what X is told of; tags have balances of their own. Raises Malformed for
        what is too large, LedgerFull, LedgerUnavailable; nothing of it was kept then.
        """
        found = found_of(
            [event],
            source=source,
            destinations=self._destinations,
            # Its client has read the request, and says who the visitor is.
            visitor=Visitor(trusted=True, now=self._clock.now()),
        )
        return await self._accept.found(
            found, source=source, door=Door.CLIENT, request=request, client=client
        )
