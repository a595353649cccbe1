"""Keys of programs that only ask."""

from collections.abc import Sequence
from typing import Final

from starlette.responses import Response

from twite.console.page import NavigationGroup, PageLocation, PageRequest, PageRoute
from twite.console.reauthentication import Reauthentication
from twite.domain.errors import InvalidAccountChange
from twite.domain.people.users import KeyScope, Role
from twite.gateway.identity.accounts import Accounts

_PATH: Final = "/console/keys"
_OPENS: Final = {
    KeyScope.ACCOUNTING: "the balance",
    KeyScope.LIVES: "the history of conversions",
    KeyScope.OVERLAP: "the deduplication report",
    KeyScope.METRICS: "metrics, of all pixels",
}


class KeysPage:
    """Made here, shown once, revoked here."""

    def __init__(
        self, *, user_accounts: Accounts, confirming: Reauthentication, pixels: Sequence[str]
    ) -> None:
        self._user_accounts = user_accounts
        self._confirming = confirming
        self._pixels = tuple(pixels)

    @property
    def routes(self) -> Sequence[PageRoute]:
        place = PageLocation("Keys", NavigationGroup.ACCESS)
        return (
            PageRoute("GET", _PATH, self._list, role=Role.ADMIN, place=place),
            PageRoute("POST", _PATH, self._add, role=Role.ADMIN),
            PageRoute("POST", f"{_PATH}/{{id}}/revoke", self._revoke, role=Role.ADMIN),
        )

    async def _list(self, visit: PageRequest) -> Response:
        return visit.page(
            "keys.html",
            title="Keys",
            keys=await self._user_accounts.keys(),
            scopes=[(scope.value, what) for scope, what in _OPENS.items()],
            pixels=self._pixels,
        )

    async def _add(self, visit: PageRequest) -> Response:
        form = visit.form
        if not await self._confirming.knows(visit):
            message = "Your own password is not right, or was wrong too often. No key was created."
            return visit.back_to(_PATH, message=message, bad=True)
        try:
            made = await self._user_accounts.make_key(
                form.first("name").strip(),
                scopes=[KeyScope(name) for name in form.all("scope") if name in set(KeyScope)],
                pixels=self._seen(visit),
                by=visit.viewer.name,
                warrant=visit.warrant,
            )
        except InvalidAccountChange as unfit:
            return visit.back_to(_PATH, message=f"No key was created: {unfit}.", bad=True)
        return visit.page("key.html", title="The new key", key=made.key, text=made.text.reveal())

    async def _revoke(self, visit: PageRequest) -> Response:
        id_ = visit.part("id")

        async def act() -> None:
            await self._user_accounts.revoke_key(id_, by=visit.viewer.name, warrant=visit.warrant)

        return await self._confirming.done(visit, _PATH, act, message="The key is revoked.")

    def _seen(self, visit: PageRequest) -> list[str] | None:
        if visit.form.first("sees") != "some":
            return None
        return [pixel for pixel in visit.form.all("pixel") if pixel in self._pixels]
