"""Signing in and out; the user's own password, sessions and second factor."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import segno
from starlette.responses import Response

from twite.console.page import (
    NavigationGroup,
    PageLocation,
    PageRequest,
    PageRoute,
    Reauthentication,
)
from twite.console.request_checks import (
    AccessDenied,
    Themes,
    forget_token,
    inside,
    keep_theme,
    keep_token,
)
from twite.domain.errors import InvalidAccountChange
from twite.domain.people.users import Role
from twite.domain.plural import plural
from twite.domain.secret import Secret
from twite.gateway.identity.accounts import Accounts
from twite.gateway.identity.authentication import Authentication, LoginAttempt, LoginSucceeded
from twite.gateway.identity.two_factor import TwoFactor, address_of, fresh_secret
from twite.gateway.identity.weak_passwords import SHORTEST
from twite.gateway.ports.directory import DirectoryReader

_PATH = "/console/account"
_CODES_PATH: Final = f"{_PATH}/codes"
LINK: Final = "/console/link"
_MOST_BEGUN: Final = 64
_WRONG: Final = (
    "The name, the password or the code is wrong. For security, the console does not say which."
)


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class AccountPage:
    """The page of the signed-in user's own account."""

    user_accounts: Accounts
    directory: DirectoryReader
    authentication: Authentication
    reauthentication: Reauthentication

    @property
    def routes(self) -> Sequence[PageRoute]:
        place = PageLocation("Account", NavigationGroup.ACCESS)
        return (
            PageRoute("GET", _PATH, self._shown, location=place),
            PageRoute("POST", f"{_PATH}/password", self._change),
            PageRoute("POST", f"{_PATH}/elsewhere", self._leave_elsewhere),
        )

    async def _shown(self, request: PageRequest) -> Response:
        inside = request.within
        return request.page(
            "account/account.html",
            title="Your account",
            user=inside.user,
            own=inside.session.digest,
            sessions=await self.directory.sessions(inside.user.name),
            shortest=SHORTEST,
        )

    async def _change(self, request: PageRequest) -> Response:
        inside, form = request.within, request.form
        new = form.first("new")
        if new != form.first("again"):
            return request.back_to(_PATH, message="The two new passwords do not match.", bad=True)
        if not await self.authentication.confirms(inside, form.first("password"), request.address):
            message = "The current password is wrong, or there were too many wrong attempts."
            return request.back_to(_PATH, message=message, bad=True)
        try:
            await self.user_accounts.give_password(
                inside.user.name,
                new,
                by=inside.user.name,
                old_secret=inside.user.password,
                but=request.session_digest,
                session_digest=request.session_digest,
            )
        except InvalidAccountChange as wrong:
            return request.back_to(_PATH, message=f"Not changed: {wrong}.", bad=True)
        return await request.renewed(
            self.authentication, _PATH, message="The password was changed."
        )

    async def _leave_elsewhere(self, request: PageRequest) -> Response:
        if not await self.reauthentication.knows(request):
            message = (
                "The password is wrong, or there were too many wrong attempts. No session was "
                "ended."
            )
            return request.back_to(_PATH, message=message, bad=True)
        ended = await self.authentication.leave_everywhere(request.within)
        return request.back_to(
            _PATH, message=f"{plural(ended, 'other session was', 'other sessions were')} ended."
        )


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class CodesPage:
    """The page of the user's own second factor, which requires server.secret_key."""

    second_factor: TwoFactor | None
    authentication: Authentication
    # Secrets that were shown and are not confirmed yet, by session.
    _begun: OrderedDict[bytes, Secret] = field(init=False, default_factory=OrderedDict)

    @property
    def routes(self) -> Sequence[PageRoute]:
        return (
            PageRoute("GET", _CODES_PATH, self._shown),
            PageRoute("POST", _CODES_PATH, self._confirmed),
            PageRoute("POST", f"{_CODES_PATH}/off", self._ended),
        )

    async def _shown(self, request: PageRequest) -> Response:
        inside, picture, shown = request.within, "", ""
        if self.second_factor is not None and inside.user.code_since is None:
            secret = self._begun.setdefault(inside.session.digest, fresh_secret())
            while len(self._begun) > _MOST_BEGUN:
                self._begun.popitem(last=False)
            # As a data URL, because the page policy allows no other images.
            code = segno.make(address_of(secret, inside.user.name), error="m")
            picture, shown = code.png_data_uri(scale=5, border=3), _in_fours(secret.reveal())
        return request.page(
            "account/codes.html",
            title="Sign in with a code",
            picture=picture,
            secret=shown,
            code_since=inside.user.code_since,
            left=len(inside.user.recovery),
        )

    async def _confirmed(self, request: PageRequest) -> Response:
        inside, form = request.within, request.form
        secret = self._begun.get(inside.session.digest)
        if self.second_factor is None or secret is None:
            return request.back_to(_CODES_PATH)
        if not await self.authentication.confirms(inside, form.first("password"), request.address):
            return request.back_to(_CODES_PATH, message="The password is wrong.", bad=True)
        try:
            recovery = await self.second_factor.begin(
                inside.user, secret, form.first("code"), session_digest=request.session_digest
            )
        except InvalidAccountChange as unfit:
            return request.back_to(_CODES_PATH, message=f"Nothing was changed: {unfit}.", bad=True)
        if recovery is None:
            message = "The code is wrong. Check the device's clock."
            return request.back_to(_CODES_PATH, message=message, bad=True)
        self._begun.pop(inside.session.digest, None)
        renewed = await request.renewed(self.authentication, _PATH)
        page = request.page("account/recovery.html", title="Recovery codes", codes=recovery)
        for value in renewed.headers.getlist("set-cookie"):
            page.headers.append("set-cookie", value)
        return page

    async def _ended(self, request: PageRequest) -> Response:
        inside = request.within
        right = await self.authentication.confirms(
            inside, request.form.first("password"), request.address
        )
        if not right or self.second_factor is None:
            return request.back_to(_CODES_PATH, message="The password is wrong.", bad=True)
        await self.second_factor.end(inside.user, session_digest=request.session_digest)
        return await request.renewed(
            self.authentication, _PATH, message="Codes are no longer required."
        )


def _in_fours(text: str) -> str:
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class SignInPage:
    authentication: Authentication

    @property
    def routes(self) -> Sequence[PageRoute]:
        return (
            PageRoute("GET", "/console", self._home),
            PageRoute("GET", "/console/sign-in", self._asked, role=None),
            PageRoute("POST", "/console/sign-in", self._tried, role=None),
            PageRoute("GET", f"{LINK}/{{token}}", self._linked, role=None),
            PageRoute("POST", f"{LINK}/{{token}}", self._opened, role=None),
            PageRoute("POST", "/console/sign-out", self._left, role=Role.VIEWER),
            PageRoute("POST", "/console/theme", self._themed, role=None),
        )

    async def _home(self, request: PageRequest) -> Response:
        return request.back_to("/console/account")

    async def _asked(self, request: PageRequest) -> Response:
        there = inside(request.query.first("next"))
        if request.session is not None:
            return request.back_to(there)
        return request.page("account/sign_in.html", title="Sign in", there=there, name="", wrong="")

    async def _tried(self, request: PageRequest) -> Response:
        form = request.form
        there = inside(form.first("next"))
        attempt = LoginAttempt(
            name=form.first("name").strip().lower(),
            password=form.first("password"),
            code=form.first("code").strip(),
            address=request.address,
            agent=request.request.headers.get("user-agent", ""),
        )
        result = await self.authentication.sign_in(attempt)
        if not isinstance(result, LoginSucceeded):
            wrong = f"Too many attempts. Wait {result.wait} s." if result.wait else _WRONG
            return request.page(
                "account/sign_in.html",
                status=429 if result.wait else 403,
                title="Sign in",
                there=there,
                name=attempt.name[:64],
                wrong=wrong,
            )
        return await self._signed_in(request, result, there)

    async def _linked(self, request: PageRequest) -> Response:
        """Ask before a link signs in: a preview of the link in a chat must not use it up."""
        user = await self.authentication.user_of_link(request.part("token"))
        if user is None:
            raise _used_link()
        return request.page("account/link.html", title="Sign in", name=user.name)

    async def _opened(self, request: PageRequest) -> Response:
        result = await self.authentication.use_link(
            request.part("token"),
            address=request.address,
            agent=request.request.headers.get("user-agent", ""),
        )
        if not isinstance(result, LoginSucceeded):
            raise _used_link()
        return await self._signed_in(request, result, "/console")

    async def _signed_in(self, request: PageRequest, login: LoginSucceeded, there: str) -> Response:
        # An earlier session of the browser ends, so that its token cannot be used any more.
        if request.session is not None:
            await self.authentication.leave(request.session)
        response = request.back_to(there)
        keep_token(response, request.host.session_cookie, login.token.reveal(), host=request.host)
        return response

    async def _left(self, request: PageRequest) -> Response:
        await self.authentication.leave(request.within)
        response = request.back_to("/console/sign-in")
        forget_token(response, request.host.session_cookie, host=request.host)
        response.headers["clear-site-data"] = '"cache", "storage"'
        return response

    async def _themed(self, request: PageRequest) -> Response:
        response = request.back_to(inside(request.form.first("there")))
        chosen = request.form.first("theme")
        keep_theme(response, chosen if chosen in Themes else "auto", host=request.host)
        return response


# An exception that is raised again would keep the frames of all earlier requests.
def _used_link() -> AccessDenied:
    return AccessDenied(
        403,
        "This link no longer works",
        "A sign-in link works once, and only for a limited time. Ask an admin for a new one, or "
        "sign in with your password.",
    )
