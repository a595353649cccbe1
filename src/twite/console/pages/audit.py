"""Who did what: the audit, and whether it is whole."""

from collections.abc import Sequence
from typing import Final

from starlette.responses import Response

from twite.console.page import NavigationGroup, PageLocation, PageRequest, PageRoute
from twite.domain.people.users import Role
from twite.gateway.ports.directory import AccountDirectory

_ON_A_PAGE: Final = 50


class AuditPage:
    """What was done, the latest first."""

    def __init__(self, *, trail: AccountDirectory) -> None:
        self._trail = trail

    @property
    def routes(self) -> Sequence[PageRoute]:
        return (
            PageRoute(
                "GET",
                "/console/audit",
                self._list,
                role=Role.ADMIN,
                place=PageLocation("Audit", NavigationGroup.ACCESS),
            ),
        )

    async def _list(self, visit: PageRequest) -> Response:
        before = visit.query.number("before")
        found = await self._trail.audit(before=before, limit=_ON_A_PAGE + 1)
        return visit.page(
            "audit.html",
            title="Audit",
            entries=found[:_ON_A_PAGE],
            further=found[_ON_A_PAGE - 1].number if len(found) > _ON_A_PAGE else None,
            is_first=before is None,
        )
