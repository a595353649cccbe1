"""Signing in and out; the user's own password, sessions and second factor."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import segno
from starlette.responses import Response

from twite.console.page import PageRequest, PageRoute, Reauthentication
from twite.console.request_checks import Themes, forget_token, inside, keep_theme, keep_token
from twite.domain.errors import InvalidAccountChange
from twite.domain.people.users import Role
from twite.domain.plural import plural
from twite.domain.secret import Secret
from twite.gateway.identity.accounts import SHORTEST, Accounts
from twite.gateway.identity.authentication import Authentication, LoginAttempt, LoginSucceeded
from twite.gateway.identity.two_factor import TwoFactor, address_of, fresh_secret
from twite.gateway.ports.directory import DirectoryReader

_PATH = "/console/account"


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class AccountPage:
    """The page of the signed-in user's own account."""

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
            "account/account.html",
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
            return visit.back_to(_PATH, message="The two new passwords do not match.", bad=True)
        right = await self.authentication.confirms(inside, form.first("password"), visit.address)
        if not right:
            message = "The current password is wrong, or there were too many wrong attempts."
            return visit.back_to(_PATH, message=message, bad=True)
        try:
            await self.user_accounts.give_password(
                inside.user.name,
                new,
                by=inside.user.name,
                was=inside.user.password,
                but=visit.session_digest,
                session_digest=visit.session_digest,
            )
        except InvalidAccountChange as wrong:
            return visit.back_to(_PATH, message=f"Not changed: {wrong}.", bad=True)
        return await visit.renewed(self.authentication, _PATH, message="The password was changed.")

    async def _leave_elsewhere(self, visit: PageRequest) -> Response:
        if not await self.confirming.knows(visit):
            message = (
                "The password is wrong, or there were too many wrong attempts. No session was "
                "ended."
            )
            return visit.back_to(_PATH, message=message, bad=True)
        ended = await self.authentication.leave_everywhere(visit.within)
        return visit.back_to(
            _PATH, message=f"{plural(ended, 'other session was', 'other sessions were')} ended."
        )


_CODES_PATH: Final = f"{_PATH}/codes"
_MOST_BEGUN: Final = 64


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

    async def _shown(self, visit: PageRequest) -> Response:
        inside, picture, shown = visit.within, "", ""
        if self.second_factor is not None and inside.user.code_since is None:
            secret = self._begun.setdefault(inside.session.digest, fresh_secret())
            while len(self._begun) > _MOST_BEGUN:
                self._begun.popitem(last=False)
            # As a data URL, because the page policy allows no other images.
            code = segno.make(address_of(secret, inside.user.name), error="m")
            picture, shown = code.png_data_uri(scale=5, border=3), _in_fours(secret.reveal())
        return visit.page(
            "account/codes.html",
            title="Sign in with a code",
            picture=picture,
            secret=shown,
            code_since=inside.user.code_since,
            left=len(inside.user.recovery),
        )

    async def _confirmed(self, visit: PageRequest) -> Response:
        inside, form = visit.within, visit.form
        secret = self._begun.get(inside.session.digest)
        if self.second_factor is None or secret is None:
            return visit.back_to(_CODES_PATH)
        if not await self.authentication.confirms(inside, form.first("password"), visit.address):
            return visit.back_to(_CODES_PATH, message="The password is wrong.", bad=True)
        try:
            recovery = await self.second_factor.begin(
                inside.user, secret, form.first("code"), session_digest=visit.session_digest
            )
        except InvalidAccountChange as unfit:
            return visit.back_to(_CODES_PATH, message=f"Nothing was changed: {unfit}.", bad=True)
        if recovery is None:
            message = "The code is wrong. Check the device's clock."
            return visit.back_to(_CODES_PATH, message=message, bad=True)
        self._begun.pop(inside.session.digest, None)
        renewed = await visit.renewed(self.authentication, _PATH)
        page = visit.page("account/recovery.html", title="Recovery codes", codes=recovery)
        for value in renewed.headers.getlist("set-cookie"):
            page.headers.append("set-cookie", value)
        return page

    async def _ended(self, visit: PageRequest) -> Response:
        inside = visit.within
        right = await self.authentication.confirms(
            inside, visit.form.first("password"), visit.address
        )
        if not right or self.second_factor is None:
            return visit.back_to(_CODES_PATH, message="The password is wrong.", bad=True)
        await self.second_factor.end(inside.user, session_digest=visit.session_digest)
        return await visit.renewed(
            self.authentication, _PATH, message="Codes are no longer required."
        )


def _in_fours(text: str) -> str:
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))


_WRONG: Final = (
    "The name, the password or the code is wrong. For security, the console does not say which."
)


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class SignInPage:
    authentication: Authentication

    @property
    def routes(self) -> Sequence[PageRoute]:
        return (
            PageRoute("GET", "/console", self._home),
            PageRoute("GET", "/console/sign-in", self._asked, role=None),
            PageRoute("POST", "/console/sign-in", self._tried, role=None),
            PageRoute("POST", "/console/sign-out", self._left, role=Role.VIEWER),
            PageRoute("POST", "/console/theme", self._themed, role=None),
        )

    async def _home(self, visit: PageRequest) -> Response:
        return visit.back_to("/console/account")

    async def _asked(self, visit: PageRequest) -> Response:
        there = inside(visit.query.first("next"))
        if visit.inside is not None:
            return visit.back_to(there)
        return visit.page("account/sign_in.html", title="Sign in", there=there, name="", wrong="")

    async def _tried(self, visit: PageRequest) -> Response:
        form = visit.form
        there = inside(form.first("next"))
        attempt = LoginAttempt(
            name=form.first("name").strip().lower(),
            password=form.first("password"),
            code=form.first("code").strip(),
            address=visit.address,
            agent=visit.request.headers.get("user-agent", ""),
        )
        result = await self.authentication.sign_in(attempt)
        if not isinstance(result, LoginSucceeded):
            wrong = f"Too many attempts. Wait {result.wait} s." if result.wait else _WRONG
            return visit.page(
                "account/sign_in.html",
                status=429 if result.wait else 403,
                title="Sign in",
                there=there,
                name=attempt.name[:64],
                wrong=wrong,
            )
        # An earlier session of the browser ends, so that its token cannot be used any more.
        if visit.inside is not None:
            await self.authentication.leave(visit.inside)
        response = visit.back_to(there)
        keep_token(response, visit.name.session_cookie, result.token.reveal(), name=visit.name)
        return response

    async def _left(self, visit: PageRequest) -> Response:
        await self.authentication.leave(visit.within)
        response = visit.back_to("/console/sign-in")
        forget_token(response, visit.name.session_cookie, name=visit.name)
        response.headers["clear-site-data"] = '"cache", "storage"'
        return response

    async def _themed(self, visit: PageRequest) -> Response:
        response = visit.back_to(inside(visit.form.first("there")))
        chosen = visit.form.first("theme")
        keep_theme(response, chosen if chosen in Themes else "auto", name=visit.name)
        return response
