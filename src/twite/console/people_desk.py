"""`POST /console/-/people`: how a command of the same machine reaches users and keys."""

from typing import Final, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from twite.console.entrance import Closed
from twite.domain.people import Deed
from twite.domain.secret import Secret
from twite.domain.staffing import Upshot
from twite.gateway.people import Roster
from twite.gateway.people_orders import decoded

PATH: Final = "/console/-/people"
_BEARER: Final = "bearer "
_MOST: Final = 1 << 16


class Noting(Roster, Protocol):
    """What of twite.gateway.people it stands on."""

    async def note(self, deed: Deed) -> None: ...


class PeopleDesk:
    """Obeys whoever holds the token of this run. Without it, there is no such route."""

    def __init__(self, *, people: Noting, token: Secret) -> None:
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
                raise Closed(413, "Too much", "An order may have 64 KiB.")
        try:
            order = decoded(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
            return JSONResponse({"error": str(wrong)}, 400)
        upshot = Upshot.DONE
        if order.change is None:
            await self._people.note(order.deed)
        else:
            upshot = await self._people.change(order.change, deed=order.deed)
        return JSONResponse({"upshot": upshot.value})
