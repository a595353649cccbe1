"""What is a user's own: the password, and where they are signed in."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.responses import Response

from twite.console.page import PageRequest, PageRoute
from twite.console.reauthentication import Reauthentication
from twite.domain.errors import InvalidAccountChange
from twite.gateway.identity.accounts import SHORTEST, Accounts
from twite.gateway.identity.authentication import Authentication
from twite.gateway.ports.directory import DirectoryReader

_PATH = "/console/account"


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class AccountPage:
    """One's own account. Nothing of it is about anybody else."""

    user_accounts: Accounts
    sessions: DirectoryReader
    authentication: Authentication
    confirming: Reauthentication

    @property
    def routes(self) -> Sequence[PageRoute]:
        return (
            PageRoute("GET", _PATH, self._shown),
            PageRoute("POST", f"{_PATH}/password", self._change),
            PageRoute("POST", f"{_PATH}/elsewhere", self._leave_elsewhere),
        )

    async def _shown(self, visit: PageRequest) -> Response:
        inside = visit.within
        return visit.page(
            "account.html",
            title="Your account",
            user=inside.user,
            own=inside.session.digest,
            sessions=await self.sessions.sessions(inside.user.name),
            shortest=SHORTEST,
        )

    async def _change(self, visit: PageRequest) -> Response:
        inside, form = visit.within, visit.form
        new = form.first("new")
        if new != form.first("again"):
            return visit.back_to(_PATH, message="The two new passwords are not the same.", bad=True)
        right = await self.authentication.confirms(inside, form.first("password"), visit.address)
        if not right:
            message = "The current password is not right, or was wrong too often."
            return visit.back_to(_PATH, message=message, bad=True)
        try:
            await self.user_accounts.give_password(
                inside.user.name,
                new,
                by=inside.user.name,
                was=inside.user.password,
                but=visit.warrant,
                warrant=visit.warrant,
            )
        except InvalidAccountChange as wrong:
            return visit.back_to(_PATH, message=f"Not changed: {wrong}.", bad=True)
        return await visit.renewed(self.authentication, _PATH, message="The password was changed.")

    async def _leave_elsewhere(self, visit: PageRequest) -> Response:
        if not await self.confirming.knows(visit):
            message = "The password is not right, or was wrong too often. No session was ended."
            return visit.back_to(_PATH, message=message, bad=True)
        ended = await self.authentication.leave_everywhere(visit.within)
        return visit.back_to(_PATH, message=f"{ended} other sessions were ended.")
