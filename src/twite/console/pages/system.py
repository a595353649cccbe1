"""The system: checks, syncs, exports, versions and the size of the store."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from starlette.responses import Response

from twite.console.page import NavigationGroup, PageLocation, PageRequest, PageRoute
from twite.console.pages.pixels import may_see
from twite.domain.destination import Source
from twite.domain.people.users import AuditAction, Role, Viewer
from twite.gateway.operations.control import ExportSummary, SyncSummary
from twite.gateway.ports.findings import CheckFinding

SYSTEM: Final = "/console/system"
_ELSEWHERE: Final = "A user who sees all pixels sees why."
_ORDER: Final = {"failed": 0, "warning": 1, "passed": 2}


class SystemFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Versions by name, and the store. Sizes are in bytes; None if they cannot be measured."""

    versions: dict[str, str]
    store: str
    size: int | None = None
    free: int | None = None


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class SystemPage:
    """The page of the system. Only admins run the checks, because these show every pixel."""

    facts: Callable[[], Awaitable[SystemFacts]]
    syncs: Callable[[], Awaitable[Sequence[SyncSummary]]]
    exports: Callable[[], Awaitable[Sequence[ExportSummary]]]
    sources: Sequence[Source]
    examine: Callable[[], AsyncIterator[CheckFinding]] | None

    @property
    def routes(self) -> Sequence[PageRoute]:
        place = PageLocation("System", NavigationGroup.SET_UP)
        return (
            PageRoute("GET", SYSTEM, self._shown, location=place),
            PageRoute("POST", f"{SYSTEM}/checks", self._examined, role=Role.ADMIN),
        )

    async def _shown(self, request: PageRequest) -> Response:
        return await self._page(request, None)

    async def _examined(self, request: PageRequest) -> Response:
        if self.examine is None:
            return request.back_to(SYSTEM, message="This gateway runs no checks.", bad=True)
        await request.note(AuditAction.DOCTOR)
        found = [finding async for finding in self.examine()]
        found.sort(key=lambda finding: _ORDER.get(str(finding.status), 0))
        return await self._page(request, found)

    async def _page(
        self, request: PageRequest, findings: Sequence[CheckFinding] | None
    ) -> Response:
        counts = {
            status: sum(finding.status == status for finding in findings or ()) for status in _ORDER
        }
        viewer = request.viewer
        shown = {source.name for source in self.sources if may_see(viewer, source)}
        return request.page(
            "system.html",
            title="System",
            findings=findings,
            counts=counts,
            can_check=self.examine is not None and viewer.may(Role.ADMIN),
            syncs=[_seen(sync, viewer) for sync in await self.syncs() if sync.source in shown],
            # Exports have the conversions of all pixels.
            exports=await self.exports() if viewer.pixels is None else (),
            # How large the store is says how much the others send.
            facts=await self.facts() if viewer.pixels is None else None,
        )


def _seen(sync: SyncSummary, viewer: Viewer) -> SyncSummary:
    """Return a sync without its error, which names a database, for users of some pixels."""
    if not sync.problem or viewer.pixels is None:
        return sync
    return msgspec.structs.replace(sync, problem=_ELSEWHERE)
