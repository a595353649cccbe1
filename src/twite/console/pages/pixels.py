"""Pixels and sources: what is set up, whether it is sent to, and a conversion to try it with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec
from starlette.responses import Response

from twite.console.page import NavigationGroup, PageLocation, PageRequest, PageRoute
from twite.console.request_checks import AccessDenied
from twite.domain.destination import Destination, MissingCredentials, OAuthKeys, PixelToken, Source
from twite.domain.history import ConversionCounts, total
from twite.domain.people.users import AuditAction, Role, Viewer
from twite.gateway.ports.queries import Queries
from twite.gateway.ports.state import Pause, RateLimitWindow, StateReader

_PATH: Final = "/console/pixels"


class UsesCredentials(Protocol):
    """Who sends: see gateway.run.Run."""

    async def hold(self, pixel: str, *, who: str) -> bool:
        """Raises LedgerUnavailable."""
        ...

    async def release(self, pixel: str) -> bool:
        """Raises LedgerUnavailable."""
        ...


class ShownPixel(msgspec.Struct, frozen=True, kw_only=True):
    """A pixel as it is shown: of its credentials, only of which kind they are."""

    pixel: str
    account: str | None
    credentials: tuple[str, ...]
    is_cautious: bool
    events: Mapping[str, str]
    rate: int
    counted: ConversionCounts
    sources: tuple[str, ...]
    pause: Pause | None
    events_paused: tuple[Pause, ...]
    closure: RateLimitWindow | None


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class PixelsPage:
    """Pixels with their state; sources for users who see all pixels."""

    destinations: Mapping[str, Destination]
    sources: Sequence[Source]
    records: Queries
    state: StateReader
    sends: UsesCredentials

    @property
    def routes(self) -> Sequence[PageRoute]:
        place = PageLocation("Pixels and sources", NavigationGroup.SET_UP)
        return (
            PageRoute("GET", _PATH, self._list, place=place),
            PageRoute("GET", f"{_PATH}/{{pixel}}", self._one),
            PageRoute("POST", f"{_PATH}/{{pixel}}/pause", self._pause, role=Role.OPERATOR),
            PageRoute("POST", f"{_PATH}/{{pixel}}/resume", self._resume, role=Role.OPERATOR),
        )

    async def _list(self, visit: PageRequest) -> Response:
        viewer = visit.viewer
        return visit.page(
            "pixels.html",
            title="Pixels and sources",
            pixels=await self._shown(viewer.of(self.destinations), visit.now),
            sources=[source for source in self.sources if may_see(viewer, source)],
        )

    async def _one(self, visit: PageRequest) -> Response:
        pixel = self._known(visit)
        (shown,) = await self._shown([pixel], visit.now)
        sources = [source for source in self.sources if pixel in source.pixels]
        return visit.page(
            "pixel.html",
            title=f"Pixel {pixel}",
            pixel=shown,
            sources=[source for source in sources if may_see(visit.viewer, source)],
            try_with=[source.name for source in sources],
        )

    async def _pause(self, visit: PageRequest) -> Response:
        pixel = self._known(visit)
        await visit.note(AuditAction.PIXEL_PAUSE, pixel)
        await self.sends.hold(pixel, who=visit.viewer.name)
        message = f"{pixel} is paused: its conversions are queued until somebody resumes it."
        return visit.back_to(f"{_PATH}/{pixel}", message=message)

    async def _resume(self, visit: PageRequest) -> Response:
        pixel = self._known(visit)
        await visit.note(AuditAction.PIXEL_RESUME, pixel)
        await self.sends.release(pixel)
        return visit.back_to(f"{_PATH}/{pixel}", message=f"{pixel} is resumed.")

    async def _shown(self, pixels: Sequence[str], now: int) -> list[ShownPixel]:
        paused = await self.state.load(Pause)
        pauses = {pause.pixel: pause for pause in paused if not pause.event}
        windows = await self.state.load(RateLimitWindow)
        closures = {window.pixel: window for window in windows if window.until > now}
        accounts = await self.records.balance()
        return [
            _shown(
                self.destinations[pixel],
                counted=total(account for account in accounts if account.pixel == pixel),
                sources=[source.name for source in self.sources if pixel in source.pixels],
                pause=pauses.get(pixel),
                events_paused=[pause for pause in paused if pause.pixel == pixel and pause.event],
                closure=closures.get(pixel),
            )
            for pixel in pixels
        ]

    def _known(self, visit: PageRequest) -> str:
        return known_pixel(visit, self.destinations)


def known_pixel(visit: PageRequest, destinations: Mapping[str, Destination]) -> str:
    """Return the pixel of the path. One that may not be seen is as unknown as any other."""
    pixel = visit.part("pixel")
    if pixel not in destinations or not visit.viewer.sees(pixel):
        raise AccessDenied(404, "No such pixel", "It is not configured, or you may not see it.")
    return pixel


def may_see(viewer: Viewer, source: Source) -> bool:
    """Return whether a source may be shown: all its pixels must be the viewer's."""
    return all(viewer.sees(pixel) for pixel in source.pixels)


def kinds_of(destination: Destination) -> tuple[str, ...]:
    """Return what kinds of credentials there are, the one that is used first."""
    names = {PixelToken: "pixel token", OAuthKeys: "OAuth 1.0a", MissingCredentials: "none yet"}
    first = names[type(destination.credentials)]
    return (first,) if destination.fallback is None else (first, "OAuth 1.0a, to fall back on")


def _shown(
    destination: Destination,
    *,
    counted: ConversionCounts,
    sources: Sequence[str],
    pause: Pause | None,
    events_paused: Sequence[Pause],
    closure: RateLimitWindow | None,
) -> ShownPixel:
    return ShownPixel(
        pixel=destination.pixel,
        account=destination.account,
        credentials=kinds_of(destination),
        is_cautious=destination.is_cautious,
        events=destination.events,
        rate=destination.rate,
        counted=counted,
        sources=tuple(sources),
        pause=pause,
        events_paused=tuple(events_paused),
        closure=closure,
    )
