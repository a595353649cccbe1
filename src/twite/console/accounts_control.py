"""`POST /console/-/people`: how a command of the same machine reaches users and keys."""

from typing import Final, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from twite.console.request_checks import AccessDenied
from twite.domain.people.account_changes import Result
from twite.domain.people.users import AuditEvent
from twite.domain.secret import Secret
from twite.gateway.identity.account_commands import decoded
from twite.gateway.ports.directory import UserDirectory

PATH: Final = "/console/-/people"
_BEARER: Final = "bearer "
_MOST: Final = 1 << 16


class NotesAuditEvents(UserDirectory, Protocol):
    """What of twite.gateway.ports.directory it stands on."""

    async def note(self, deed: AuditEvent) -> None: ...


class AccountsControl:
    """Obeys whoever holds the token of this run. Without it, there is no such route."""

    def __init__(self, *, people: NotesAuditEvents, token: Secret) -> None:
        self._people = people
        self._token = token

    def is_meant(self, request: Request) -> bool:
        """Return whether it is a command's request, with the token."""
        offered = request.headers.get("authorization", "")
        return (
            request.url.path == PATH
            and request.method == "POST"
            and bool(self._token)
            and offered[: len(_BEARER)].lower() == _BEARER
            and self._token.matches(offered[len(_BEARER) :].strip())
        )

    async def answer(self, request: Request) -> Response:
        """Do what is asked. Raises Closed, LedgerUnavailable."""
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _MOST:
                raise AccessDenied(413, "Too much", "An order may have 64 KiB.")
        try:
            order = decoded(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
            return JSONResponse({"error": str(wrong)}, 400)
        result = Result.DONE
        if order.change is None:
            await self._people.note(order.deed)
        else:
            result = await self._people.change(order.change, deed=order.deed)
        return JSONResponse({"upshot": result.value})
