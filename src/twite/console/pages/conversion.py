"""One conversion: its state, its attempts, and what became of each field."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response

from twite.console.page import PageRequest, PageRoute
from twite.console.pages.conversions import PATH
from twite.console.request_checks import AccessDenied
from twite.console.scope import TONES, EventNames, worth_of
from twite.domain.delivery import State
from twite.domain.stats.deduplication import KEPT_FOR
from twite.gateway.operations.explain import masked, own_part, steps
from twite.gateway.ports.listing import QueryScope
from twite.gateway.ports.queries import PixelReportsQuery, Queries

_LONGEST_NUMBER: Final = 15
_UNSETTLED: Final = frozenset({State.QUEUED, State.SENDING})


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class ConversionPage:
    """`watched` are the pixels whose pages report their calls to X's pixel."""

    watched: frozenset[str]
    queries: Queries
    names: EventNames

    @property
    def routes(self) -> Sequence[PageRoute]:
        return (PageRoute("GET", f"{PATH}/{{delivery}}", self._show),)

    async def _show(self, request: PageRequest) -> Response:
        part = request.part("delivery")
        scope = QueryScope(pixels=request.viewer.pixels)
        origin = None
        if part.isascii() and part.isdigit() and len(part) <= _LONGEST_NUMBER:
            origin = await self.queries.get(int(part), scope)
        if origin is None:
            raise AccessDenied(
                404, "Not found", "The conversion does not exist, or is no longer stored."
            )
        history = origin.history
        reports = await self.queries.answer(
            PixelReportsQuery(
                pixel=history.pixel, event=history.event, conversion_id=history.conversion_id
            )
        )
        return request.page(
            "conversion.html",
            title=history.conversion_id,
            history=history,
            origin=origin,
            name=self.names(history.pixel, history.event),
            tone=TONES[history.state],
            worth=worth_of(history.sent),
            steps=steps(origin),
            pixel_reports=[
                (report, report.after(history.received_at), report.meets(history.received_at))
                for report in reports
            ],
            watched=history.pixel in self.watched,
            not_fired=[tag for tag in history.not_fired if scope.shows(tag.tag)],
            forgotten=request.now - history.received_at > KEPT_FOR,
            came=masked(own_part(origin)),
            sent=masked(history.sent),
            consent=masked(history.consent or b""),
            rests=history.state in {State.DEAD, State.HELD},
            settled=history.state not in _UNSETTLED,
        )
