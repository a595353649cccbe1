"""Signing in, out, and out everywhere; and the choice between light and dark."""

from collections.abc import Sequence
from typing import Final

from starlette.responses import Response

from twite.console.entrance import Themes, forget_token, inside, keep_theme, keep_token
from twite.console.page import Route, Visit
from twite.domain.people import Role
from twite.gateway.doorkeeper import Doorkeeper, Offer, SignedIn

_WRONG: Final = "Name, password or code are not right. None of the three says more than that."


class SignInPage:
    """The way in and out."""

    def __init__(self, *, doorkeeper: Doorkeeper) -> None:
        self._doorkeeper = doorkeeper

    @property
    def routes(self) -> Sequence[Route]:
        return (
            Route("GET", "/console", self._home),
            Route("GET", "/console/sign-in", self._asked, role=None),
            Route("POST", "/console/sign-in", self._tried, role=None),
            Route("POST", "/console/sign-out", self._left, role=Role.VIEWER),
            Route("POST", "/console/theme", self._themed, role=None),
        )

    async def _home(self, visit: Visit) -> Response:
        return visit.back_to("/console/account")

    async def _asked(self, visit: Visit) -> Response:
        there = inside(visit.query.one("next"))
        if visit.inside is not None:
            return visit.back_to(there)
        return visit.page("sign_in.html", title="Sign in", there=there, name="", wrong="")

    async def _tried(self, visit: Visit) -> Response:
        form = visit.form
        there = inside(form.one("next"))
        offer = Offer(
            name=form.one("name").strip().lower(),
            password=form.one("password"),
            code=form.one("code").strip(),
            address=visit.address,
            agent=visit.request.headers.get("user-agent", ""),
        )
        result = await self._doorkeeper.sign_in(offer)
        if not isinstance(result, SignedIn):
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
            await self._doorkeeper.leave(visit.inside)
        response = visit.back_to(there)
        keep_token(response, visit.name.session_cookie, result.token.reveal(), name=visit.name)
        return response

    async def _left(self, visit: Visit) -> Response:
        await self._doorkeeper.leave(visit.within)
        response = visit.back_to("/console/sign-in")
        forget_token(response, visit.name.session_cookie, name=visit.name)
        response.headers["clear-site-data"] = '"cache", "storage"'
        return response

    async def _themed(self, visit: Visit) -> Response:
        response = visit.back_to(inside(visit.form.one("there")))
        chosen = visit.form.one("theme")
        keep_theme(response, chosen if chosen in Themes else "auto", name=visit.name)
        return response
