"""Codes for signing in: set up with a picture for an authenticator, or ended."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import segno
from starlette.responses import Response

from twite.console.page import PageRequest, PageRoute
from twite.domain.errors import InvalidAccountChange
from twite.domain.secret import Secret
from twite.gateway.identity.authentication import Authentication
from twite.gateway.identity.two_factor import TwoFactor, address_of, fresh_secret

_ACCOUNT: Final = "/console/account"
_PATH: Final = "/console/account/codes"
_MOST_BEGUN: Final = 64


class CodesPage:
    """One's own second factor. Without a secret key there is none to be had."""

    def __init__(self, *, second_factor: TwoFactor | None, authentication: Authentication) -> None:
        self._second_factor = second_factor
        self._authentication = authentication
        # What was shown and not confirmed yet, by session.
        self._begun = OrderedDict[bytes, Secret]()

    @property
    def routes(self) -> Sequence[PageRoute]:
        return (
            PageRoute("GET", _PATH, self._shown),
            PageRoute("POST", _PATH, self._confirmed),
            PageRoute("POST", f"{_PATH}/off", self._ended),
        )

    async def _shown(self, visit: PageRequest) -> Response:
        inside = visit.within
        if self._second_factor is None or inside.user.code_since is not None:
            return visit.page(
                "codes.html",
                title="Sign in with a code",
                picture="",
                secret="",
                code_since=inside.user.code_since,
                left=len(inside.user.recovery),
            )
        secret = self._begun.setdefault(inside.session.digest, fresh_secret())
        while len(self._begun) > _MOST_BEGUN:
            self._begun.popitem(last=False)
        return visit.page(
            "codes.html",
            title="Sign in with a code",
            picture=_picture(address_of(secret, inside.user.name)),
            secret=_in_fours(secret.reveal()),
            code_since=None,
            left=0,
        )

    async def _confirmed(self, visit: PageRequest) -> Response:
        inside, form = visit.within, visit.form
        secret = self._begun.get(inside.session.digest)
        if self._second_factor is None or secret is None:
            return visit.back_to(_PATH)
        if not await self._authentication.confirms(inside, form.first("password"), visit.address):
            return visit.back_to(_PATH, message="The password is not right.", bad=True)
        try:
            recovery = await self._second_factor.begin(
                inside.user, secret, form.first("code"), warrant=visit.warrant
            )
        except InvalidAccountChange as unfit:
            return visit.back_to(_PATH, message=f"Nothing was changed: {unfit}.", bad=True)
        if recovery is None:
            message = "The code does not match this secret. Check the device's clock."
            return visit.back_to(_PATH, message=message, bad=True)
        self._begun.pop(inside.session.digest, None)
        renewed = await visit.renewed(self._authentication, _ACCOUNT)
        page = visit.page("recovery.html", title="Recovery codes", codes=recovery)
        for value in renewed.headers.getlist("set-cookie"):
            page.headers.append("set-cookie", value)
        return page

    async def _ended(self, visit: PageRequest) -> Response:
        inside = visit.within
        right = await self._authentication.confirms(
            inside, visit.form.first("password"), visit.address
        )
        if not right or self._second_factor is None:
            return visit.back_to(_PATH, message="The password is not right.", bad=True)
        await self._second_factor.end(inside.user, warrant=visit.warrant)
        return await visit.renewed(
            self._authentication, _ACCOUNT, message="Codes are no longer required."
        )


def _picture(address: str) -> str:
    """Return a QR code as an address of its own: the policy lets pages show no other kind."""
    return segno.make(address, error="m").png_data_uri(scale=5, border=3)


def _in_fours(text: str) -> str:
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))
