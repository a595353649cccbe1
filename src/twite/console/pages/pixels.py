"""Pixels, and a test conversion."""

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response

from twite.console.account_health import CountedRow
from twite.console.page import FormData, NavigationGroup, PageLocation, PageRequest, PageRoute
from twite.console.request_checks import AccessDenied
from twite.console.row_pages import matching, typed_name
from twite.console.table_view import table_view
from twite.domain.delivery import State
from twite.domain.destination import Destination, MissingCredentials, OAuthKeys, PixelToken, Source
from twite.domain.errors import ClientError
from twite.domain.fault import Fault
from twite.domain.history import total
from twite.domain.pause import Pause
from twite.domain.people.users import AuditAction, Role, Viewer
from twite.domain.test_mode import in_test, is_test
from twite.gateway.delivery.runner import DeliveryRunner
from twite.gateway.ingest.accept import Accept
from twite.gateway.operations.conversion_faults import conversion_faults
from twite.gateway.operations.explain import masked
from twite.gateway.ports.queries import ByConversionId, Queries
from twite.gateway.ports.state import RateLimitWindow, StateReader
from twite.gateway.x_account.event_tags import oauth_keys

PIXELS: Final = "/console/pixels"
CALLBACK: Final = "/console/connect/callback"
_TRY_PATH: Final = "/console/pixels/{pixel}/try"
_FIELDS: Final = ("value", "currency", "email", "phone", "twclid", "ip", "user_agent")
_UNDER_WAY: Final = {State.QUEUED, State.SENDING}


class ShownPixel(CountedRow, frozen=True, kw_only=True):
    """A pixel as shown on the page, with the kinds of its credentials only."""

    destination: Destination
    credentials: tuple[str, ...]
    sources: Sequence[str]
    pause: Pause | None
    events_paused: Sequence[Pause]
    window: RateLimitWindow | None

    @property
    def name(self) -> str:
        return self.destination.account or self.destination.pixel

    @property
    def pixels(self) -> Sequence[str]:
        return [self.destination.pixel]


_ORDERS: Final[Mapping[str, Callable[[ShownPixel], Any]]] = {
    "pixel": lambda shown: shown.destination.pixel,
    "account": lambda shown: shown.destination.account or "",
    "delivered": lambda shown: shown.counts.delivered,
    "pending": lambda shown: shown.counts.pending,
    "held": lambda shown: shown.counts.held,
    "refused-by-x": lambda shown: shown.counts.dead,
}


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class PixelsPage:
    """The pages of pixels. `written` are those of the settings, without stored credentials."""

    destinations: Mapping[str, Destination]
    written: Sequence[Destination]
    sources: Sequence[Source]
    queries: Queries
    state: StateReader
    runner: DeliveryRunner

    @property
    def routes(self) -> Sequence[PageRoute]:
        place = PageLocation("Pixels", NavigationGroup.SET_UP)
        return (
            PageRoute("GET", PIXELS, self._list, location=place),
            PageRoute("GET", f"{PIXELS}/{{pixel}}", self._one),
            PageRoute("POST", f"{PIXELS}/{{pixel}}/pause", self._pause, role=Role.OPERATOR),
            PageRoute("POST", f"{PIXELS}/{{pixel}}/resume", self._resume, role=Role.OPERATOR),
        )

    async def _list(self, request: PageRequest) -> Response:
        typed = typed_name(request)
        view = table_view(
            request, filters=(("q", "Name", typed),), sorts=tuple(_ORDERS), sort="pixel"
        )
        rows = await self._shown(request.viewer.of(self.destinations), request.now)
        return request.page(
            "pixels/pixels.html",
            title="Pixels",
            pixels=view.sorted(matching(rows, typed), _ORDERS),
            view=view,
            typed_name=typed,
        )

    async def _one(self, request: PageRequest) -> Response:
        pixel = known_pixel(request, self.destinations)
        (shown,) = await self._shown([pixel], request.now)
        destination, written = self.destinations[pixel], {each.pixel: each for each in self.written}
        sources = [source for source in self.sources if pixel in source.pixels]
        return request.page(
            "pixels/pixel.html",
            title=f"Pixel {pixel}",
            pixel=shown,
            sources=[source for source in sources if may_see(request.viewer, source)],
            try_with=[source.name for source in sources],
            written=kinds_of(written[pixel])[0] if pixel in written else "none yet",
            callback=callback_of(request),
            has_events_at_x=oauth_keys(destination) is not None and destination.account is not None,
        )

    async def _pause(self, request: PageRequest) -> Response:
        pixel = known_pixel(request, self.destinations)
        await request.note(AuditAction.PIXEL_PAUSE, pixel)
        await self.runner.hold(pixel, who=request.viewer.name)
        message = f"{pixel} is paused. Its conversions are queued until a user resumes the pixel."
        return request.back_to(f"{PIXELS}/{pixel}", message=message)

    async def _resume(self, request: PageRequest) -> Response:
        pixel = known_pixel(request, self.destinations)
        await request.note(AuditAction.PIXEL_RESUME, pixel)
        await self.runner.release(pixel)
        return request.back_to(f"{PIXELS}/{pixel}", message=f"{pixel} was resumed.")

    async def _shown(self, pixels: Sequence[str], now: int) -> list[ShownPixel]:
        paused = await self.state.load(Pause)
        pauses = {pause.pixel: pause for pause in paused if not pause.event}
        windows = await self.state.load(RateLimitWindow)
        closures = {window.pixel: window for window in windows if window.until > now}
        accounts = await self.queries.balance()
        return [
            ShownPixel(
                destination=self.destinations[pixel],
                credentials=kinds_of(self.destinations[pixel]),
                counts=total(account for account in accounts if account.pixel == pixel),
                in_pixel=pixel,
                sources=[source.name for source in self.sources if pixel in source.pixels],
                pause=pauses.get(pixel),
                events_paused=[pause for pause in paused if pause.pixel == pixel and pause.event],
                window=closures.get(pixel),
            )
            for pixel in pixels
        ]


def known_pixel(request: PageRequest, destinations: Mapping[str, Destination]) -> str:
    """Return the pixel named in the path. A pixel that the user may not see counts as unknown."""
    pixel = request.part("pixel")
    if pixel not in destinations or not request.viewer.sees(pixel):
        raise AccessDenied(
            404, "Pixel not found", "The pixel is not configured, or you may not see it."
        )
    return pixel


def may_see(viewer: Viewer, source: Source) -> bool:
    """Return whether a source may be shown: the viewer must see all its pixels."""
    return all(viewer.sees(pixel) for pixel in source.pixels)


def callback_of(request: PageRequest) -> str:
    """Return the URL to which X redirects the browser. The app must list exactly this URL."""
    return f"{request.host.origin}{CALLBACK}"


def kinds_of(destination: Destination) -> tuple[str, ...]:
    """Return the kinds of credentials of a pixel, with the kind in use first."""
    names = {PixelToken: "pixel token", OAuthKeys: "OAuth 1.0a", MissingCredentials: "none yet"}
    first = names[type(destination.credentials)]
    return (first,) if destination.fallback is None else (first, "OAuth 1.0a as fallback")


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class TestConversionPage:
    """The page that sends a test conversion through a source: to the emulator, or to X.

    X counts it as a real conversion.
    """

    accept: Accept
    queries: Queries
    destinations: Mapping[str, Destination]
    sources: Sequence[Source]

    @property
    def routes(self) -> Sequence[PageRoute]:
        return (
            PageRoute("POST", _TRY_PATH, self._sent, role=Role.OPERATOR),
            PageRoute("GET", f"{_TRY_PATH}/{{conversion_id}}", self._followed, role=Role.OPERATOR),
        )

    async def _sent(self, request: PageRequest) -> Response:
        pixel = known_pixel(request, self.destinations)
        path, form = f"{PIXELS}/{pixel}", request.form
        # The page of an event has the form, too.
        back = f"{path}/events/{form.first('tag')}" if form.first("tag") else path
        named = form.first("source")
        source = next((source for source in self.sources if source.name == named), None)
        event = form.first("event")
        if source is None or pixel not in source.pixels:
            return request.back_to(
                back, message="Choose a source that submits for this pixel.", bad=True
            )
        if form.first("to") != "x":
            source = source.in_test()
        conversion_id = f"console-test-{secrets.token_hex(6)}"
        fields = {name: text for name in _FIELDS if (text := form.first(name).strip())}
        body = {"event": event, "conversion_id": conversion_id, "pixel": pixel, **fields}
        encoded = json.dumps(body).encode()
        try:
            faults = conversion_faults(self.accept, source, encoded)
        except ClientError as wrong:
            return request.back_to(back, message=_refused(form, str(wrong)), bad=True)
        if faults:
            return request.back_to(back, message=_refused(form, _said(faults)), bad=True)
        await request.note(AuditAction.CONVERSION_TEST, conversion_id, f"{event}, as {source.name}")
        try:
            receipt = await self.accept.native(source=source, body=encoded)
        except ClientError as wrong:
            return request.back_to(back, message=_refused(form, str(wrong)), bad=True)
        if receipt.rejected:
            faults = receipt.rejected[0].errors
            return request.back_to(back, message=_refused(form, _said(faults)), bad=True)
        return request.back_to(f"{path}/try/{conversion_id}")

    async def _followed(self, request: PageRequest) -> Response:
        pixel = known_pixel(request, self.destinations)
        histories = await self.queries.find(
            ByConversionId(pixel=pixel, events=None, conversion_id=request.part("conversion_id"))
        ) or await self.queries.find(
            ByConversionId(
                pixel=in_test(pixel), events=None, conversion_id=request.part("conversion_id")
            )
        )
        if not histories:
            raise AccessDenied(
                404,
                "Conversion not found",
                "No conversion has this id, or the conversion is no longer stored.",
            )
        history = histories[0]
        return request.page(
            "pixels/test_conversion.html",
            title="Test conversion",
            history=history,
            sent=masked(history.sent),
            in_progress=history.state in _UNDER_WAY,
            receiver="the emulator" if is_test(history.pixel) else "X",
            pixel=pixel,
        )


def _said(faults: Sequence[Fault]) -> str:
    return "; ".join(
        f"{fault.path}: {fault.message}" if fault.path else fault.message for fault in faults
    )


def _refused(form: FormData, reason: str) -> str:
    """Return the message of a refused test. The form keeps no personal data."""
    again = " Enter the email again: it is not kept." if form.first("email").strip() else ""
    return f"Not accepted: {reason}.{again}"
