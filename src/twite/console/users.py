"""Users: who may sign in, what they may do, and what they see."""

from collections.abc import Sequence
from typing import Final

from starlette.responses import Response

from twite.console.confirming import Confirming
from twite.console.entrance import Closed
from twite.console.page import Form, Group, Place, Route, Visit
from twite.domain.errors import Unfit
from twite.domain.people import NAME, Role, User
from twite.gateway.staff import SHORTEST, Staff

_PATH: Final = "/console/users"
_ADMIN: Final = Role.ADMIN


class UsersPage:
    """All users. Every change takes the admin's own password."""

    def __init__(self, *, staff: Staff, confirming: Confirming, pixels: Sequence[str]) -> None:
        self._staff = staff
        self._confirming = confirming
        self._pixels = tuple(pixels)

    @property
    def routes(self) -> Sequence[Route]:
        place = Place("Users", Group.ACCESS)
        return (
            Route("GET", _PATH, self._list, role=_ADMIN, place=place),
            Route("POST", _PATH, self._add, role=_ADMIN),
            Route("GET", f"{_PATH}/{{name}}", self._one, role=_ADMIN),
            Route("POST", f"{_PATH}/{{name}}/role", self._allow, role=_ADMIN),
            Route("POST", f"{_PATH}/{{name}}/password", self._password, role=_ADMIN),
            Route("POST", f"{_PATH}/{{name}}/codes", self._codes, role=_ADMIN),
            Route("POST", f"{_PATH}/{{name}}/remove", self._remove, role=_ADMIN),
        )

    async def _list(self, visit: Visit) -> Response:
        return visit.page(
            "users.html",
            title="Users",
            users=await self._staff.users(),
            pixels=self._pixels,
            shortest=SHORTEST,
        )

    async def _one(self, visit: Visit) -> Response:
        user = await self._known(visit)
        return visit.page(
            "user.html", title=user.name, user=user, pixels=self._pixels, shortest=SHORTEST
        )

    async def _add(self, visit: Visit) -> Response:
        form = visit.form
        name = form.one("name").strip().lower()

        async def act() -> None:
            await self._staff.add(
                name,
                role=_role(form),
                password=form.one("new"),
                pixels=self._seen(form),
                by=visit.viewer.name,
                warrant=visit.warrant,
            )

        return await self._confirming.done(visit, _PATH, act, said=f"{name} may sign in.")

    async def _allow(self, visit: Visit) -> Response:
        user, form = await self._known(visit), visit.form

        async def act() -> None:
            await self._staff.allow(
                user.name,
                role=_role(form),
                pixels=self._seen(form),
                by=visit.viewer.name,
                warrant=visit.warrant,
            )

        said = f"{user.name} has another role, and was signed out."
        return await self._confirming.done(visit, f"{_PATH}/{user.name}", act, said=said)

    async def _password(self, visit: Visit) -> Response:
        user = await self._known(visit)

        async def act() -> None:
            await self._staff.give_password(
                user.name, visit.form.one("new"), by=visit.viewer.name, warrant=visit.warrant
            )

        said = f"{user.name} has another password, and was signed out."
        return await self._confirming.done(visit, f"{_PATH}/{user.name}", act, said=said)

    async def _codes(self, visit: Visit) -> Response:
        user = await self._known(visit)

        async def act() -> None:
            await self._staff.drop_codes(user.name, by=visit.viewer.name, warrant=visit.warrant)

        said = f"{user.name} signs in without a code now."
        return await self._confirming.done(visit, f"{_PATH}/{user.name}", act, said=said)

    async def _remove(self, visit: Visit) -> Response:
        user = await self._known(visit)

        async def act() -> None:
            await self._staff.remove(user.name, by=visit.viewer.name, warrant=visit.warrant)

        return await self._confirming.done(visit, _PATH, act, said=f"{user.name} was removed.")

    async def _known(self, visit: Visit) -> User:
        name = visit.part("name")
        found = [user for user in await self._staff.users() if user.name == name]
        if not (NAME.fullmatch(name) and found):
            raise Closed(404, "Nobody", "There is no user of that name.")
        return found[0]

    def _seen(self, form: Form) -> list[str] | None:
        """Return the pixels that were ticked; None for all."""
        if form.one("sees") != "some":
            return None
        chosen = form.all("pixel")
        if not set(chosen) <= set(self._pixels):
            raise Unfit("a pixel that is not configured was chosen")
        return chosen


def _role(form: Form) -> Role:
    try:
        return Role(form.one("role"))
    except ValueError:
        raise Unfit("choose a role: viewer, operator or admin") from None
