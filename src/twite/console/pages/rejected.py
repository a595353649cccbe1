"""Conversions that were refused at intake, with what is wrong with each."""

from collections.abc import Mapping, Sequence
from typing import Final

from starlette.responses import Response

from twite.console.page import NavigationGroup, PageLocation, PageRequest, PageRoute
from twite.console.scope import asked_again, scope_of
from twite.domain.destination import Destination
from twite.domain.fault import CODES
from twite.domain.rejection import KEPT_FOR, MOST_KEPT, RejectionQuery
from twite.gateway.ports.queries import Queries, RejectionsQuery

PATH: Final = "/console/rejected"
_ON_A_PAGE: Final = 200
_FILTERS: Final = ("id", "code", "source", "pixel")


class RejectedPage:
    """The latest, by what they are looked for."""

    def __init__(
        self,
        *,
        destinations: Mapping[str, Destination],
        sources: Sequence[str],
        records: Queries,
    ) -> None:
        self._destinations = destinations
        self._sources = tuple(sources)
        self._records = records

    @property
    def routes(self) -> Sequence[PageRoute]:
        return (
            PageRoute(
                "GET", PATH, self._list, place=PageLocation("Rejected", NavigationGroup.LOOK)
            ),
        )

    async def _list(self, visit: PageRequest) -> Response:
        query = visit.query
        wanted = rejections_seen(visit, name=query.first("id").strip(), limit=_ON_A_PAGE + 1)
        found = await self._records.answer(RejectionsQuery(wanted=wanted))
        return visit.page(
            "rejected.html",
            title="Rejected",
            rejections=found[:_ON_A_PAGE],
            more=len(found) > _ON_A_PAGE,
            most=MOST_KEPT,
            query=asked_again(query, _FILTERS),
            chosen={name: query.first(name) for name in _FILTERS},
            codes=[(code, code) for code in sorted(CODES)],
            pixels=visit.viewer.of(self._destinations),
            sources=self._sources if visit.viewer.pixels is None else (),
        )


def rejections_seen(visit: PageRequest, *, name: str, limit: int) -> RejectionQuery:
    """Return what is asked about, of what the viewer sees and the query narrows it to."""
    scope = scope_of(visit)
    return RejectionQuery(
        since=visit.now - KEPT_FOR,
        code=visit.query.first("code") or None,
        name=name or None,
        source=scope.source,
        pixels=scope.seen,
        limit=limit,
    )
