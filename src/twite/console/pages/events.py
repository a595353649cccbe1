"""The Events Manager: list, create, change, delete and map the X events of a pixel's account.

Each page view queries X; nothing is cached. X's errors are shown with their fix.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response

from twite.console.page import FormData, PageRequest, PageRoute
from twite.console.pages.pixels import PIXELS, known_pixel
from twite.console.table_view import table_view
from twite.domain.destination import Destination, Source
from twite.domain.errors import TwiteError
from twite.domain.people.users import AuditAction, Role
from twite.gateway.operations.control import ReloadReport
from twite.gateway.ports.events import ReloadResult
from twite.gateway.what_if.report import WhatIfReport
from twite.gateway.x_account.event_tags import EventTagManager
from twite.x import spec
from twite.x.event_tags import SHOWN_AS, EventTag, EventTagChange

_PATH: Final = f"{PIXELS}/{{pixel}}/events"
_ONE: Final = f"{_PATH}/{{event}}"
_ADMIN: Final = Role.ADMIN
_KINDS: Final = [
    (kind, f"{kind} ({SHOWN_AS[kind]} in X's own pages)" if kind in SHOWN_AS else kind)
    for kind in spec.EVENT_TAG_TYPES
]

_ORDERS: Final[Mapping[str, Callable[[EventTag], Any]]] = {
    "event": lambda tag: (tag.name or tag.id).lower(),
    "type": lambda tag: tag.type,
    "status": lambda tag: (tag.deleted, tag.status),
    "last-tracked": lambda tag: tag.last_tracked_at or "",
}


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class EventsPage:
    """The page of X's events, for pixels with OAuth credentials.

    `reload` makes all workers use the settings file. `what_if` takes a pixel, a name and X's event,
    and returns what this mapping would have done with conversions of the last seven days. If the
    store `is_shared`, gateways on other machines have files of their own.
    """

    manager: EventTagManager
    destinations: Mapping[str, Destination]
    sources: Sequence[Source]
    reload: Callable[[], Awaitable[ReloadReport]]
    what_if: Callable[[str, str, str], Awaitable[WhatIfReport]]
    is_shared: bool

    @property
    def routes(self) -> Sequence[PageRoute]:
        return (
            PageRoute("GET", _PATH, self._list, role=_ADMIN),
            PageRoute("POST", _PATH, self._create, role=_ADMIN),
            PageRoute("GET", _ONE, self._one, role=_ADMIN),
            PageRoute("POST", f"{_ONE}/update", self._update, role=_ADMIN),
            PageRoute("POST", f"{_ONE}/delete", self._delete, role=_ADMIN),
            PageRoute("POST", f"{_ONE}/map", self._map, role=_ADMIN),
            PageRoute("POST", f"{_ONE}/reload", self._reload, role=_ADMIN),
            PageRoute("POST", f"{_ONE}/what-if", self._show_what_if, role=_ADMIN),
        )

    async def _list(self, request: PageRequest) -> Response:
        pixel = known_pixel(request, self.destinations)
        deleted = bool(request.query.first("deleted"))
        wrong, rows = "", []
        missing: Mapping[str, str] = {}
        filters = [("deleted", "Events", "with deleted ones" if deleted else "")]
        view = table_view(request, filters=filters, sorts=tuple(_ORDERS), sort="event")
        try:
            known = view.sorted(await self.manager.events(pixel, with_deleted=deleted), _ORDERS)
            rows = [(tag, self.manager.names(pixel, tag)) for tag in known]
            missing = self.manager.missing(pixel, known)
        except TwiteError as error:
            wrong = str(error)
        return request.page(
            "events/events.html",
            title=f"Events of {pixel}",
            view=view,
            pixel=pixel,
            account=self.destinations[pixel].account,
            rows=rows,
            missing=missing,
            wrong=wrong,
            deleted=deleted,
            kinds=_KINDS,
            clicks=spec.CLICK_WINDOWS,
            views=spec.VIEW_WINDOWS,
        )

    async def _create(self, request: PageRequest) -> Response:
        pixel = known_pixel(request, self.destinations)
        back, change = _path(pixel), _change(request.form)
        try:
            made = await self.manager.create(pixel, change, by=request.viewer.name)
        except TwiteError as error:
            return request.back_to(back, message=str(error), bad=True)
        message = f"X created {made.name} with the id {made.id}. Map your name to the event below."
        return request.back_to(f"{back}/{made.id}", message=message)

    async def _one(self, request: PageRequest) -> Response:
        pixel = known_pixel(request, self.destinations)
        tag = await self._tag(pixel, request)
        names = self.manager.names(pixel, tag)
        for_servers = request.query.first("for") == "servers"
        calls = [
            call
            for name in names[:1]
            for call in self.manager.snippets(pixel, name, server_only=for_servers)
        ]
        return request.page(
            "events/event.html",
            title=tag.name or tag.id,
            pixel=pixel,
            tag=tag,
            names=names,
            waiting_names=self.manager.waiting_names(pixel, tag),
            sources=[source.name for source in self.sources if pixel in source.pixels],
            snippets=calls,
            for_servers=for_servers,
            kinds=_KINDS,
            clicks=spec.CLICK_WINDOWS,
            views=spec.VIEW_WINDOWS,
        )

    async def _update(self, request: PageRequest) -> Response:
        pixel = known_pixel(request, self.destinations)
        tag = await self._tag(pixel, request)
        back, change = f"{_path(pixel)}/{tag.id}", _change(request.form)
        try:
            await self.manager.update(pixel, tag.id, change, by=request.viewer.name)
        except TwiteError as error:
            return request.back_to(back, message=str(error), bad=True)
        return request.back_to(back, message="The event was changed at X.")

    async def _delete(self, request: PageRequest) -> Response:
        pixel = known_pixel(request, self.destinations)
        tag = await self._tag(pixel, request)
        names = self.manager.names(pixel, tag)
        if request.form.first("name") != tag.name:
            message = "Nothing was deleted: the name you typed is not the event's name."
            return request.back_to(f"{_path(pixel)}/{tag.id}", message=message, bad=True)
        try:
            await self.manager.delete(pixel, tag.id, by=request.viewer.name)
        except TwiteError as error:
            return request.back_to(f"{_path(pixel)}/{tag.id}", message=str(error), bad=True)
        rest = (
            f" Remove {', '.join(names)} from twite.toml: X now refuses its conversions."
            if names
            else ""
        )
        return request.back_to(
            _path(pixel), message=f"The event {tag.name} was deleted at X.{rest}"
        )

    async def _map(self, request: PageRequest) -> Response:
        """Show the change to twite.toml; write it if the user confirms exactly this change."""
        pixel = known_pixel(request, self.destinations)
        tag = await self._tag(pixel, request)
        back, form = f"{_path(pixel)}/{tag.id}", request.form
        name = form.first("ours").strip()
        event = tag.website_tag_id if form.first("which") == "website_tag_id" else tag.id
        seen = form.first("seen")
        try:
            draft = self.manager.draft(pixel, name, event or tag.id)
            if not draft.is_changed:
                return request.back_to(back, message="twite.toml already contains this name.")
            if seen == draft.mark:
                await self.manager.write(draft, by=request.viewer.name)
                return self._activated(request, back, await self.reload())
        except TwiteError as error:
            return request.back_to(back, message=str(error), bad=True)
        return request.page(
            "events/event_map.html",
            title=f"Map {name}",
            pixel=pixel,
            tag=tag,
            name=name,
            which=form.first("which"),
            diff=draft.diff(),
            mark=draft.mark,
            is_another=bool(seen),
        )

    async def _show_what_if(self, request: PageRequest) -> Response:
        """Show what a mapping would have done with past conversions. It changes nothing."""
        pixel = known_pixel(request, self.destinations)
        tag = await self._tag(pixel, request)
        name, which = request.form.first("ours").strip(), request.form.first("which")
        event = tag.website_tag_id if which == "website_tag_id" else tag.id
        try:
            draft = self.manager.draft(pixel, name, event or tag.id)
            report = await self.what_if(pixel, name, draft.event)
        except TwiteError as error:
            return request.back_to(f"{_path(pixel)}/{tag.id}", message=str(error), bad=True)
        return request.page(
            "events/what_if.html",
            title=f"What if {name} were mapped",
            pixel=pixel,
            tag=tag,
            name=name,
            which=which,
            report=report,
            outcomes=sorted({*report.before, *report.after}),
        )

    async def _reload(self, request: PageRequest) -> Response:
        pixel = known_pixel(request, self.destinations)
        await request.note(AuditAction.RELOAD)
        back = f"{_path(pixel)}/{request.part('event')}"
        return self._activated(request, back, await self.reload())

    def _activated(self, request: PageRequest, back: str, report: ReloadReport) -> Response:
        """Say whether the gateway uses what is in twite.toml; otherwise, why not."""
        if report.result in {ReloadResult.RELOADED, ReloadResult.UNCHANGED}:
            message = "The gateway uses twite.toml as it is now. Send a test conversion below."
            elsewhere = " Make the same change on each other machine with a gateway."
            return request.back_to(back, message=message + elsewhere * self.is_shared)
        reasons = "; ".join(report.problems) or "see the log"
        message = f"twite.toml was written, but the gateway kept its old settings: {reasons}"
        return request.back_to(back, message=message, bad=True)

    async def _tag(self, pixel: str, request: PageRequest) -> EventTag:
        return await self.manager.event_tag(pixel, request.part("event"))


def _path(pixel: str) -> str:
    return f"{PIXELS}/{pixel}/events"


def _change(form: FormData) -> EventTagChange:
    return EventTagChange(
        name=form.first("name").strip(),
        type=form.first("type"),
        click_window=form.number("click_window"),
        view_through_window=form.number("view_window"),
        retargeting_enabled=bool(form.first("retargeting")),
    )
