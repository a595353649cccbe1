"""Signing in, out, and out everywhere; and the choice between light and dark."""

from collections.abc import Sequence
from typing import Final

from starlette.responses import Response

from twite.console.page import PageRequest, PageRoute
from twite.console.request_checks import Themes, forget_token, inside, keep_theme, keep_token
from twite.domain.people.users import Role
from twite.gateway.identity.authentication import Authentication, LoginAttempt, LoginSucceeded

_WRONG: Final = (
    "The name, the password or the code is wrong. For security, the console does not say which."
)


class SignInPage:
    """The way in and out."""

    def __init__(self, *, authentication: Authentication) -> None:
        self._authentication = authentication

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
        return visit.page("sign_in.html", title="Sign in", there=there, name="", wrong="")

    async def _tried(self, visit: PageRequest) -> Response:
        form = visit.form
        there = inside(form.first("next"))
        offer = LoginAttempt(
            name=form.first("name").strip().lower(),
            password=form.first("password"),
            code=form.first("code").strip(),
            address=visit.address,
            agent=visit.request.headers.get("user-agent", ""),
        )
        result = await self._authentication.sign_in(offer)
        if not isinstance(result, LoginSucceeded):
            wrong = f"Too many tries. Wait {result.wait} s." if result.wait else _WRONG
            return visit.page(
                "sign_in.html",
                status=429 if result.wait else 403,
                title="Sign in",
                there=there,
                name=offer.name[:64],
                wrong=wrong,
            )
        # A session that was there before does not live on under the old token.
        if visit.inside is not None:
            await self._authentication.leave(visit.inside)
        response = visit.back_to(there)
        keep_token(response, visit.name.session_cookie, result.token.reveal(), name=visit.name)
        return response

    async def _left(self, visit: PageRequest) -> Response:
        await self._authentication.leave(visit.within)
        response = visit.back_to("/console/sign-in")
        forget_token(response, visit.name.session_cookie, name=visit.name)
        response.headers["clear-site-data"] = '"cache", "storage"'
        return response

    async def _themed(self, visit: PageRequest) -> Response:
        response = visit.back_to(inside(visit.form.first("there")))
        chosen = visit.form.first("theme")
        keep_theme(response, chosen if chosen in Themes else "auto", name=visit.name)
        return response
