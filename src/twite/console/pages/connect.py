"""Connect a pixel to X: sign in, paste its token, or delete its credentials."""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response

from twite.console.page import NOT_CONFIRMED, PageRequest, PageRoute, Reauthentication
from twite.console.pages.pixels import CALLBACK, PIXELS, callback_of, known_pixel
from twite.domain.destination import Destination, PixelToken
from twite.domain.errors import TwiteError
from twite.domain.people.users import AuditAction, Role
from twite.domain.secret import Secret
from twite.gateway.delivery.credentials import OAUTH, PIXEL_TOKEN
from twite.gateway.x_account.sign_in import DONE, FORGOTTEN, SignInCompleted, XSignIn

_PATH: Final = f"{PIXELS}/{{pixel}}/connect"
_PIN: Final = "/console/connect/pin"
_ADMIN: Final = Role.ADMIN
_NAMES: Final = {OAUTH: "signed-in credentials", PIXEL_TOKEN: "pixel token"}


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class ConnectPage:
    """Connects a pixel, from its page. A sign-in at X must end in the session that started it."""

    sign_in: XSignIn
    destinations: Mapping[str, Destination]
    reauthentication: Reauthentication

    @property
    def routes(self) -> Sequence[PageRoute]:
        return (
            PageRoute("GET", CALLBACK, self._called_back, role=_ADMIN),
            PageRoute("POST", _PIN, self._pin, role=_ADMIN),
            PageRoute("POST", f"{_PATH}/begin", self._begin, role=_ADMIN),
            PageRoute("POST", f"{_PATH}/paste", self._paste, role=_ADMIN),
            PageRoute("POST", f"{_PATH}/forget", self._forget, role=_ADMIN),
        )

    async def _begin(self, request: PageRequest) -> Response:
        pixel = known_pixel(request, self.destinations)
        by_pin = request.form.first("way") == "pin"
        callback = None if by_pin else callback_of(request)
        await request.note(AuditAction.CONNECT_BEGIN, pixel, "by PIN" if by_pin else "by callback")
        try:
            begun = await self.sign_in.begin(pixel, callback=callback, by=_session(request))
        except TwiteError as error:
            return request.back_to(f"{PIXELS}/{pixel}", message=str(error), bad=True)
        return request.page(
            "pixels/connect_begun.html",
            title=f"Sign in at X for {pixel}",
            pixel=pixel,
            begun=begun,
            by_pin=by_pin,
        )

    async def _called_back(self, request: PageRequest) -> Response:
        """X redirects the browser here. The request token must belong to the session."""
        done = self.sign_in.finish_by_callback(request.request.url.query, by=_session(request))
        return await self._connected(request, done)

    async def _pin(self, request: PageRequest) -> Response:
        form = request.form
        token, pin = form.first("token"), form.first("pin")
        done = self.sign_in.finish_by_pin(token, pin, by=_session(request))
        return await self._connected(request, done)

    async def _paste(self, request: PageRequest) -> Response:
        pixel = known_pixel(request, self.destinations)
        token = request.form.first("token").strip()
        if not token:
            return request.back_to(f"{PIXELS}/{pixel}", message="Paste the token first.", bad=True)
        await request.note(AuditAction.CONNECT_PASTE, pixel)
        done = self.sign_in.paste(pixel, PixelToken(token=Secret(token)))
        return await self._connected(request, done, f"{PIXELS}/{pixel}")

    async def _forget(self, request: PageRequest) -> Response:
        pixel = known_pixel(request, self.destinations)
        kind = request.form.first("kind")
        if kind not in _NAMES:
            return request.back_to(f"{PIXELS}/{pixel}", message="Choose what to delete.", bad=True)
        if not await self.reauthentication.knows(request):
            return request.back_to(f"{PIXELS}/{pixel}", message=NOT_CONFIRMED, bad=True)
        await request.note(FORGOTTEN, pixel, _NAMES[kind])
        try:
            revoke = bool(request.form.first("revoke"))
            was_there = await self.sign_in.forget(pixel, kind, revoke=revoke)
        except TwiteError as error:
            return request.back_to(f"{PIXELS}/{pixel}", message=str(error), bad=True)
        deleted = f"{pixel} no longer has {_NAMES[kind]}."
        return request.back_to(
            f"{PIXELS}/{pixel}", message=deleted if was_there else "No credentials were stored."
        )

    async def _connected(
        self, request: PageRequest, done: Awaitable[SignInCompleted], back: str = PIXELS
    ) -> Response:
        try:
            connected = await done
        except TwiteError as error:
            return request.back_to(back, message=str(error), bad=True)
        await request.note(DONE, connected.pixel, connected.kind)
        who = f" as {connected.screen_name}" if connected.screen_name else ""
        access = connected.access
        if access is None:
            message = "The first request will show whether X accepts the credentials."
        elif access.roles:
            message = f"Role on ads account {access.account}: {', '.join(access.roles)}."
        else:
            message = "X did not refuse the credentials."
        return request.back_to(
            f"{PIXELS}/{connected.pixel}",
            message=f"{connected.pixel} is connected{who}. The gateway now uses the "
            f"credentials. {message}",
        )


def _session(request: PageRequest) -> str:
    return request.within.session.digest.hex()
