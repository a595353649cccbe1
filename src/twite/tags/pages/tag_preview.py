"""Tag preview: the sessions of a user, and the requests of one session."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from starlette.responses import Response

from twite.console.page import NavigationGroup, PageLocation, PageRequest, PageRoute
from twite.console.pages.changes import ChangeStreams
from twite.console.request_checks import AccessDenied
from twite.domain.people.users import AuditAction, Role
from twite.gateway.ports.machine import Clock
from twite.tags.preview.sessions import (
    COOKIE,
    HEADER,
    MOST_REQUESTS,
    MOST_SESSIONS,
    OTHERS,
    PreviewSession,
    PreviewSessions,
    PreviewUnavailable,
)

FOLDER: Final = Path(__file__).parent  # of templates and static files
PATH: Final = "/console/tags"
_ONE: Final = f"{PATH}/{{session}}"
_ROLE: Final = Role.OPERATOR


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class TagPreviewPage:
    """The page of preview sessions. `site` is the registrable domain of the gateway, or "".

    `shared`: other gateways may use the store.
    """

    previews: PreviewSessions
    clock: Clock
    site: str = ""
    shared: bool = False
    _streams: ChangeStreams = field(init=False)

    def __post_init__(self) -> None:
        self._streams = ChangeStreams(self.clock)

    @property
    def routes(self) -> Sequence[PageRoute]:
        place = PageLocation("Tags", NavigationGroup.SET_UP)
        return (
            PageRoute("GET", PATH, self._list, role=_ROLE, location=place),
            PageRoute("POST", PATH, self._open, role=_ROLE),
            PageRoute("GET", _ONE, self._one, role=_ROLE),
            PageRoute("GET", f"{_ONE}/changes", self._changes, role=_ROLE),
            PageRoute("POST", f"{_ONE}/close", self._close, role=_ROLE),
        )

    async def _list(self, request: PageRequest) -> Response:
        _require_all_pixels(request)
        return request.page(
            "tag_preview_sessions.html",
            title="Tag preview",
            sessions=self.previews.of(request.viewer.name),
            most=MOST_SESSIONS,
        )

    async def _open(self, request: PageRequest) -> Response:
        _require_all_pixels(request)
        sends_nothing = request.form.first("sends") != "all"
        detail = "sends nothing" if sends_nothing else "sends"
        if self.previews.shares_port:
            return request.back_to(PATH, message=str(PreviewUnavailable()), bad=True)
        await request.note(AuditAction.TAG_PREVIEW, "", detail)
        session = self.previews.open(request.viewer.name, sends_nothing=sends_nothing)
        return request.back_to(f"{PATH}/{session.id}")

    async def _one(self, request: PageRequest) -> Response:
        session = self._session(request)
        return request.page(
            "tag_preview.html",
            title="Tag preview",
            session=session,
            header=f"{HEADER}: {session.token.reveal()}",
            script=_script(session, self.site),
            others=OTHERS if self.shared else "",
            most=MOST_REQUESTS,
        )

    async def _changes(self, request: PageRequest) -> Response:
        session = self._session(request)

        async def version() -> str:
            # Another version, so that the page notices the end of its session.
            known = self.previews.named(session.id, who=request.viewer.name)
            return "ended" if known is None else str(known.version)

        return self._streams.answer(request, version)

    async def _close(self, request: PageRequest) -> Response:
        self.previews.close(self._session(request))
        return request.back_to(PATH, message="The preview session has ended.")

    def _session(self, request: PageRequest) -> PreviewSession:
        _require_all_pixels(request)
        session = self.previews.named(request.part("session"), who=request.viewer.name)
        if session is None:
            raise AccessDenied(
                404, "No such session", "The preview session has ended, or belongs to another user."
            )
        return session


def _require_all_pixels(request: PageRequest) -> None:
    """Raise AccessDenied for a user who sees only some pixels: events belong to no pixel."""
    if request.viewer.pixels is not None:
        raise AccessDenied(403, "Access denied", "Only users who see all pixels may preview tags.")


def _script(session: PreviewSession, site: str) -> str:
    """Return the line for the browser's console that sets the cookie on the site."""
    domain = f"; domain={site}" if site else ""
    token = session.token.reveal()
    return f'document.cookie = "{COOKIE}={token}; path=/; max-age=3600; secure{domain}"'
