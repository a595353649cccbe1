"""Diagnostics: the checks of `twite check`, on a page."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, Protocol

from starlette.responses import Response

from twite.console.page import NavigationGroup, PageLocation, PageRequest, PageRoute
from twite.domain.people.users import AuditAction, Role

_PATH: Final = "/console/doctor"
_ORDER: Final = {"red": 0, "amber": 1, "green": 2}


class ShownFinding(Protocol):
    """A finding: see `gateway.ports.findings`."""

    @property
    def topic(self) -> str: ...
    @property
    def light(self) -> str: ...
    @property
    def found(self) -> str: ...
    @property
    def meaning(self) -> str: ...
    @property
    def cure(self) -> str: ...


class DiagnosticsPage:
    """Runs the checks on request. Only for admins, because it shows every pixel."""

    def __init__(self, *, examine: Callable[[], AsyncIterator[ShownFinding]]) -> None:
        self._examine = examine

    @property
    def routes(self) -> Sequence[PageRoute]:
        place = PageLocation("Diagnostics", NavigationGroup.SET_UP)
        return (
            PageRoute("GET", _PATH, self._asked, role=Role.ADMIN, place=place),
            PageRoute("POST", _PATH, self._examined, role=Role.ADMIN),
        )

    async def _asked(self, visit: PageRequest) -> Response:
        return visit.page("diagnostics.html", title="Diagnostics", findings=None)

    async def _examined(self, visit: PageRequest) -> Response:
        await visit.note(AuditAction.DOCTOR)
        found = [finding async for finding in self._examine()]
        found.sort(key=lambda finding: _ORDER.get(str(finding.light), 0))
        counts = {light: sum(finding.light == light for finding in found) for light in _ORDER}
        return visit.page("diagnostics.html", title="Diagnostics", findings=found, counts=counts)
