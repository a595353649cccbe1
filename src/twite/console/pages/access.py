"""Users, API keys, and the audit log."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from starlette.responses import Response

from twite.console.page import (
    NOT_CONFIRMED,
    FormData,
    NavigationGroup,
    PageLocation,
    PageRequest,
    PageRoute,
    Reauthentication,
)
from twite.console.request_checks import AccessDenied
from twite.console.table_view import table_view
from twite.domain.errors import InvalidAccountChange
from twite.domain.people.users import NAME, ApiKey, KeyScope, Role, User
from twite.domain.times import DAY
from twite.gateway.identity.accounts import UNUSED_LINK, Accounts
from twite.gateway.identity.authentication import LINK_TIME
from twite.gateway.identity.weak_passwords import SHORTEST
from twite.gateway.ports.directory import AccountDirectory, DirectoryReader

_PATH: Final = "/console/people"
_USER: Final = f"{_PATH}/users/{{name}}"
_LINKS: Final = f"{_PATH}/links"
_ADMIN: Final = Role.ADMIN
_KEYS_PATH: Final = "/console/people/keys"
# How long a client's link works, in days.
_LASTING: Final = (1, 7, 30)
_OPENS: Final = {
    KeyScope.ACCOUNTING: "the balance",
    KeyScope.HISTORY: "the history of conversions",
    KeyScope.DEDUPLICATION: "the deduplication report",
    KeyScope.RESULTS: "X's results of the ads",
    KeyScope.METRICS: "the metrics of all pixels",
}
_ON_A_PAGE: Final = 50
_MOST_SHOWN: Final = 100
_KEY_ORDERS: Final[Mapping[str, Callable[[ApiKey], Any]]] = {
    "name": lambda key: key.name,
    "created": lambda key: key.created_at,
    "state": lambda key: (key.revoked_at is not None, key.revoked_at),
}
_ORDERS: Final[Mapping[str, Callable[[User], Any]]] = {
    "name": lambda user: user.name,
    "role": lambda user: user.role,
    "since": lambda user: user.created_at,
}


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class UsersPage:
    """The users page. Every change requires the admin's own password. `url` is the console's."""

    user_accounts: Accounts
    reauthentication: Reauthentication
    pixels: Sequence[str]
    directory: DirectoryReader
    url: str

    @property
    def routes(self) -> Sequence[PageRoute]:
        place = PageLocation("People", NavigationGroup.ACCESS)
        return (
            PageRoute("GET", _PATH, self._list, role=_ADMIN, location=place),
            PageRoute("POST", _PATH, self._add, role=_ADMIN),
            PageRoute("POST", _LINKS, self._link, role=_ADMIN),
            PageRoute("GET", _USER, self._one, role=_ADMIN),
            PageRoute("POST", f"{_USER}/role", self._allow, role=_ADMIN),
            PageRoute("POST", f"{_USER}/password", self._password, role=_ADMIN),
            PageRoute("POST", f"{_USER}/codes", self._codes, role=_ADMIN),
            PageRoute("POST", f"{_USER}/remove", self._remove, role=_ADMIN),
        )

    async def _list(self, request: PageRequest) -> Response:
        view = table_view(request, sorts=tuple(_ORDERS), sort="name")
        return request.page(
            "access/users.html",
            title="People",
            users=view.sorted(await self.user_accounts.users(), _ORDERS),
            view=view,
            pixels=self.pixels,
            shortest=SHORTEST,
        )

    async def _one(self, request: PageRequest) -> Response:
        user = await self._known(request)
        sessions = await self.directory.sessions(user.name)
        links = [each for each in sessions if each.agent == UNUSED_LINK]
        return request.page(
            "access/user.html",
            title=user.name,
            user=user,
            pixels=self.pixels,
            shortest=SHORTEST,
            links=[link.begun_at + LINK_TIME for link in links],
            sessions=[each for each in sessions if each not in links],
        )

    async def _add(self, request: PageRequest) -> Response:
        form = request.form
        name = form.first("name").strip().lower()

        async def act(*, by: str, session_digest: bytes) -> None:
            await self.user_accounts.add(
                name,
                role=_role(form),
                password=form.first("new"),
                pixels=_seen(form, self.pixels),
                by=by,
                session_digest=session_digest,
            )

        return await self.reauthentication.done(
            request, _PATH, act, message=f"{name} can now sign in."
        )

    async def _link(self, request: PageRequest) -> Response:
        """Make a link for a client, and show it once."""
        form = request.form
        name = form.first("client_name").strip().lower()
        lasts = (form.number("lasting") or 0) * DAY
        back = f"{_PATH}/users/{name}" if form.first("again") else _PATH
        if not await self.reauthentication.knows(request):
            return request.back_to(back, message=NOT_CONFIRMED, bad=True)
        if lasts // DAY not in _LASTING:
            return request.back_to(back, message="Choose how long the link works.", bad=True)
        try:
            token = await self.user_accounts.make_client_link(
                name,
                pixels=_seen(form, self.pixels) or (),
                lasts=lasts,
                by=request.viewer.name,
                session_digest=request.session_digest,
            )
        except InvalidAccountChange as unfit:
            return request.back_to(back, message=f"No link was made: {unfit}.", bad=True)
        return request.page(
            "access/link.html",
            title=f"Link for {name}",
            name=name,
            link=f"{self.url}/link/{token.reveal()}",
            until=request.now + lasts,
        )

    async def _allow(self, request: PageRequest) -> Response:
        user, form = await self._known(request), request.form

        async def act(*, by: str, session_digest: bytes) -> None:
            await self.user_accounts.allow(
                user.name,
                role=_role(form),
                pixels=_seen(form, self.pixels),
                by=by,
                session_digest=session_digest,
            )

        message = f"{user.name} has a new role and was signed out."
        return await self.reauthentication.done(
            request, f"{_PATH}/users/{user.name}", act, message=message
        )

    async def _password(self, request: PageRequest) -> Response:
        user = await self._known(request)
        act = partial(self.user_accounts.give_password, user.name, request.form.first("new"))
        message = f"{user.name} has a new password and was signed out."
        return await self.reauthentication.done(
            request, f"{_PATH}/users/{user.name}", act, message=message
        )

    async def _codes(self, request: PageRequest) -> Response:
        user = await self._known(request)
        act = partial(self.user_accounts.drop_codes, user.name)
        message = f"{user.name} now signs in without a code."
        return await self.reauthentication.done(
            request, f"{_PATH}/users/{user.name}", act, message=message
        )

    async def _remove(self, request: PageRequest) -> Response:
        user = await self._known(request)
        act = partial(self.user_accounts.remove, user.name)
        return await self.reauthentication.done(
            request, _PATH, act, message=f"{user.name} was removed."
        )

    async def _known(self, request: PageRequest) -> User:
        name = request.part("name")
        found = [user for user in await self.user_accounts.users() if user.name == name]
        if not (NAME.fullmatch(name) and found):
            raise AccessDenied(404, "Nobody", "There is no user with that name.")
        return found[0]


def _seen(form: FormData, pixels: Sequence[str]) -> list[str] | None:
    """Return the selected pixels; None for all. Raises InvalidAccountChange."""
    chosen = form.all("pixel")
    if form.first("sees") != "some":
        # A tick that is overlooked would show a client the data of all others.
        if chosen:
            raise InvalidAccountChange(
                f"you chose all pixels, and ticked {', '.join(chosen)[:_MOST_SHOWN]}. Choose "
                "“only”, or remove the ticks"
            )
        return None
    if not set(chosen) <= set(pixels):
        raise InvalidAccountChange("one of the chosen pixels is not configured")
    return chosen


def _role(form: FormData) -> Role:
    try:
        return Role(form.first("role"))
    except ValueError:
        raise InvalidAccountChange("choose a role: viewer, operator or admin") from None


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class KeysPage:
    """The API keys page: create, list and revoke. A key is shown once."""

    user_accounts: Accounts
    reauthentication: Reauthentication
    pixels: Sequence[str]

    @property
    def routes(self) -> Sequence[PageRoute]:
        return (
            PageRoute("GET", _KEYS_PATH, self._list, role=Role.ADMIN),
            PageRoute("POST", _KEYS_PATH, self._add, role=Role.ADMIN),
            PageRoute("POST", f"{_KEYS_PATH}/{{id}}/revoke", self._revoke, role=Role.ADMIN),
        )

    async def _list(self, request: PageRequest) -> Response:
        view = table_view(request, sorts=tuple(_KEY_ORDERS), sort="-created")
        return request.page(
            "access/keys.html",
            title="Keys",
            keys=view.sorted(await self.user_accounts.keys(), _KEY_ORDERS),
            view=view,
            scopes=[(scope.value, what) for scope, what in _OPENS.items()],
            pixels=self.pixels,
        )

    async def _add(self, request: PageRequest) -> Response:
        form = request.form
        if not await self.reauthentication.knows(request):
            message = (
                "Your password is wrong, or there were too many wrong attempts. No key was created."
            )
            return request.back_to(_KEYS_PATH, message=message, bad=True)
        try:
            made = await self.user_accounts.make_key(
                form.first("name").strip(),
                scopes=[KeyScope(name) for name in form.all("scope") if name in set(KeyScope)],
                pixels=_seen(form, self.pixels),
                by=request.viewer.name,
                session_digest=request.session_digest,
            )
        except InvalidAccountChange as unfit:
            return request.back_to(_KEYS_PATH, message=f"No key was created: {unfit}.", bad=True)
        return request.page(
            "access/key.html", title="The new key", key=made.key, text=made.text.reveal()
        )

    async def _revoke(self, request: PageRequest) -> Response:
        act = partial(self.user_accounts.revoke_key, request.part("id"))
        return await self.reauthentication.done(
            request, _KEYS_PATH, act, message="The key was revoked."
        )


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class AuditPage:
    """The audit log page, latest event first."""

    directory: AccountDirectory

    @property
    def routes(self) -> Sequence[PageRoute]:
        return (PageRoute("GET", "/console/people/audit", self._list, role=Role.ADMIN),)

    async def _list(self, request: PageRequest) -> Response:
        before = request.query.number("before")
        found = await self.directory.audit(before=before, limit=_ON_A_PAGE + 1)
        return request.page(
            "access/audit.html",
            title="Audit",
            entries=found[:_ON_A_PAGE],
            further=found[_ON_A_PAGE - 1].number if len(found) > _ON_A_PAGE else None,
            is_first=before is None,
            view=table_view(request, place="before"),
        )
