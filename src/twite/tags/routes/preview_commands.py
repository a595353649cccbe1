"""`POST /-/tag-previews`: `twite tag preview` opens, reads and closes a preview session."""

from typing import Final, Literal

import msgspec

from twite.domain.people.users import AuditEvent
from twite.domain.secret import Masked
from twite.http.responses import NO_ROUTE, HttpRefusal, HttpResponse, error
from twite.http.route import SMALL_BODY, HttpRequest, Route
from twite.http.routes.control import control_token
from twite.tags.preview.sessions import PreviewUnavailable
from twite.tags.preview.trace import PreviewedRequest
from twite.tags.routes.tag_requests import TagRequests

PATH: Final = "/-/tag-previews"
PreviewAction = Literal["open", "read", "close"]
_ENCODER: Final = msgspec.json.Encoder()


class PreviewCommand(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A command about a preview session of the user named in the audit event.

    `session` names the session to read or close. With `sends_nothing`, a session neither stores nor
    sends its requests.
    """

    do: PreviewAction
    audit_event: AuditEvent
    session: str = ""
    sends_nothing: bool = False


class PreviewState(Masked, frozen=True, kw_only=True):
    """A tag preview session: its token, its end in milliseconds, and its requests."""

    in_repr = ("session",)
    session: str
    token: str
    ends_at: int
    version: int = 0
    requests: tuple[PreviewedRequest, ...] = ()


class PreviewResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The session; None if it has ended. If no session was opened, `why_not` is the reason."""

    state: PreviewState | None = None
    why_not: str = ""


async def answer(request: HttpRequest, _caller: None) -> HttpResponse:
    """Run a command. Raises HttpRefusal and LedgerUnavailable."""
    feature = request.services.feature
    if not isinstance(feature, TagRequests):
        raise HttpRefusal(NO_ROUTE)
    try:
        command = msgspec.json.decode(request.body, type=PreviewCommand)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as wrong:
        raise HttpRefusal(error(400, "wrong_shape", str(wrong))) from None
    result = await _result(command, request, feature)
    return HttpResponse(status=200, body=_ENCODER.encode(result))


async def _result(
    command: PreviewCommand, request: HttpRequest, requests: TagRequests
) -> PreviewResult:
    previews, audit_event = requests.previews, command.audit_event
    if command.do == "open":
        if previews.shares_port:
            return PreviewResult(why_not=str(PreviewUnavailable()))
        await request.services.directory.note(audit_event)
        session = previews.open(audit_event.who, sends_nothing=command.sends_nothing)
    else:
        found = previews.named(command.session, who=audit_event.who)
        if found is None:
            return PreviewResult()
        session = found
    if command.do == "close":
        previews.close(session)
    return PreviewResult(
        state=PreviewState(
            session=session.id,
            token=session.token.reveal(),
            ends_at=session.ends_at,
            version=session.version,
            requests=tuple(session.requests),
        )
    )


ROUTE: Final = Route(
    path=PATH,
    methods=("POST",),
    label=PATH,
    authenticate=control_token,
    answer=answer,
    body=SMALL_BODY,
)
