"""What is a user's own: the password, and where they are signed in."""

from collections.abc import Sequence

from starlette.responses import Response

from twite.console.confirming import Confirming
from twite.console.page import Route, Visit
from twite.domain.errors import Unfit
from twite.gateway.doorkeeper import Doorkeeper
from twite.gateway.people import Sessions
from twite.gateway.staff import SHORTEST, Staff

_PATH = "/console/account"


class AccountPage:
    """One's own account. Nothing of it is about anybody else."""

    def __init__(
        self,
        *,
        staff: Staff,
        sessions: Sessions,
        doorkeeper: Doorkeeper,
        confirming: Confirming,
    ) -> None:
        self._confirming = confirming
        self._staff = staff
        self._sessions = sessions
        self._doorkeeper = doorkeeper

    @property
    def routes(self) -> Sequence[Route]:
        return (
            Route("GET", _PATH, self._shown),
            Route("POST", f"{_PATH}/password", self._change),
            Route("POST", f"{_PATH}/elsewhere", self._leave_elsewhere),
        )

    async def _shown(self, visit: Visit) -> Response:
        inside = visit.within
        return visit.page(
            "account.html",
            title="Your account",
            user=inside.user,
            own=inside.session.digest,
            sessions=await self._sessions.sessions(inside.user.name),
            shortest=SHORTEST,
        )

    async def _change(self, visit: Visit) -> Response:
        inside, form = visit.within, visit.form
        new = form.one("new")
        if new != form.one("again"):
            return visit.back_to(_PATH, said="The two new passwords are not the same.", bad=True)
        right = await self._doorkeeper.confirms(inside, form.one("password"), visit.address)
        if not right:
            said = "The present password is not right, or was wrong too often."
            return visit.back_to(_PATH, said=said, bad=True)
        try:
            await self._staff.give_password(
                inside.user.name,
                new,
                by=inside.user.name,
                was=inside.user.password,
                but=visit.warrant,
                warrant=visit.warrant,
            )
        except Unfit as wrong:
            return visit.back_to(_PATH, said=f"Not changed: {wrong}.", bad=True)
        return await visit.renewed(self._doorkeeper, _PATH, said="The password was changed.")

    async def _leave_elsewhere(self, visit: Visit) -> Response:
        if not await self._confirming.knows(visit):
            said = "The password is not right, or was wrong too often. Nothing was ended."
            return visit.back_to(_PATH, said=said, bad=True)
        ended = await self._doorkeeper.leave_everywhere(visit.within)
        return visit.back_to(_PATH, said=f"{ended} other sessions were ended.")
