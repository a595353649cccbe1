"""Conversions rejected at intake, and unusual amounts (value guards)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from starlette.responses import Response

from twite.console.page import NavigationGroup, PageLocation, PageRequest, PageRoute
from twite.console.scope import TONES, EventNames, asked_again, look_of, scope_of
from twite.domain.destination import Destination
from twite.domain.fault import CODES
from twite.domain.stats.value_guard import (
    LEAST_SEEN,
    MEANING,
    UnusualAmount,
    UsualAmount,
    ValueGuard,
)
from twite.domain.submission import KEPT_FOR, MOST_KEPT, RejectionQuery
from twite.gateway.ports.listing import ListedState
from twite.gateway.ports.queries import Queries, RejectionsQuery
from twite.gateway.ports.state import StateReader

PATH: Final = "/console/rejected"
_ON_A_PAGE: Final = 200
_FILTERS: Final = ("id", "code", "source", "pixel")
AMOUNTS_PATH: Final = "/console/value-guards"
_AMOUNT_FILTERS: Final = ("pixel", "reason")
_AMOUNTS_ON_A_PAGE: Final = 50
_MOST_USUAL_AMOUNTS: Final = 200


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class RejectedPage:
    """The page of the latest rejected conversions, with filters."""

    destinations: Mapping[str, Destination]
    sources: Sequence[str]
    queries: Queries

    @property
    def routes(self) -> Sequence[PageRoute]:
        place = PageLocation("Rejected", NavigationGroup.CONVERSIONS)
        return (PageRoute("GET", PATH, self._list, location=place),)

    async def _list(self, request: PageRequest) -> Response:
        query = request.query
        wanted = rejections_seen(request, name=query.first("id").strip(), limit=_ON_A_PAGE + 1)
        found = await self.queries.answer(RejectionsQuery(rejection_query=wanted))
        return request.page(
            "rejected.html",
            title="Rejected",
            rejections=found[:_ON_A_PAGE],
            more=len(found) > _ON_A_PAGE,
            most=MOST_KEPT,
            query=asked_again(query, _FILTERS),
            chosen={name: query.first(name) for name in _FILTERS},
            codes=[(code, code) for code in sorted(CODES)],
            pixels=request.viewer.of(self.destinations),
            sources=self.sources if request.viewer.pixels is None else (),
        )


def rejections_seen(request: PageRequest, *, name: str, limit: int) -> RejectionQuery:
    """Return the filter from the query string, limited to pixels that the viewer sees."""
    scope = scope_of(request)
    return RejectionQuery(
        since=request.now - KEPT_FOR,
        code=request.query.first("code") or None,
        name=name or None,
        source=scope.source,
        pixels=scope.seen,
        limit=limit,
    )


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class AmountsPage:
    """The page of unusual amounts. `guards` are the value guards of sources, by name."""

    destinations: Mapping[str, Destination]
    guards: Mapping[str, ValueGuard | None]
    queries: Queries
    state: StateReader
    names: EventNames

    @property
    def routes(self) -> Sequence[PageRoute]:
        place = PageLocation("Value guards", NavigationGroup.CONVERSIONS)
        return (PageRoute("GET", AMOUNTS_PATH, self._show, location=place),)

    async def _show(self, request: PageRequest) -> Response:
        look = look_of(request, request.query, limit=_AMOUNTS_ON_A_PAGE)
        listing = await self.queries.page(msgspec.structs.replace(look, state=ListedState.FLAGGED))
        seen = [
            usual_amount
            for usual_amount in await self.state.load(UsualAmount)
            if look.scope.shows(usual_amount.pixel)
        ]
        seen.sort(key=lambda usual_amount: -usual_amount.seen)
        return request.page(
            "amounts.html",
            title="Value guards",
            lines=[
                (summary, self.names(summary.pixel, summary.event)) for summary in listing.summaries
            ],
            tones=TONES,
            meaning={kind.value: sentence for kind, sentence in MEANING.items()},
            kinds=[kind.value for kind in UnusualAmount],
            chosen={name: request.query.first(name) for name in _AMOUNT_FILTERS},
            query=asked_again(request.query, _AMOUNT_FILTERS),
            back_to=listing.back_to,
            is_first=look.position is None,
            usual_amounts=[
                (
                    usual_amount,
                    self.names(usual_amount.pixel, usual_amount.event),
                    _range(usual_amount),
                )
                for usual_amount in seen
            ][:_MOST_USUAL_AMOUNTS],
            least=LEAST_SEEN,
            guards=[
                (pixel, self.destinations[pixel].value_guard.value)
                for pixel in request.viewer.of(self.destinations)
            ],
            sources=[(name, guard.value) for name, guard in self.guards.items() if guard]
            if request.viewer.pixels is None
            else [],
            pixels=request.viewer.of(self.destinations),
        )


def _range(usual_amount: UsualAmount) -> str:
    """Return the range of the middle half of the amounts."""
    if not usual_amount.known:
        return ""
    places = len(usual_amount.usual.partition(".")[2])
    low, high = (
        10 ** (usual_amount.center - usual_amount.spread),
        10 ** (usual_amount.center + usual_amount.spread),
    )
    return f"{low:.{places}f} to {high:.{places}f}"
