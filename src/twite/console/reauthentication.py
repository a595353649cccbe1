"""Before what matters most, the password is asked for again. [ASVS 5.0 7.5.1]"""

from collections.abc import Awaitable, Callable

from starlette.responses import Response

from twite.console.page import PageRequest
from twite.domain.errors import InvalidAccountChange
from twite.gateway.identity.authentication import Authentication


class Reauthentication:
    """Does what a form asks for, if it carries the password of who sent it, as `own`."""

    def __init__(self, authentication: Authentication) -> None:
        self._authentication = authentication

    async def knows(self, visit: PageRequest) -> bool:
        """Return whether the password is right. Raises SignedOut."""
        return await self._authentication.confirms(
            visit.within, visit.form.first("own"), visit.address
        )

    async def done(
        self, visit: PageRequest, path: str, act: Callable[[], Awaitable[None]], *, message: str
    ) -> Response:
        """Act, and go to a path with what came of it."""
        if not await self.knows(visit):
            wrong = "Your own password is not right, or was wrong too often. Nothing was changed."
            return visit.back_to(path, message=wrong, bad=True)
        try:
            await act()
        except InvalidAccountChange as unfit:
            return visit.back_to(path, message=f"Nothing was changed: {unfit}.", bad=True)
        return visit.back_to(path, message=message)
