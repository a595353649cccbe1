"""The list of conversions: filters, the search for one, and the export."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from starlette.responses import Response

from twite.console.page import NavigationGroup, PageLocation, PageRequest, PageRoute
from twite.console.render import masked as masked_reason
from twite.console.render import moment, shown
from twite.console.scope import FILTERS, TONES, EventNames, asked_again, look_of, worth_of
from twite.domain.destination import Destination
from twite.domain.history import History
from twite.gateway.operations.search_term import search_term, searched
from twite.gateway.ports.listing import ConversionSummary, ListedState
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.queries import ByConversionId, Queries

PATH: Final = "/console/conversions"
_ON_A_PAGE: Final = 50


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class ConversionsPage:
    """The latest conversions, with filters."""

    destinations: Mapping[str, Destination]
    sources: Sequence[str]
    queries: Queries
    clock: Clock
    names: EventNames

    @property
    def routes(self) -> Sequence[PageRoute]:
        location = PageLocation("Conversions", NavigationGroup.CONVERSIONS)
        return (
            PageRoute("GET", PATH, self._list, location=location),
            PageRoute("POST", f"{PATH}/search", self._search),
        )

    async def _list(self, request: PageRequest) -> Response:
        query = request.query
        look = look_of(request, query, limit=_ON_A_PAGE)
        if look.named is not None and look.position is None:
            histories = await self._found(request, look.named)
            if histories:
                latest = max(histories, key=lambda history: history.received_at)
                return request.back_to(f"{PATH}/{latest.delivery}")
        listing = await searched(self.queries, look, clock=self.clock)
        if look.named is not None and not listing.summaries and listing.back_to is None:
            sentence = f"No stored conversion has the id or receipt {shown(look.named, 80)}."
            return request.back_to(PATH, message=sentence, bad=True)
        return request.page(
            "conversions.html",
            title="Conversions",
            lines=[self._line(summary) for summary in listing.summaries],
            back_to=listing.back_to,
            searched_to=listing.searched_to,
            is_first=look.position is None,
            query=asked_again(query, FILTERS),
            chosen={name: query.first(name) for name in FILTERS},
            pixels=request.viewer.of(self.destinations),
            sources=self.sources if request.viewer.pixels is None else (),
            events=self.names.all(request),
            states=[state.value for state in ListedState],
        )

    async def _search(self, request: PageRequest) -> Response:
        """Redirect to the list of what the search box names. Its text is in no URL and no log."""
        term = search_term(request.form.first("term"))
        if term.problem:
            return request.back_to(PATH, message=term.problem, bad=True)
        fields = {"digest": term.digest, "id": term.named}
        asked = urlencode([(name, text) for name, text in fields.items() if text])
        return request.back_to(f"{PATH}?{asked}" if asked else PATH)

    async def _found(self, request: PageRequest, named: str) -> list[History]:
        """Return the conversions with an id.

        The search covers all events that a pixel ever had, because `events` may have changed since.
        If no configured pixel has the id, it also covers pixels that are no longer configured.
        """
        histories = await self._histories(request.viewer.of(self.destinations), named)
        if not histories:
            # Tags, and pixels that are no longer configured.
            came = {account.pixel for account in await self.queries.balance()}
            others = sorted(came - self.destinations.keys())
            histories = await self._histories(request.viewer.of(others), named)
        return histories

    async def _histories(self, pixels: Iterable[str], named: str) -> list[History]:
        return [
            history
            for pixel in pixels
            for history in await self.queries.find(
                ByConversionId(pixel=pixel, events=None, conversion_id=named)
            )
        ]

    def _line(self, summary: ConversionSummary) -> dict[str, str]:
        """Return one conversion as text; each part is safe to display."""
        return {
            "key": summary.key,
            "number": str(summary.delivery or ""),
            "at": moment(summary.received_at)[5:],
            "pixel": shown(summary.pixel, 40),
            "event": shown(self.names(summary.pixel, summary.event) or summary.event, 40),
            "id": shown(summary.conversion_id, 60),
            "source": shown(summary.source, 40),
            "state": summary.state.value,
            "tone": TONES[summary.state],
            "reason": masked_reason(summary.reason or "", 90),
            "worth": shown(worth_of(summary.body), 40),
            "flag": "" if summary.flag is None else summary.flag.kind.replace("_", " "),
        }
