"""A page, its routes and its request; confirmation by password."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import parse_qsl, quote
from zoneinfo import ZoneInfo

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from twite.console.request_checks import AccessDenied, AllowedHost, keep_token, zone_of
from twite.domain.errors import InvalidAccountChange
from twite.domain.people.users import AuditEvent, Role, Viewer
from twite.gateway.identity.authentication import AuthenticatedSession, Authentication

MOST_FIELDS = 2_000
# Characters left as they are in a path and its query. All others, such as those in an id from X,
# are percent-encoded.
_KEPT = "/?&=%:@+,;~"
# The names of fields with passwords, codes, credentials and persons, which no page shows.
_SECRET_FIELDS: Final = frozenset(
    {
        *("form_token", "own", "new", "again", "password", "code", "pin", "token", "secret"),
        *("email", "phone"),
    }
)
_MOST_KEPT: Final = 1 << 14  # characters
NOT_CONFIRMED: Final = (
    "Your password is wrong, or there were too many wrong attempts. Nothing was changed."
)


class NavigationGroup(StrEnum):
    CONVERSIONS = "Conversions"
    QUALITY = "Quality"
    SET_UP = "Set up"
    ACCESS = "Access"


class PageLocation(msgspec.Struct, frozen=True):
    """A page's place in the navigation."""

    title: str
    group: NavigationGroup


class PageRoute(msgspec.Struct, frozen=True):
    """A method and a path. `role` is the lowest role that it accepts; None requires no sign-in."""

    method: str
    path: str
    answer: "Callable[[PageRequest], Awaitable[Response]]"
    role: Role | None = Role.VIEWER
    location: PageLocation | None = None


class Page(Protocol):
    """A page of the console, with its routes."""

    @property
    def routes(self) -> Sequence[PageRoute]: ...


class AddedPages(msgspec.Struct, frozen=True, kw_only=True):
    """The pages of a feature, and the folders with their `templates` and `static` files."""

    pages: tuple[Page, ...] = ()
    folders: tuple[Path, ...] = ()


class FormData:
    """The fields of a form or of a query string."""

    def __init__(self, text: str) -> None:
        """Raises AccessDenied if there are too many fields."""
        try:
            self._fields = parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS)
        except ValueError:
            raise AccessDenied(
                400,
                "Too many fields",
                f"A console form or URL may have at most {MOST_FIELDS:,} fields. Nothing "
                "was changed. Send fewer fields.",
            ) from None

    def __bool__(self) -> bool:
        return bool(self._fields)

    def without_secrets(self) -> "FormData":
        """Return the fields that a page may show again; no fields if they are long."""
        kept = FormData("")
        fields = [(name, value) for name, value in self._fields if name not in _SECRET_FIELDS]
        if sum(len(value) for _, value in fields) <= _MOST_KEPT:
            kept._fields = fields
        return kept

    @property
    def names(self) -> list[str]:
        """The names of the fields, each once."""
        return list(dict.fromkeys(name for name, _ in self._fields))

    def first(self, name: str, default: str = "") -> str:
        return next((value for key, value in self._fields if key == name), default)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self._fields if key == name]

    def number(self, name: str) -> int | None:
        """Return a whole number of at most 15 digits; None for other values."""
        return next(iter(_whole([self.first(name)])), None)

    def numbers(self, name: str) -> list[int]:
        return _whole(self.all(name))


def _whole(texts: list[str]) -> list[int]:
    return [int(text) for text in texts if text.isascii() and text.isdigit() and len(text) <= 15]


class PageContext(Protocol):
    """The services of the application that pages use."""

    def draw(self, request: "PageRequest", template: str, values: Mapping[str, object]) -> str:
        """Render a page within the layout."""
        ...

    def say(self, request: "PageRequest", sentence: str, *, bad: bool) -> None:
        """Show a message on the next page."""
        ...

    def keep(self, request: "PageRequest") -> None:
        """Fill the request's form on the next page with what was typed."""
        ...

    async def note(self, audit_event: AuditEvent) -> None:
        """Write an event into the audit log."""
        ...


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class PageRequest:
    """One request: its user, its fields, and methods that respond to it."""

    request: Request
    route: PageRoute
    session: AuthenticatedSession | None
    form: FormData
    now: int
    address: str
    host: AllowedHost
    token: str
    context: PageContext
    query: FormData = field(init=False)
    zone: ZoneInfo = field(init=False)  # the viewer's

    def __post_init__(self) -> None:
        self.zone = zone_of(self.request)
        self.query = FormData(self.request.url.query)

    @property
    def viewer(self) -> Viewer:
        """The user of the request. Only routes with a role have one."""
        return self.within.viewer

    @property
    def within(self) -> AuthenticatedSession:
        if self.session is None:
            raise RuntimeError("the route requires no sign-in")
        return self.session

    @property
    def session_digest(self) -> bytes:
        """The digest of the session that authorizes the request.

        A change of role ends this session.
        """
        return self.within.session.digest

    def part(self, name: str) -> str:
        return str(self.request.path_params[name])

    def page(self, template: str, *, status: int = 200, **values: object) -> Response:
        """Respond with a page. Every template needs a `title`."""
        return Response(self.context.draw(self, template, values), status, media_type="text/html")

    def back_to(self, path: str, *, message: str = "", bad: bool = False) -> Response:
        """Redirect to a page of the console, which shows the message.

        If it is `bad`, the page's form keeps what was typed, except secrets. See `typed` in
        `templates/parts.html`.
        """
        if message:
            self.context.say(self, message, bad=bad)
        if bad:
            self.context.keep(self)
        return Response(status_code=303, headers={"location": quote(path, safe=_KEPT)})

    async def note(self, what: str, subject: str = "", detail: str = "") -> None:
        """Write an action that is about to happen into the audit log."""
        await self.context.note(self.audit_event(what, subject, detail))

    def audit_event(self, what: str, subject: str = "", detail: str = "") -> AuditEvent:
        """Return the audit event of a change, to be stored in the same transaction."""
        return AuditEvent(
            at=self.now, who=self.viewer.name, what=what, subject=subject, detail=detail
        )

    async def renewed(
        self, authentication: Authentication, path: str, *, message: str = ""
    ) -> Response:
        """Continue the session with a new token, after a change of password or codes.

        Raises SignedOut.
        """
        token = (await authentication.renew(self.within)).reveal()
        self.token = token
        response = self.back_to(path, message=message)
        keep_token(response, self.host.session_cookie, token, host=self.host)
        return response


class AccountAction(Protocol):
    """A change of users or keys, such as `Accounts.remove` with its other arguments bound."""

    async def __call__(self, *, by: str, session_digest: bytes) -> object: ...


class Reauthentication:
    """Performs the action of a form if its field `own` contains the user's password."""

    def __init__(self, authentication: Authentication) -> None:
        self._authentication = authentication

    async def knows(self, request: PageRequest) -> bool:
        """Return whether the password is right. Raises SignedOut."""
        return await self._authentication.confirms(
            request.within, request.form.first("own"), request.address
        )

    async def done(
        self, request: PageRequest, path: str, action: AccountAction, *, message: str
    ) -> Response:
        """Perform the action for the viewer, and redirect to a path that shows the result."""
        if not await self.knows(request):
            return request.back_to(path, message=NOT_CONFIRMED, bad=True)
        try:
            await action(by=request.viewer.name, session_digest=request.session_digest)
        except InvalidAccountChange as unfit:
            return request.back_to(path, message=f"Nothing was changed: {unfit}.", bad=True)
        return request.back_to(path, message=message)
