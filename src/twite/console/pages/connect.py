"""Connect to X: sign in for a pixel or paste its token; and the diagnostics page."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response

from twite.console.page import (
    NOT_CONFIRMED,
    NavigationGroup,
    PageLocation,
    PageRequest,
    PageRoute,
    Reauthentication,
)
from twite.console.pages.pixels import kinds_of, known_pixel
from twite.domain.destination import Destination, PixelToken
from twite.domain.errors import TwiteError
from twite.domain.people.users import AuditAction, Role
from twite.domain.secret import Secret
from twite.gateway.delivery.credentials import OAUTH, PIXEL_TOKEN
from twite.gateway.ports.findings import CheckFinding
from twite.gateway.x_account.sign_in import DONE, FORGOTTEN, SignInCompleted, XSignIn

_PATH: Final = "/console/connect"
_ADMIN: Final = Role.ADMIN
_NAMES: Final = {OAUTH: "signed-in credentials", PIXEL_TOKEN: "pixel token"}
_DIAGNOSTICS_PATH: Final = "/console/doctor"
_ORDER: Final = {"failed": 0, "warning": 1, "passed": 2}


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class ConnectPage:
    """The page that connects a pixel. A sign-in at X must end in the session that started it.

    `destinations` are the pixels in use; `written` are the pixels in the settings.
    """

    sign_in: XSignIn
    destinations: Mapping[str, Destination]
    written: Sequence[Destination]
    reauthentication: Reauthentication

    @property
    def routes(self) -> Sequence[PageRoute]:
        place = PageLocation("Connect to X", NavigationGroup.SET_UP)
        return (
            PageRoute("GET", _PATH, self._list, role=_ADMIN, location=place),
            PageRoute("GET", f"{_PATH}/callback", self._called_back, role=_ADMIN),
            PageRoute("POST", f"{_PATH}/pin", self._pin, role=_ADMIN),
            PageRoute("POST", f"{_PATH}/{{pixel}}/begin", self._begin, role=_ADMIN),
            PageRoute("POST", f"{_PATH}/{{pixel}}/paste", self._paste, role=_ADMIN),
            PageRoute("POST", f"{_PATH}/{{pixel}}/forget", self._forget, role=_ADMIN),
        )

    async def _list(self, request: PageRequest) -> Response:
        named = {stored.pixel: kinds_of(stored)[0] for stored in self.written}
        pixels = [
            (pixel, destination, kinds_of(destination), named.get(pixel, "none yet"))
            for pixel, destination in self.destinations.items()
            if request.viewer.sees(pixel)
        ]
        return request.page(
            "connect.html", title="Connect to X", pixels=pixels, callback=_callback(request)
        )

    async def _begin(self, request: PageRequest) -> Response:
        pixel = known_pixel(request, self.destinations)
        by_pin = request.form.first("way") == "pin"
        callback = None if by_pin else _callback(request)
        await request.note(AuditAction.CONNECT_BEGIN, pixel, "by PIN" if by_pin else "by callback")
        try:
            begun = await self.sign_in.begin(pixel, callback=callback, by=_session(request))
        except TwiteError as error:
            return request.back_to(_PATH, message=str(error), bad=True)
        return request.page(
            "connect_begun.html",
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
            return request.back_to(_PATH, message="Paste the token first.", bad=True)
        await request.note(AuditAction.CONNECT_PASTE, pixel)
        done = self.sign_in.paste(pixel, PixelToken(token=Secret(token)))
        return await self._connected(request, done)

    async def _forget(self, request: PageRequest) -> Response:
        pixel = known_pixel(request, self.destinations)
        kind = request.form.first("kind")
        if kind not in _NAMES:
            return request.back_to(_PATH, message="Choose what to delete.", bad=True)
        if not await self.reauthentication.knows(request):
            return request.back_to(_PATH, message=NOT_CONFIRMED, bad=True)
        await request.note(FORGOTTEN, pixel, _NAMES[kind])
        try:
            revoke = bool(request.form.first("revoke"))
            was_there = await self.sign_in.forget(pixel, kind, revoke=revoke)
        except TwiteError as error:
            return request.back_to(_PATH, message=str(error), bad=True)
        deleted = f"{pixel} no longer has {_NAMES[kind]}."
        return request.back_to(
            _PATH, message=deleted if was_there else "No credentials were stored."
        )

    async def _connected(self, request: PageRequest, done: Awaitable[SignInCompleted]) -> Response:
        try:
            connected = await done
        except TwiteError as error:
            return request.back_to(_PATH, message=str(error), bad=True)
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
            _PATH,
            message=f"{connected.pixel} is connected{who}. The gateway now uses the "
            f"credentials. {message}",
        )


def _callback(request: PageRequest) -> str:
    """Return the URL to which X redirects the browser. The app must list exactly this URL."""
    return f"{request.host.origin}{_PATH}/callback"


def _session(request: PageRequest) -> str:
    return request.within.session.digest.hex()


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class DiagnosticsPage:
    """The page that runs the diagnostics, for admins only, because it shows every pixel."""

    examine: Callable[[], AsyncIterator[CheckFinding]]

    @property
    def routes(self) -> Sequence[PageRoute]:
        place = PageLocation("Diagnostics", NavigationGroup.SET_UP)
        return (
            PageRoute("GET", _DIAGNOSTICS_PATH, self._asked, role=Role.ADMIN, location=place),
            PageRoute("POST", _DIAGNOSTICS_PATH, self._examined, role=Role.ADMIN),
        )

    async def _asked(self, request: PageRequest) -> Response:
        return request.page("diagnostics.html", title="Diagnostics", findings=None)

    async def _examined(self, request: PageRequest) -> Response:
        await request.note(AuditAction.DOCTOR)
        found = [finding async for finding in self.examine()]
        found.sort(key=lambda finding: _ORDER.get(str(finding.status), 0))
        counts = {status: sum(finding.status == status for finding in found) for status in _ORDER}
        return request.page("diagnostics.html", title="Diagnostics", findings=found, counts=counts)
