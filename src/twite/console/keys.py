"""Keys of programs that only ask."""

from collections.abc import Sequence
from typing import Final

from starlette.responses import Response

from twite.console.confirming import Confirming
from twite.console.page import Group, Place, Route, Visit
from twite.domain.errors import Unfit
from twite.domain.people import Role, Scope
from twite.gateway.staff import Staff

_PATH: Final = "/console/keys"
_OPENS: Final = {
    Scope.ACCOUNTING: "the balance",
    Scope.LIVES: "the lives of conversions",
    Scope.OVERLAP: "whether the twins meet",
    Scope.METRICS: "metrics, of all pixels",
}


class KeysPage:
    """Made here, shown once, revoked here."""

    def __init__(self, *, staff: Staff, confirming: Confirming, pixels: Sequence[str]) -> None:
        self._staff = staff
        self._confirming = confirming
        self._pixels = tuple(pixels)

    @property
    def routes(self) -> Sequence[Route]:
        place = Place("Keys", Group.ACCESS)
        return (
            Route("GET", _PATH, self._list, role=Role.ADMIN, place=place),
            Route("POST", _PATH, self._add, role=Role.ADMIN),
            Route("POST", f"{_PATH}/{{id}}/revoke", self._revoke, role=Role.ADMIN),
        )

    async def _list(self, visit: Visit) -> Response:
        return visit.page(
            "keys.html",
            title="Keys",
            keys=await self._staff.keys(),
            scopes=[(scope.value, what) for scope, what in _OPENS.items()],
            pixels=self._pixels,
        )

    async def _add(self, visit: Visit) -> Response:
        form = visit.form
        if not await self._confirming.knows(visit):
            said = "Your own password is not right, or was wrong too often. No key was made."
            return visit.back_to(_PATH, said=said, bad=True)
        try:
            made = await self._staff.make_key(
                form.one("name").strip(),
                scopes=[Scope(one) for one in form.all("scope") if one in set(Scope)],
                pixels=self._seen(visit),
                by=visit.viewer.name,
                warrant=visit.warrant,
            )
        except Unfit as unfit:
            return visit.back_to(_PATH, said=f"No key was made: {unfit}.", bad=True)
        return visit.page("key.html", title="The new key", key=made.key, text=made.text.reveal())

    async def _revoke(self, visit: Visit) -> Response:
        id_ = visit.part("id")

        async def act() -> None:
            await self._staff.revoke_key(id_, by=visit.viewer.name, warrant=visit.warrant)

        return await self._confirming.done(
            visit, _PATH, act, said="The key opens nothing any more."
        )

    def _seen(self, visit: Visit) -> list[str] | None:
        if visit.form.one("sees") != "some":
            return None
        return [pixel for pixel in visit.form.all("pixel") if pixel in self._pixels]
