"""Value guards: what happens to unusual amounts, and the usual amounts of each event."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response

from twite.console.page import PageRequest, PageRoute
from twite.console.render import amount
from twite.console.scope import EventNames, scope_of
from twite.domain.destination import Destination
from twite.domain.stats.value_guard import LEAST_SEEN, UsualAmount, ValueGuard
from twite.gateway.ports.state import StateReader

PATH: Final = "/console/problems/amounts"
_MOST_USUAL_AMOUNTS: Final = 200


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class AmountsPage:
    """The page of usual amounts. `guards` are the value guards of sources, by name."""

    destinations: Mapping[str, Destination]
    guards: Mapping[str, ValueGuard | None]
    state: StateReader
    names: EventNames

    @property
    def routes(self) -> Sequence[PageRoute]:
        return (PageRoute("GET", PATH, self._show),)

    async def _show(self, request: PageRequest) -> Response:
        scope = scope_of(request, self.destinations)
        seen = [
            usual_amount
            for usual_amount in await self.state.load(UsualAmount)
            if scope.shows(usual_amount.pixel)
        ]
        seen.sort(key=lambda usual_amount: -usual_amount.seen)
        guards = [
            (pixel, self.destinations[pixel].value_guard.value)
            for pixel in request.viewer.of(self.destinations)
        ]
        if request.viewer.pixels is None:
            guards += [(name, guard.value) for name, guard in self.guards.items() if guard]
        return request.page(
            "amounts.html",
            title="Value guards",
            usual_amounts=[
                (
                    usual_amount,
                    self.names(usual_amount.pixel, usual_amount.event),
                    _range(usual_amount),
                )
                for usual_amount in seen
            ][:_MOST_USUAL_AMOUNTS],
            least=LEAST_SEEN,
            guards=guards,
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
    return f"{amount(f'{low:.{places}f}')} to {amount(f'{high:.{places}f}')}"
