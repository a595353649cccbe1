"""Check a console request (address, host, session, origin, role) and call its page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from twite.console.notices import NOTHING_TYPED, Notice, Notices, TypedForm
from twite.console.page import FormData, NavigationGroup, Page, PageRequest, PageRoute
from twite.console.render import FOLDER, STATIC, PageTemplates, StaticFile, static_files
from twite.console.request_checks import (
    AccessDenied,
    AllowedHost,
    RequestChecks,
    form_token,
    fresh_token,
    inside,
    keep_token,
    offered_token,
    refuse_strangers,
    refuse_unmeant,
    theme_of,
)
from twite.domain.destination import Source
from twite.domain.errors import SignedOut, TransientError, TwiteError
from twite.domain.people.users import AuditAction, AuditEvent, Viewer
from twite.domain.times import MINUTE
from twite.gateway.identity.authentication import Authentication
from twite.gateway.ports.directory import AccountDirectory
from twite.gateway.ports.events import Observer, ProblemPlace, ProblemSeen
from twite.gateway.ports.machine import Clock
from twite.gateway.rate_limiter import RateLimiter

ROOT: Final = "/console"
LOGIN: Final = f"{ROOT}/sign-in"
MOST_FORM: Final = 1 << 20
LIVE: Final = "x-twite-live"  # the header of a page that loads itself again
_LEAST_COMPRESSED: Final = 1_000  # bytes
# The same attempt is logged at most once in this period, so that repetitions do not fill the log.
_NOTED_EVERY: Final = 10 * MINUTE
POLICY: Final = (
    "default-src 'none'; "
    "script-src 'self'; "
    "style-src 'self'; "
    "img-src 'self' data:; "
    "connect-src 'self'; "
    "form-action 'self'; "
    "base-uri 'none'; "
    "frame-ancestors 'none'; "
    "require-trusted-types-for 'script'"
)
HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    # Not no-referrer, because browsers would then hide the origin of the console's own forms.
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
}
_HSTS: Final = "max-age=31536000; includeSubDomains"
_FAULT: Final = AccessDenied(
    500, "Internal error in Twite", "See the log for details. Nothing else is affected."
)


class Console:
    """An ASGI application for paths under /console.

    `pages` are in the order of the navigation. `folders` have templates and static files of pages
    that features add.
    """

    def __init__(
        self,
        *,
        pages: Sequence[Page],
        folders: Sequence[Path] = (),
        checks: RequestChecks,
        authentication: Authentication,
        directory: AccountDirectory,
        clock: Clock,
        observer: Observer,
        known_as: str,
        emulated: bool = False,
        tested: Sequence[Source] = (),
    ) -> None:
        # All routes, in the order of the navigation.
        self.routes = tuple(route for page in pages for route in page.routes)
        self._paths = [(compile_path(route.path), route) for route in self.routes]
        self._checks = checks
        self._authentication = authentication
        self._trail = directory
        self._clock = clock
        self._observer = observer
        self._known_as = known_as
        self._tested = tested
        self._static = static_files((FOLDER, *folders))
        self._served = {file.name: file for file in self._static.values()}
        self._templates = PageTemplates((FOLDER, *folders), self._static, emulated=emulated)
        self.notices = Notices()
        self._refusals = RateLimiter(size=1, per=_NOTED_EVERY)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        host: AllowedHost | None = None
        try:
            address = self._checks.address(scope)
            host = self._checks.name(request)
            response = self._file(request) or await self._answered(request, host, address)
        except AccessDenied as closed:
            response = self._plain(request, closed)
        except ClientDisconnect:
            return
        except SignedOut as error:
            message = f"{str(error)[:1].upper()}{str(error)[1:]}. Sign in again."
            response = self._plain(request, AccessDenied(401, "Signed out", message))
        except TwiteError as error:
            status, title = (
                (503, "Unavailable") if isinstance(error, TransientError) else (409, "Conflict")
            )
            response = self._plain(request, AccessDenied(status, title, str(error)))
        except Exception as fault:  # noqa: BLE001 the outermost handler: the browser gets an answer
            self._observer.see(ProblemSeen(where=ProblemPlace.CONSOLE, reason=type(fault).__name__))
            response = self._plain(request, _FAULT)
        for key, value in HEADERS.items():
            response.headers.setdefault(key, value)
        if host is not None and host.is_secure:
            response.headers["strict-transport-security"] = _HSTS
        answer: ASGIApp = response
        # A stream is compressed by nobody: that would take the event loop's time.
        if _may_compress(request) and not isinstance(response, StreamingResponse):
            answer = GZipMiddleware(response, minimum_size=_LEAST_COMPRESSED, compresslevel=6)
        await answer(scope, receive, send)

    # The methods below are the services that pages use; see page.PageContext.

    def draw(self, request: PageRequest, template: str, values: Mapping[str, object]) -> str:
        viewer = request.session.viewer if request.session is not None else None
        # A page that loads itself again leaves the notices to the page that the user opens.
        is_background = LIVE in request.request.headers
        frame = {
            "viewer": viewer,
            "navigation": self._navigation(viewer),
            "here": request.request.url.path,
            "theme": theme_of(request.request),
            "form_token": form_token(request.token),
            "said": [] if is_background else self.notices.said(request.token),
            "typed": NOTHING_TYPED if is_background else self.notices.typed(request.token),
            "now": request.now,
            "zone": request.zone,
            "known_as": self._known_as,
            "in_test": self._in_test(viewer, request.now),
        }
        return self._templates.draw(template, frame | dict(values))

    def _in_test(self, viewer: Viewer | None, now: int) -> list[Source]:
        """Return the sources in test mode of which the viewer sees a pixel."""
        return [
            source
            for source in self._tested
            if source.at(now) is not source
            and viewer is not None
            and (viewer.pixels is None or viewer.pixels & source.pixels)
        ]

    def say(self, request: PageRequest, sentence: str, *, bad: bool) -> None:
        self.notices.say(request.token, Notice(sentence, bad))

    def keep(self, request: PageRequest) -> None:
        form = request.form.without_secrets()
        self.notices.keep(request.token, TypedForm(request.request.scope["path"], form))

    async def note(self, audit_event: AuditEvent) -> None:
        await self._trail.note(audit_event)

    async def _answered(self, request: Request, host: AllowedHost, address: str) -> Response:
        route = self._routed(request)
        if not await self._authentication.is_open():
            raise _no_admin()
        session = offered_token(request, host.session_cookie)
        found = None if session is None else await self._authentication.inside(session)
        if found is None and route.role is not None:
            if route.method != "GET":
                raise _signed_out()
            there = inside(
                request.url.path + (f"?{request.url.query}" if request.url.query else "")
            )
            return Response(status_code=303, headers={"location": f"{LOGIN}?next={_quoted(there)}"})
        held = session if found is not None else offered_token(request, host.visitor_cookie)
        token = held or fresh_token()
        form = await self._form(request, host, token) if route.method == "POST" else FormData("")
        page_request = PageRequest(
            request=request,
            route=route,
            session=found,
            form=form,
            now=self._clock.now(),
            address=address,
            host=host,
            token=token,
            context=self,
        )
        try:
            if found is not None and route.role is not None and not found.viewer.may(route.role):
                await self._refuse(request, route, found.viewer)
            response = await route.answer(page_request)
        except AccessDenied as denied:
            if found is None:
                raise
            response = page_request.page(
                "denied.html", status=denied.status, title=denied.title, denied=denied
            )
        if held is None:
            keep_token(response, host.visitor_cookie, token, host=host)
        return response

    async def _refuse(self, request: Request, route: PageRoute, viewer: Viewer) -> None:
        """Write a refused request into the audit log. Raises AccessDenied."""
        asked = f"{viewer.name} {route.method} {route.path}"
        if not self._refusals.spend(asked, now=self._clock.elapsed()):
            await self._trail.note(
                AuditEvent(
                    at=self._clock.now(),
                    who=viewer.name,
                    what=AuditAction.REFUSED,
                    subject=f"{route.method} {request.url.path}",
                    detail=f"takes {route.role}",
                )
            )
        raise AccessDenied(
            403,
            "Not allowed",
            f"This page needs the role “{route.role}”. Your role is “{viewer.role}”. An admin can "
            f"change your role.",
        )

    async def _form(self, request: Request, host: AllowedHost, token: str) -> FormData:
        """Read a form. Refuse a form that no page of the console sent."""
        refuse_strangers(request, host)
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_FORM:
                raise AccessDenied(
                    413, "Form too large", "A form may have at most 1 MiB. Nothing was changed."
                )
        try:
            text = body.decode()
        except UnicodeDecodeError:
            raise AccessDenied(
                400, "Unreadable", "The form is not valid UTF-8 text. Nothing was changed."
            ) from None
        form = FormData(text)
        refuse_unmeant(token, form.first("form_token"))
        return form

    def _routed(self, request: Request) -> PageRoute:
        """Find the route; for an unknown address, one that says so. Raises AccessDenied."""
        path = request.url.path
        path = path.rstrip("/") if len(path) > len(ROOT) else path
        method = "GET" if request.method == "HEAD" else request.method
        allowed = False
        for (pattern, _, convertors), route in self._paths:
            match = pattern.match(path)
            if match and route.method == method:
                request.scope["path_params"] = {
                    key: convertors[key].convert(value) for key, value in match.groupdict().items()
                }
                return route
            allowed = allowed or match is not None
        if allowed:
            raise AccessDenied(
                405, "Method not allowed", "This page does not support the request's HTTP method."
            )
        if method == "GET":
            return PageRoute(method, ROOT, _answer_nowhere, role=None)
        raise _nowhere()

    def _navigation(self, viewer: Viewer | None) -> list[tuple[NavigationGroup, list[PageRoute]]]:
        if viewer is None:
            return []
        shown = [
            route
            for route in self.routes
            if route.location is not None and route.role is not None and viewer.may(route.role)
        ]
        grouped = [
            (group, [route for route in shown if route.location and route.location.group is group])
            for group in NavigationGroup
        ]
        return [(group, routes) for group, routes in grouped if routes]

    def _file(self, request: Request) -> Response | None:
        path = request.url.path
        if not path.startswith(STATIC):
            return None
        file: StaticFile | None = self._served.get(path.removeprefix(STATIC))
        if file is None or request.method not in {"GET", "HEAD"}:
            raise AccessDenied(404, "Not found", "The console has no file at this address.")
        return Response(
            file.body,
            media_type=file.kind,
            headers={"cache-control": "public, max-age=31536000, immutable"},
        )

    def _plain(self, request: Request, denied: AccessDenied) -> Response:
        """Respond with the reason, on a page without personal data and navigation."""
        values = {
            "title": denied.title,
            "sentence": denied.sentence,
            "status": denied.status,
            "theme": theme_of(request),
            "viewer": None,
        }
        return Response(
            self._templates.draw("closed.html", values), denied.status, media_type="text/html"
        )


async def _answer_nowhere(_request: PageRequest) -> Response:
    raise _nowhere()


def _quoted(path: str) -> str:
    return path.replace("%", "%25").replace("?", "%3F").replace("&", "%26").replace("+", "%2B")


def _may_compress(request: Request) -> bool:
    """Return whether no other site can cause and compare responses of this kind.

    Pages contain secrets, such as the form token, beside text from the URL. Another site that makes
    the browser open them with chosen texts could read a secret from the compressed sizes (BREACH).
    So pages are compressed only if the browser says that the console or the user opened them. A
    page that loads itself again may have been opened by another site.
    """
    if request.url.path.startswith(STATIC):
        return True
    site = request.headers.get("sec-fetch-site")
    return site in {"same-origin", "none"} and LIVE not in request.headers


# An exception that is raised again would keep the frames of all earlier requests.
def _no_admin() -> AccessDenied:
    return AccessDenied(
        403,
        "Closed until an admin exists",
        "There is no admin yet, so nobody can sign in. Twite has no default password. Create an "
        "admin on the machine that runs Twite: twite user add NAME --role admin",
    )


def _signed_out() -> AccessDenied:
    return AccessDenied(
        401,
        "Signed out",
        "Your session has ended, so nothing was changed. Sign in and send the form again.",
    )


def _nowhere() -> AccessDenied:
    return AccessDenied(404, "Not found", "The console has no page at this address.")
